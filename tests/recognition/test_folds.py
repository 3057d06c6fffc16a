"""Folds of cross-validation: images stay whole where they can, and every class is always learnt."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_genrecon.recognition.folds import make_folds


@st.composite
def labelled(draw):
    k = draw(st.integers(2, 4))
    more = draw(st.lists(st.integers(0, k - 1), max_size=30))
    y = np.array([*range(k), *range(k), *more], np.int64)
    return y, np.array(draw(st.lists(st.integers(0, 5), min_size=len(y), max_size=len(y))), np.int64)


@given(labelled())
def test_every_object_is_tested_once_by_a_classifier_that_knows_its_class(case):
    y, image = case
    folds = make_folds(y, image)
    tested = np.zeros(len(y), int)
    for train, test in folds.splits():
        assert set(y[train]) == set(y)
        assert not (train & test).any()
        tested += test
    assert (tested == 1).all()


@given(labelled())
def test_no_image_is_in_two_folds_where_folds_are_said_to_be_by_image(case):
    y, image = case
    folds = make_folds(y, image)
    if folds.by_image:
        assert all(len(set(folds.number[image == i])) == 1 for i in set(image))


def test_images_are_held_out_as_a_whole_where_each_class_is_in_several():
    y, image = np.tile([0, 1], 12), np.repeat(np.arange(6), 4)
    assert make_folds(y, image).by_image
    assert not make_folds(y, np.zeros(24, np.int64)).by_image
    assert not make_folds(y, y).by_image  # a class in each image: leaving one out would leave the class out

"""Suggestions: all kinds of objects first, then those that the classifier cannot tell apart."""

import numpy as np

from napari_genrecon.recognition.suggest import map_of, rank_to_label, representatives


def clusters(n=240, kinds=12):
    rng = np.random.default_rng(0)
    kind = np.arange(n) % kinds
    return {"shape": (rng.normal(size=(kinds, 8))[kind] * 20 + rng.normal(size=(n, 8))).astype(np.float32)}, kind


def test_representatives_show_nearly_all_kinds_of_objects():
    blocks, kind = clusters()
    first = representatives(map_of(blocks))
    assert len(first) == 12
    assert len(set(kind[first])) >= 10


def test_fewer_objects_than_clusters_are_all_suggested():
    blocks = {"shape": np.arange(10, dtype=np.float32).reshape(5, 2)}
    places = map_of(blocks)
    assert sorted(rank_to_label(representatives(places), places, np.full(5, -1), None)) == [0, 1, 2, 3, 4]


def test_labelled_objects_are_not_suggested_and_small_margins_come_after_representatives():
    places, margin = np.zeros((6, 2)), np.array([0.9, 0.8, 0.1, 0.4, 0.2, 0.3])
    given = np.array([-1, 0, -1, -1, 1, -1])
    assert rank_to_label(np.array([0, 1]), places, given, margin).tolist() == [0, 2, 5, 3]


def test_without_a_classifier_the_objects_least_like_labelled_ones_come_first():
    places = np.array([[0.0], [1.0], [5.0], [2.0]])
    assert rank_to_label(np.array([0]), places, np.array([0, -1, -1, -1]), None).tolist() == [2, 3, 1]

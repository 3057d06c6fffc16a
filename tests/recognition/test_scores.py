"""Scores of out-of-fold predictions."""

import numpy as np

from napari_genrecon.recognition.scores import calibration_error, score


def test_balanced_accuracy_is_the_mean_over_classes():
    y = np.array([0] * 8 + [1] * 2)
    predicted = np.array([0] * 8 + [0, 1])
    found = score(np.eye(2)[predicted], y, ("a", "b"), by_image=True)
    assert found.balanced_accuracy == 0.75
    assert found.confusion.tolist() == [[8, 0], [1, 1]]
    assert found.interval[0] < 0.75 < found.interval[1]


def test_interval_holds_the_truth_about_as_often_as_it_says():
    rng, inside = np.random.default_rng(0), 0
    for _ in range(200):
        right = rng.random(60) < 0.8
        y = np.arange(60) % 2
        found = score(np.eye(2)[np.where(right, y, 1 - y)], y, ("a", "b"), by_image=True)
        inside += found.interval[0] <= 0.8 <= found.interval[1]
    assert 180 <= inside <= 199


def test_probabilities_are_rough_below_twenty_labels_of_a_class():
    for few, rough in ((19, True), (20, False)):
        y = np.array([0] * 30 + [1] * few)
        found = score(np.eye(2)[y], y, ("a", "b"), by_image=False)
        assert found.rough is rough
        assert ("rough: fewer than 20 labels of b" in str(found)) is rough


def test_what_the_score_holds_for_is_said():
    y = np.array([0, 0, 1, 1])
    for by_image, words in ((True, "had not seen it"), (False, "others may give less")):
        assert words in str(score(np.eye(2)[y], y, ("a", "b"), by_image=by_image))


def test_calibration_error_of_sure_and_wrong_predictions_is_one():
    y = np.array([0, 1])
    assert calibration_error(np.eye(2)[1 - y], y) == 1.0
    assert calibration_error(np.eye(2)[y], y) == 0.0

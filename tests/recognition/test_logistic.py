"""Logistic regression: the minimum is one, in any coordinates, and classes count the same."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_genrecon.recognition.logistic import coordinates, fit_logistic, log_softmax


def examples(seed, n=12, d=30, k=3):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % k
    return rng.normal(size=(n, d)) + y[:, None], y.astype(np.int64)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), strength=st.sampled_from([0.3, 3.0, 30.0]))
def test_coordinates_of_the_examples_give_the_same_classifier_as_all_features(seed, strength):
    x, y = examples(seed)
    low, basis = coordinates(x)
    whole, inner = fit_logistic(x, y, 3, strength), fit_logistic(low, y, 3, strength)
    new = np.random.default_rng(seed + 1).normal(size=(5, 30))
    one = log_softmax(new @ whole[:-1] + whole[-1])
    two = log_softmax(new @ basis @ inner[:-1] + inner[-1])
    np.testing.assert_allclose(np.exp(one), np.exp(two), atol=0.02)


def test_classes_count_the_same_however_many_examples_they_have():
    x = np.array([[-1.0], [1.0]] + [[1.0]] * 50)
    y = np.array([0, 1] + [1] * 50)
    weights = fit_logistic(x, y, 2, 1e3)
    middle = np.exp(log_softmax(np.zeros((1, 1)) @ weights[:-1] + weights[-1]))
    np.testing.assert_allclose(middle, 0.5, atol=0.02)


def test_a_class_without_examples_is_not_predicted():
    x, y = examples(0, k=2)
    weights = fit_logistic(x, y, 3, 10.0)
    assert np.exp(log_softmax(x @ weights[:-1] + weights[-1]))[:, 2].max() < 0.01


def test_log_softmax_of_large_logits_is_finite():
    np.testing.assert_allclose(log_softmax(np.array([[1e4, 0.0]])), [[0.0, -1e4]])

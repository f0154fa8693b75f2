from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from training.roc import class_aucs, label_aucs, roc_auc


def test_the_area_equals_that_of_sklearn_with_ties() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(80) < 0.3
    scores = np.round(rng.normal(size=80) + truth, 1)
    assert roc_auc(scores, truth) == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert roc_auc(-scores, truth) == pytest.approx(1 - roc_auc_score(truth, scores), abs=1e-12)


def test_the_macro_average_one_against_the_rest_equals_that_of_sklearn() -> None:
    rng = np.random.default_rng(1)
    classes = rng.integers(0, 5, 60)
    scores = rng.random((60, 5)) + 0.5 * np.eye(5)[classes]
    scores /= scores.sum(axis=1, keepdims=True)
    found = class_aucs(scores, classes, "abcde")
    assert found["auc mean"] == pytest.approx(roc_auc_score(classes, scores, multi_class="ovr"), abs=1e-12)
    for number, name in enumerate("abcde"):
        assert found[f"auc {name}"] == pytest.approx(roc_auc_score(classes == number, scores[:, number]))


def test_unknown_labels_are_left_out_of_their_own_area_only() -> None:
    scores = np.array([[0.9, 0.2], [0.4, 0.7], [0.1, 0.9], [0.8, 0.3]])
    truths = np.array([[1.0, 0.0], [np.nan, 1.0], [0.0, 1.0], [0.0, 0.0]])
    found = label_aucs(scores, truths, ("acl", "meniscus"))
    assert found == {"auc acl": 1.0, "auc meniscus": 1.0, "auc mean": 1.0}


def test_a_label_that_all_or_none_have_has_no_area_and_does_not_count_in_the_mean() -> None:
    scores, truths = np.array([[0.9, 0.2], [0.4, 0.7]]), np.array([[1.0, 1.0], [0.0, 1.0]])
    found = label_aucs(scores, truths, ("acl", "meniscus"))
    assert math.isnan(found["auc meniscus"])
    assert found["auc mean"] == 1.0
    assert math.isnan(label_aucs(scores, np.ones((2, 2)), ("acl", "meniscus"))["auc mean"])

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from dicomgeom.errors import NothingUsable
from training.forest import Forest

NAN = float("nan")


def test_a_forest_of_known_features_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    features, classes = rng.normal(size=(40, 4)), rng.integers(0, 3, 40)
    features[:, 1] += classes
    peer = RandomForestClassifier(n_estimators=100, random_state=5).fit(features, classes)
    unseen = rng.normal(size=(10, 4))
    assert Forest(features, classes, 5).probabilities(unseen, 3) == pytest.approx(peer.predict_proba(unseen))
    assert (Forest(features, classes, 6).probabilities(unseen, 3) != peer.predict_proba(unseen)).any()


def test_an_unknown_feature_takes_the_training_median_and_one_that_nobody_has_is_left_out() -> None:
    rng = np.random.default_rng(1)
    features, classes = rng.normal(size=(40, 3)), np.arange(40) % 2
    features[:, 0] += 3 * classes
    median = np.median(features[2:, 0])
    features[:2, 0] = NAN
    features[:, 2] = NAN
    forest = Forest(features, classes)
    assert forest.used.tolist() == [True, True, False]
    told = forest.probabilities(np.array([[NAN, 0.2, 7.0], [median, 0.2, NAN]]), 2)
    assert told[0] == pytest.approx(told[1])


def test_a_class_that_no_training_patient_has_gets_no_probability() -> None:
    features, classes = np.arange(20.0)[:, None], np.repeat([0, 3], 10)
    told = Forest(features, classes).probabilities(np.array([[1.0], [18.0]]), 5)
    assert told[:, [1, 2, 4]].max() == 0.0
    assert told.argmax(axis=1).tolist() == [0, 3]


def test_patients_of_one_class_or_without_any_feature_grow_no_forest() -> None:
    for features, classes in ((np.ones((3, 2)), [1, 1, 1]), (np.full((3, 2), NAN), [0, 1, 1])):
        with pytest.raises(NothingUsable, match="two classes with known features"):
            Forest(features, np.array(classes))

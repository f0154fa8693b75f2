"""A random forest on features of which some are unknown.

100 trees (Zhang, Wei et al., Medical Image Analysis 2024), otherwise as scikit-learn grows them (Breiman,
Machine Learning 2001). A feature that a patient lacks takes the median of the training patients, so that it
speaks for nobody; a feature that no training patient has is left out of the forest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomgeom.errors import NothingUsable

TREES = 100

Floats = NDArray[np.float64]


class Forest:
    """A forest grown on training patients.

    Parameters
    ----------
    features
        (n, F); NaN where unknown.
    classes
        (n,) numbers from 0.
    seed
        Equal seeds give equal forests.

    Raises
    ------
    NothingUsable
        Fewer than two classes among the patients, or not one known feature.
    """

    def __init__(self, features: Floats, classes: NDArray[np.int64], seed: int = 0) -> None:
        from sklearn.ensemble import RandomForestClassifier

        known = np.isfinite(features)
        self.used: NDArray[np.bool_] = np.asarray(known.any(axis=0))
        if len(set(classes.tolist())) < 2 or not self.used.any():
            raise NothingUsable(
                f"a forest needs training patients of two classes with known features; found "
                f"{len(set(classes.tolist()))} class(es) in {len(classes)} patient(s)"
            )
        self._medians = np.array(
            [np.median(features[known[:, i], i]) for i in np.flatnonzero(self.used)], dtype=np.float64
        )
        self._forest: Any = RandomForestClassifier(n_estimators=TREES, random_state=seed)
        self._forest.fit(self._filled(features), classes)

    def _filled(self, features: Floats) -> Floats:
        kept = features[:, self.used]
        return np.where(np.isfinite(kept), kept, self._medians)

    def probabilities(self, features: Floats, classes: int) -> Floats:
        """Of each class, (n, classes); 0 for classes that no training patient had."""
        found = np.zeros((len(features), classes))
        found[:, self._forest.classes_] = self._forest.predict_proba(self._filled(features))
        return found

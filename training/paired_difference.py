"""Whether two runs differ, told by the patients that both were measured on.

A patient's two values belong together, so it is their difference that is averaged, resampled and tested:
Wilcoxon's signed-rank test (Biometrics Bulletin 1945) of its symmetry about 0, and the permutation test of
its mean, in which each patient's difference may as well have the other sign (Fisher 1935). One run a side
says nothing of how much another seed would change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from training.intervals import SEED, Interval, mean_interval

SIGN_CHANGES = 20_000
"""Drawn when there are more patients than can be permuted in full."""

PERMUTED_IN_FULL = 14
"""Patients up to whom all 2^n signs are tried: 16,384."""

ROUNDING = 1e-12
"""Means nearer to each other than this share of the largest are equal."""


@dataclass(frozen=True)
class PairedDifference:
    """One measure of two runs; differences are first - second.

    Attributes
    ----------
    patients
        How many have both values; the others are counted in `only_first` and `only_second`.
    sd, interval, wilcoxon_p, permutation_p
        None for one patient. Both p are two-sided, and 1 where no patient differs.
    """

    patients: int
    only_first: int
    only_second: int
    first: float
    second: float
    difference: float
    sd: float | None
    interval: Interval | None
    wilcoxon_p: float | None
    permutation_p: float | None

    def as_json(self) -> dict[str, Any]:
        """As plain numbers and lists."""
        return asdict(self)


def paired_difference(first: Mapping[str, float], second: Mapping[str, float]) -> PairedDifference | None:
    """Compare a measure of two runs; None where no patient has both.

    Parameters
    ----------
    first, second
        Patient -> value.
    """
    both = sorted(first.keys() & second.keys())
    if not both:
        return None
    said = np.array([[first[key], second[key]] for key in both], dtype=np.float64)
    apart = said[:, 0] - said[:, 1]
    several = len(both) > 1
    return PairedDifference(
        patients=len(both),
        only_first=len(first) - len(both),
        only_second=len(second) - len(both),
        first=float(said[:, 0].mean()),
        second=float(said[:, 1].mean()),
        difference=float(apart.mean()),
        sd=float(apart.std(ddof=1)) if several else None,
        interval=mean_interval(apart),
        wilcoxon_p=wilcoxon_p(apart) if several else None,
        permutation_p=permutation_p(apart) if several else None,
    )


def wilcoxon_p(differences: NDArray[np.float64]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; patients that do not differ are left out of it."""
    if not differences.any():
        return 1.0
    return float(wilcoxon(differences, zero_method="wilcox").pvalue)


def permutation_p(differences: NDArray[np.float64], seed: int = SEED) -> float:
    """Two-sided p of the mean difference under changes of sign.

    Exact for up to 14 patients. Beyond that of drawn signs, the given ones counted among them (Phipson and
    Smyth, Statistical Applications in Genetics and Molecular Biology 2010).
    """
    count = len(differences)
    if count <= PERMUTED_IN_FULL:
        signs = 1 - 2 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
        extra = 0
    else:
        rng = np.random.default_rng([seed, count])
        signs = 1 - 2 * rng.integers(0, 2, (SIGN_CHANGES, count), dtype=np.int8)
        extra = 1
    means = np.abs(signs @ differences)
    limit = abs(float(differences.sum()))
    as_large = int((means >= limit - ROUNDING * float(np.abs(differences).sum())).sum())
    return (as_large + extra) / (len(means) + extra)

"""Which examples are for training, validation and testing; a patient is never in two.

A data set's own split holds where its manifest lies in the catalogue and names the file's
path; all other patients are split by the hash of their identity.
"""

from __future__ import annotations

import polars as pl

from dicomgeom.data_manifest import DataManifest
from dicomgeom.errors import WrongUse
from pretext_targets.store import SPLITS

TRAIN_BELOW = 0.7
VALIDATION_BELOW = 0.8
"""Patients whose split position lies below these are training, then validation, else test."""


def split_codes(images: pl.DataFrame, manifest: DataManifest | None) -> pl.Series:
    """The split of each image, as codes.

    Parameters
    ----------
    images : DataFrame
        Columns patient_key, path and split_position.
    manifest : DataManifest, optional
        Of the data set they belong to.

    Raises
    ------
    WrongUse
        When the manifest puts a patient into two splits.
    """
    position = pl.col("split_position")
    by_hash = pl.when(position < TRAIN_BELOW).then(0).when(position < VALIDATION_BELOW).then(1).otherwise(2)
    codes = images.select(by_hash.cast(pl.UInt8)).to_series().to_list()
    if manifest is not None and manifest.own_splits:
        own = [manifest.split_of(path) for path in images["path"]]
        codes = [code if one is None else SPLITS.index(one) for code, one in zip(codes, own, strict=True)]
        _refuse_two(images["patient_key"].to_list(), codes, manifest.name)
    return pl.Series("split", codes, dtype=pl.UInt8)


def _refuse_two(patients: list[str], codes: list[int], name: str) -> None:
    of_patient: dict[str, int] = {}
    for patient, code in zip(patients, codes, strict=True):
        if of_patient.setdefault(patient, code) != code:
            raise WrongUse(
                f"the manifest {name} puts patient {patient} into {SPLITS[code]} and "
                f"{SPLITS[of_patient[patient]]}; mend its own_splits, or index without it"
            )

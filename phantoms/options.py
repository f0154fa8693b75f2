"""How phantom exams are acquired and filed."""

from __future__ import annotations

from dataclasses import dataclass, field

from dicomgeom.errors import WrongUse
from phantoms.prescription import OperatorError
from phantoms.traps import check_traps
from phantoms.vendors import VENDORS

_SHARES = (
    "wrong_description_share",
    "empty_description_share",
    "foreign_description_share",
    "series_per_slice_share",
    "enhanced_share",
    "compressed_share",
    "dicomdir_share",
    "late_enhancement_share",
    "flow_share",
    "repeat_share",
)


@dataclass(frozen=True)
class ExportOptions:
    """How exams are acquired and filed; None means drawn for each patient, by the vendor's habit.

    Parameters
    ----------
    phases : int or None
        Phases of a cine; drawn between 20 and 30.
    spacing_mm : float or None
        Pixel spacing; hearts: drawn between 1.2 and 1.8, knees: 0.45 to 0.65.
    columns, rows : int or None
        Matrix of the images; localizers are coarser.
    operator
        How well the radiographer hits the planes.
    vendor : str or None
        Whose habits the files follow: one of `VENDORS`.
    wrong_description_share, empty_description_share, foreign_description_share : float
        Chance that a series' description names another view, says nothing, or is in another language.
    series_per_slice_share : float or None
        Chance that a patient's short-axis stack is filed as one series a slice.
    enhanced_share : float or None
        Chance that a patient's series are enhanced multi-frame objects.
    compressed_share : float
        Chance that a patient's files are compressed, by a transfer syntax of the vendor's.
    dicomdir_share : float or None
        Chance that an exam comes as a file set with a DICOMDIR.
    late_enhancement_share, flow_share, repeat_share : float
        Hearts: chance of late enhancement and of flow on planes of the cines, and of a view taken twice.
    breathing_mm : float
        Hearts: standard deviation of where the breath is held, one shift a slice.
    localizers : bool
        Whether three-plane localizers are made.
    nifti : bool
        Whether the truth comes as NIfTI beside DICOM SEG.
    tissues : bool
        Whether the truth says what every pixel is made of.
    traps : tuple of str
        Pitfalls that every exam shall have (`phantoms.traps.TRAPS`).
    """

    phases: int | None = None
    spacing_mm: float | None = None
    columns: int | None = None
    rows: int | None = None
    operator: OperatorError = field(default_factory=OperatorError)
    vendor: str | None = None
    wrong_description_share: float = 0.12
    empty_description_share: float = 0.10
    foreign_description_share: float = 0.15
    series_per_slice_share: float | None = None
    enhanced_share: float | None = None
    compressed_share: float = 0.15
    dicomdir_share: float | None = None
    late_enhancement_share: float = 0.25
    flow_share: float = 0.15
    repeat_share: float = 0.15
    breathing_mm: float = 1.2
    localizers: bool = True
    nifti: bool = True
    tissues: bool = True
    traps: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.phases is not None and not 2 <= self.phases <= 100:
            raise WrongUse(f"phases must be 2 to 100, found {self.phases}")
        if self.spacing_mm is not None and not 0.3 <= self.spacing_mm <= 20:
            raise WrongUse(f"spacing_mm must be 0.3 to 20, found {self.spacing_mm}")
        if not 0 <= self.breathing_mm <= 20:
            raise WrongUse(f"breathing_mm must be 0 to 20, found {self.breathing_mm}")
        for name in ("columns", "rows"):
            side = getattr(self, name)
            if side is not None and not 16 <= side <= 1024:
                raise WrongUse(f"{name} must be 16 to 1024, found {side}")
        for name in _SHARES:
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise WrongUse(f"{name} must be 0 to 1, found {share}")
        if self.vendor is not None and self.vendor not in VENDORS:
            raise WrongUse(f"no vendor {self.vendor!r}; there is: {', '.join(VENDORS)}")
        check_traps(self.traps)

"""What the header says about how a series was acquired."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phantoms.contrast import Sequence

VENC_CM_S = 150.0
"""Velocity at which the phase of a flow image wraps."""


@dataclass(frozen=True)
class Acquisition:
    """Sequence of one series: DICOM's words (PS3.3 C.8.3.1) and times in ms.

    `kind` is one of cine, localizer, late-enhancement, flow-magnitude, flow-phase, static.
    """

    kind: str
    phases: int
    scanning_sequence: str
    sequence_variant: str
    scan_options: tuple[str, ...]
    flip_deg: float
    echo_ms: float
    repetition_ms: float
    inversion_ms: float | None = None
    echo_train: int = 1
    fat_suppressed: bool = False

    @property
    def beats(self) -> bool:
        """Whether it has phases of a heartbeat."""
        return self.kind in ("cine", "flow-magnitude", "flow-phase")


def cine(sequence: Sequence, phases: int) -> Acquisition:
    """Balanced steady state, gated."""
    return Acquisition(
        "cine", phases, "GR", "SK", ("CG",), sequence.flip_deg, sequence.echo_ms, sequence.repetition_ms
    )


def localizer(sequence: Sequence) -> Acquisition:
    """One shot at any moment."""
    return Acquisition("localizer", 1, "GR", "SK", (), sequence.flip_deg, sequence.echo_ms, 3.2)


def late_enhancement(rng: np.random.Generator) -> Acquisition:
    """Inversion recovery, minutes after contrast medium, in mid-diastole."""
    inversion_ms = round(float(rng.uniform(260, 340)))
    return Acquisition(
        "late-enhancement", 1, "IR", "SK", ("CG",), 25, 3.3, 700, inversion_ms=float(inversion_ms)
    )


def flow(phases: int, component: str) -> Acquisition:
    """Phase contrast through the plane; `component` is magnitude or phase."""
    return Acquisition(f"flow-{component}", phases, "GR", "SP", ("CG",), 20, 2.8, 37.1)


def spin_echo(sequence: Sequence, echo_train: int, fat_suppressed: bool) -> Acquisition:
    """Turbo spin echo of a knee."""
    return Acquisition(
        "static",
        1,
        "SE",
        "SK",
        ("FS",) if fat_suppressed else (),
        sequence.flip_deg,
        sequence.echo_ms,
        sequence.repetition_ms,
        echo_train=echo_train,
        fat_suppressed=fat_suppressed,
    )

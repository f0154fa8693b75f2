"""What makes images look like MR, each of it on or off: for measuring what each brings to a network.

Networks that are to hold on real images need more spread than any one scanner has: `Look` with a
wide contrast draws brightness, coils and noise well beyond the published values round which
`contrast.draw_contrast` stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from phantoms.contrast import BLOOD, Contrast, draw_contrast
from phantoms.tissues import Tissue

ContrastKind = Literal["fixed", "published", "wide"]

HEART = frozenset(
    {
        Tissue.LV_BLOOD,
        Tissue.LV_MYOCARDIUM,
        Tissue.PAPILLARY,
        Tissue.RV_BLOOD,
        Tissue.TRABECULAE,
        Tissue.SCAR,
        Tissue.LV_FLOW_VOID,
        Tissue.VALVE,
    }
)
"""What is left of a body on a plain background."""

SOFT = (Tissue.MUSCLE, Tissue.LIVER, Tissue.SPLEEN, Tissue.STOMACH, Tissue.MEDIASTINUM)
"""What surrounds a heart beside fat and lung: about as bright as its muscle, or brighter."""

PLAIN_BACKGROUND = 0.2
"""Brightness of a plain background where contrast is fixed, as a share of blood's."""


@dataclass(frozen=True)
class Look:
    """Ingredients of an image.

    Parameters
    ----------
    surroundings
        Chest, vessels, atria and fat; without them ventricles lie on a plain background.
    contrast
        "fixed": one scanner and one sequence; "published": `draw_contrast`; "wide": well beyond.
    texture
        Tissues are mottled.
    shading
        Sensitivity of coils, and dark bands of balanced SSFP.
    reception
        Noise and a cut k-space.
    """

    surroundings: bool = True
    contrast: ContrastKind = "wide"
    texture: bool = True
    shading: bool = True
    reception: bool = True


def draw_look(rng: np.random.Generator, look: Look) -> Contrast:
    """Draw how one exam looks."""
    drawn = draw_contrast(np.random.default_rng(0) if look.contrast == "fixed" else rng)
    if look.contrast == "wide":
        drawn = widened(drawn, rng)
    if not look.surroundings:
        share = PLAIN_BACKGROUND if look.contrast == "fixed" else float(rng.uniform(0, 1.2))
        level = drawn.level.copy()
        level[[t for t in Tissue if t not in HEART]] = share * level[Tissue.LV_BLOOD]
        drawn = replace(drawn, level=level)
    if not look.texture:
        drawn = replace(drawn, mottle=np.zeros_like(drawn.mottle))
    if not look.shading:
        drawn = replace(drawn, off_resonance=np.zeros(3))
    if not look.reception:
        drawn = replace(drawn, noise=0.0, acquired=(1.0, 1.0), blur_px=0.25)
    return drawn


def widened(contrast: Contrast, rng: np.random.Generator) -> Contrast:
    """A contrast spread beyond what one sequence gives: other scanners, coils, doses, surface fat."""
    level = contrast.level.astype(np.float64)
    blood = level[Tissue.LV_BLOOD]
    spread = rng.normal(0, 0.28, len(level))
    spread[list(BLOOD)] = rng.normal(0, 0.06, len(BLOOD))
    level = level * np.exp(spread)
    right = float(rng.uniform(0.68, 1.08))
    level[[Tissue.RV_BLOOD, Tissue.RA_BLOOD]] *= right
    soft = blood * float(rng.uniform(0.18, 0.55))
    level[list(SOFT)] = soft * np.exp(spread[list(SOFT)])
    level[Tissue.LUNG] = blood * float(np.exp(rng.uniform(np.log(0.02), np.log(0.2))))
    muscle = blood * float(rng.uniform(0.14, 0.52))
    level[Tissue.LV_MYOCARDIUM] = muscle
    level[Tissue.PAPILLARY] = muscle * rng.uniform(0.9, 1.2)
    level[Tissue.SCAR] = muscle * rng.uniform(0.9, 1.2)
    level[Tissue.RV_WALL] = muscle * rng.uniform(0.8, 1.3)
    level[Tissue.TRABECULAE] = level[Tissue.RV_BLOOD] * rng.uniform(0.35, 0.9)
    level[[Tissue.FAT, Tissue.EPICARDIAL_FAT]] *= np.exp(rng.normal(0, 0.3))
    mottle = contrast.mottle * np.exp(rng.normal(0, 0.4, len(level)))
    mottle[Tissue.LV_BLOOD] = rng.uniform(0.03, 0.16)
    mottle[Tissue.RV_BLOOD] = rng.uniform(0.03, 0.16)
    return replace(
        contrast,
        level=level.astype(np.float32),
        mottle=mottle.astype(np.float32),
        noise=blood * float(np.exp(rng.uniform(np.log(0.006), np.log(0.04)))),
        blur_px=float(rng.uniform(0.25, 0.6)),
        acquired=(float(rng.uniform(0.75, 1.0)), float(rng.uniform(0.6, 1.0))),
        coil_mm=contrast.coil_mm + rng.normal(0, 25, (2, 3)),
        coil_depth=float(rng.uniform(75, 260)),
    )

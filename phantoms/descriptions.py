"""What people call a series: right, in another language, wrong, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

Phrasing = Mapping[tuple[str, str], tuple[str, ...]]
"""(view, kind) -> a phrase for each vendor's style, then phrases in other languages."""

STYLES = 4
"""The first so many phrases of each entry are the vendors' own, in English."""


class Description(NamedTuple):
    """A description and whether it is right, foreign (right in another language), wrong or empty."""

    text: str
    verdict: str


CARDIAC: Phrasing = {
    ("SAX", "cine"): (
        "cine_trufi_retro SAX", "FIESTA SA stack", "sBTFE_BH SA", "cine short axis",
        "petit axe ciné", "Cine Kurzachse", "eje corto cine", "asse corto cine", "korte as cine", "短軸 cine",
    ),
    ("2CH", "cine"): (
        "cine_trufi_retro 2CH", "FIESTA 2ch LV", "sBTFE_BH VLA", "cine 2 chamber",
        "2 cavités ciné", "Zweikammerblick", "2 cámaras cine", "2 camere", "2-kamer", "二腔",
    ),
    ("3CH", "cine"): (
        "cine_trufi_retro 3CH", "FIESTA 3ch", "sBTFE_BH LVOT 3CH", "cine 3 chamber",
        "3 cavités ciné", "Dreikammerblick", "3 cámaras cine", "3 camere", "3-kamer", "三腔",
    ),
    ("4CH", "cine"): (
        "cine_trufi_retro 4CH", "FIESTA 4ch", "sBTFE_BH HLA", "cine 4 chamber",
        "4 cavités ciné", "Vierkammerblick", "4 cámaras cine", "4 camere", "4-kamer", "四腔",
    ),
    ("localizer", "localizer"): (
        "localizer", "3-pl T2* FGRE loc", "survey_BTFE", "Locator 3 plane",
        "repérage", "Übersicht", "localizador", "localizzatore", "overzicht", "位置決め",
    ),
    ("SAX", "late-enhancement"): (
        "LGE_PSIR SAX", "MDE SA", "PSIR_TFE SA", "late enhancement short axis",
        "réhaussement tardif petit axe", "Late Enhancement Kurzachse", "realce tardío eje corto",
        "tardivo asse corto", "late aankleuring korte as", "遅延造影",
    ),
    ("SAX", "flow-magnitude"): (
        "flow_v150_thr aorta", "2D PC aorta", "QFLOW_BH", "PS flow aorta",
        "flux aorte", "Fluss Aorta", "flujo aorta", "flusso aorta", "flow aorta", "血流",
    ),
    ("SAX", "flow-phase"): (
        "flow_v150_thr aorta_P", "2D PC aorta", "QFLOW_BH", "PS flow aorta",
        "flux aorte", "Fluss Aorta", "flujo aorta", "flusso aorta", "flow aorta", "血流",
    ),
}  # fmt: skip
"""Of heart exams."""

KNEE: Phrasing = {
    ("SAG", "static-fs"): (
        "pd_tse_fs_sag", "Sag PD FatSat", "PDW_SPAIR_sag", "SAG PD FS",
        "sag DP FS", "PD sagittal fettges.", "DP sagital sat. grasa", "DP sag FS",
        "PD sag vetonderdrukt", "矢状断 PD FS",
    ),
    ("SAG", "static"): (
        "t1_tse_sag", "Sag T1", "T1W_TSE_sag", "SAG T1", "sag T1", "T1 sagittal", "T1 sagital",
        "T1 sagittale",
        "T1 sag", "矢状断 T1",
    ),
    ("COR", "static-fs"): (
        "pd_tse_fs_cor", "Cor PD FatSat", "PDW_SPAIR_cor", "COR PD FS",
        "coro DP FS", "PD koronar fettges.", "DP coronal sat. grasa", "DP coronale FS",
        "PD cor vetonderdrukt",
        "冠状断 PD FS",
    ),
    ("AX", "static-fs"): (
        "pd_tse_fs_tra", "Ax PD FatSat", "PDW_SPAIR_tra", "AX PD FS",
        "axial DP FS", "PD transversal fettges.", "DP axial sat. grasa", "DP assiale FS",
        "PD tra vetonderdrukt",
        "横断 PD FS",
    ),
    ("localizer", "localizer"): (
        "localizer", "3-plane loc", "survey", "Locator", "repérage 3 plans", "Übersicht", "localizador",
        "localizzatore", "overzicht", "位置決め",
    ),
}  # fmt: skip
"""Of knee exams; "static-fs" is fat-suppressed."""


def drawn_description(
    phrasing: Phrasing,
    view: str,
    kind: str,
    style: int,
    wrong_and_empty: tuple[float, float],
    foreign: float,
    rng: np.random.Generator,
) -> Description:
    """Draw what a series of this view and kind is called."""
    luck, language = float(rng.random()), float(rng.random())
    others = [key for key in phrasing if key[0] != view and "localizer" not in key]
    other = others[int(rng.integers(len(others)))]
    word = int(rng.integers(STYLES, min(map(len, phrasing.values()))))
    wrong, empty = wrong_and_empty
    if luck < wrong:
        return Description(phrasing[other][style], "wrong")
    if luck < wrong + empty:
        return Description("", "empty")
    if language < foreign:
        return Description(phrasing[view, kind][word], "foreign")
    return Description(phrasing[view, kind][style], "right")

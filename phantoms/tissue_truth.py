"""What every pixel is made of, as files: tissue images as DICOM SEG, and the table of tissues.

A tissue image says what lies at the middle of the slice under the centre of each pixel (`phantoms.sampling`):
at a border the tissue there decides, not the larger share of the voxel. The image itself is averaged
over the pixel and over the thickness of the slice, so a pixel at an oblique border may be brighter or darker
than its tissue.

The object is the series' own segmentation (`phantoms.segmentation`) with other segments, one a tissue, and
other pixels: frames, references and order are the same, so both are matched to images in the same way. Air
is the label map's background, 0. It is deflated, since tissues are large even areas.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from phantoms.contrast import FATTY
from phantoms.encoding import Encoder
from phantoms.segmentation import SegmentationIdentity, replaced_segments
from phantoms.segments import Segment
from phantoms.tissues import RELAXATION, Tissue
from phantoms.transfer_syntax import SYNTAXES

TABLE = "tissues.json"
"""Name of the table in the folder of the tissue images."""

FORMAT, VERSION = "anatprep-tissues", 1

TISSUE_SEGMENTS = tuple(
    Segment(int(t), t.name.lower().replace("_", " "), f"T{int(t)}", t.name.lower(), (t,), "99ANATPREP")
    for t in Tissue
    if t != Tissue.AIR
)
"""One segment a tissue, by its own number; the codes are of a private scheme."""


def write_tissue_table(folder: Path) -> None:
    """Write which tissue each number is, with proton density, T1 and T2 (ms) as the images were made with.

    The last number, `fat`, is 1 for tissues whose signal fat suppression takes away, else 0.
    """
    rows = [
        {
            "number": int(tissue),
            "name": tissue.name.lower().replace("_", " "),
            "density": RELAXATION[tissue].density,
            "t1_ms": float(RELAXATION[tissue].t1_ms),
            "t2_ms": float(RELAXATION[tissue].t2_ms),
            "fat": float(tissue in FATTY),
        }
        for tissue in Tissue
    ]
    content = json.dumps({"format": FORMAT, "version": VERSION, "tissues": rows}, indent=1)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{TABLE}.unfinished"
    unfinished.write_text(content + "\n", encoding="utf-8")
    unfinished.replace(folder / TABLE)


def write_tissue(
    path: Path,
    segmentation: Dataset,
    tissue: NDArray[np.uint8],
    identity: SegmentationIdentity,
    encoder: Encoder,
) -> None:
    """Write the tissue images of a series.

    Parameters
    ----------
    path
        The file to write.
    segmentation
        The series' segmentation, as `segmentation_of` makes it.
    tissue : array, shape (frames, rows, columns)
        In the order of its frames.
    identity
        UIDs of the new object.
    encoder
        Explicit VR little endian; it may keep elements of `segmentation`.
    """
    made = replaced_segments(segmentation, tissue, TISSUE_SEGMENTS, identity, "TISSUES")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(Encoder(SYNTAXES["deflated"], encoder).file(made))

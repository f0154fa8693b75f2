"""How the chunks of a store are compressed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pretext_targets.schema import Field

Compression = Literal["lz4", "zstd", "none"]
"""How pixels are stored: fast, a twentieth smaller, or as they are."""

DEFAULT_COMPRESSION: Compression = "lz4"


@dataclass(frozen=True)
class Codec:
    """One setting of Blosc."""

    name: Literal["lz4", "zstd"]
    level: int
    shuffle: Literal["noshuffle", "shuffle", "bitshuffle"]


CODECS: Mapping[tuple[Compression, int], Codec] = {
    ("lz4", 2): Codec("lz4", 5, "bitshuffle"),
    ("lz4", 1): Codec("lz4", 5, "noshuffle"),
    ("zstd", 2): Codec("zstd", 3, "bitshuffle"),
    ("zstd", 1): Codec("zstd", 3, "noshuffle"),
}
"""By the store's compression and a pixel's bytes. Measured in docs/results/build.md: LZ4 makes
images 4 % larger than Zstandard, writes them six times and reads them twice as fast; labels are
flat areas, which shuffling only breaks up."""

SMALL_COLUMNS = Codec("zstd", 3, "shuffle")
"""Of everything that is no pixels."""


def codec_of(one: Field, compression: Compression) -> Codec | None:
    """How the chunks of an array are compressed in a store; None where they are stored as they are."""
    if not one.is_raster:
        return SMALL_COLUMNS
    return CODECS.get((compression, np.dtype(one.dtype).itemsize))

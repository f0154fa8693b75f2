from __future__ import annotations

import itertools

from dicomgeom import contrast
from dicomgeom.attributes import Attributes, Given
from dicomgeom.kinds import KINDS
from dicomgeom.stack import BEATING_KINDS
from tests.dicomgeom.test_pitfalls_of_kinds import CONTRASTS


def test_every_kind_that_a_header_can_tell_is_known() -> None:
    words = (
        contrast.MAP_TOKENS,
        contrast.VELOCITY_TOKENS,
        contrast.PHASE_TOKENS,
        contrast.REAL_TOKENS,
        contrast.IMAGINARY_TOKENS,
    )
    pairs = itertools.combinations_with_replacement(sorted(set().union(*words)), 2)
    told = {contrast.contrast_kind(Attributes(Given({})), set(pair), "") for pair in pairs}
    assert told == {"map", "flow-phase", "flow-magnitude", "phase", "real", "imaginary"}
    by_time = {"cine", "static", "dynamic", "localizer"}
    assert set(KINDS) == told | by_time
    assert set(KINDS) >= {name.split()[0] for name in CONTRASTS} | set(BEATING_KINDS)

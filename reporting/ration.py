"""How many pictures a report may hold, so that its file stays small whatever it shows.

Of an export of a thousand exams a page can show a few; the rest is counted. Every source gets
a share; what one leaves over goes to those after it.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_IMAGES = 360
"""Images in a report, the coloured ones of labels included. Each is at most `pictures.LONGEST_SIDE`
pixels wide and high, one byte a pixel: together they stay below 50 MB however little they compress,
and are near 15 MB as a rule."""


@dataclass
class Ration:
    """What one source may still draw, and what it had to leave out."""

    images: int

    def take(self, images: int) -> bool:
        """Take so many images if they are still to be had; all or none."""
        if images > self.images:
            return False
        self.images -= images
        return True


def share(left: int, weight: int, weights_left: int) -> Ration:
    """Give a source its part of what is left, by weight."""
    return Ration(left * weight // max(weights_left, 1))

"""By what the page's filters can tell one item (a picture, a row of a table) from another."""

from __future__ import annotations

from dataclasses import dataclass

SEPARATOR = "|"
"""Between the words of a facet that has several; part of no word."""


@dataclass(frozen=True)
class Facets:
    """What is known of an item; an empty facet matches no choice but "all".

    Attributes
    ----------
    view : str
        SAX, 2CH, ...
    split : str
        train, validation or test.
    reasons : tuple of str
        Words of the catalogue or the build: what is remarked, or why it was left out.
    validity : str
        "usable" or "unusable".
    patient : str
        First digits of the patient's salted hash.
    labels : tuple of str
        Labels it has: "line of 2CH", "boxes", ...
    confidence : float, optional
        Of the view, 0 to 1.
    """

    view: str = ""
    split: str = ""
    reasons: tuple[str, ...] = ()
    validity: str = ""
    patient: str = ""
    labels: tuple[str, ...] = ()
    confidence: float | None = None

    @property
    def attributes(self) -> dict[str, str]:
        """The element's attributes that the filters read; what is empty is not written."""
        told = {
            "data-view": self.view,
            "data-split": self.split,
            "data-reason": SEPARATOR.join(self.reasons),
            "data-validity": self.validity,
            "data-patient": self.patient,
            "data-label": SEPARATOR.join(self.labels),
            "data-confidence": "" if self.confidence is None else f"{self.confidence:.3f}",
        }
        return {name: value for name, value in told.items() if value}

"""Sections laid out as one page that loads nothing: style, scripts and pictures are inside it.

A picture that is shown several times stands in the page once. The page forbids itself every
address but its own content (a Content-Security-Policy), and runs no script but the one it was
written with.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reporting.sections import Section

TEMPLATE = "report.html.j2"
SCRIPTS = ("filters.js", "large.js", "space.js")


@dataclass
class Shared:
    """What a page holds once, however often it is shown: images, and outlines they are cut along."""

    letter: str
    names: dict[str, str] = field(default_factory=dict)

    def name_of(self, content: str) -> str:
        """Give the name that stands for it; it goes into the page when it is named first."""
        return self.names.setdefault(content, f"{self.letter}{len(self.names) + 1}")


def render(sections: Sequence[Section]) -> str:
    """Lay sections out as a page."""
    environment = Environment(
        loader=PackageLoader("reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    images, outlines = Shared("i"), Shared("o")
    environment.filters["shared"] = images.name_of
    environment.filters["outlined"] = outlines.name_of
    body = environment.get_template("body.html.j2").render(sections=sections)
    script = "".join(_source(environment, name) for name in SCRIPTS)
    # Markup: our own files, and what our own template escaped.
    return environment.get_template(TEMPLATE).render(
        body=Markup(body),
        style=Markup(_source(environment, "style.css")),
        script=Markup(script),
        script_hash=_hash_of(script),
        images=images.names,
        outlines=outlines.names,
    )


def _source(environment: Environment, name: str) -> str:
    """The text of a file beside the templates, as it is."""
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _hash_of(script: str) -> str:
    """How the page's policy names its script."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")

"""What to build: which view carries the labels, which views cut it, on which grid.

A protocol is a TOML file. Shipped ones lie in `protocols/`, examples for other parts of the
body in `protocols/examples/`; a user's own has the same keys, any view may carry labels, and
a key that isn't known is refused by its name. Lengths are in mm and become pixels of the grid,
so that the same anatomy is labelled at any spacing; `units = "px"` takes them as pixels of the
grid instead, to repeat a paper to the letter.

Views and kinds are those that a catalogue can hold: another name would match nothing, ever, and is refused.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from dicomgeom.errors import WrongUse, in_plain_words
from dicomgeom.kinds import KINDS
from dicomgeom.spelling import meant, unknown
from dicomgeom.view_names import VIEWS

FOLDER = Path(__file__).parent / "protocols"
EXAMPLES = FOLDER / "examples"

MAX_SIDE: Final = 2048
"""Rows and columns at most: MR images are measured and stored with 1024 and fewer."""

SOME_FRAMES: Final = ("all", "ED", "ED+ES")
"""What `frames` may say beside a number."""

Units = Literal["mm", "px"]
Direction = tuple[float, float, float]
Side = Annotated[PositiveInt, Field(le=MAX_SIDE)]


class _Checked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BoxLine(_Checked):
    """One of the two lines along which boxes are laid.

    Attributes
    ----------
    partner : str
        View whose plane makes the line.
    first, second : str
        Anatomical names of its two directions.
    toward : "base" or (x, y, z)
        `first` is the direction with a positive dot product with this LPS vector, or toward
        the base of the heart (against the short-axis stack's base-to-apex normal).
    """

    partner: str
    first: str
    second: str
    toward: Literal["base"] | Direction


class Boxes(_Checked):
    """The nine boxes of Bai et al., MICCAI 2019: one at the crossing, two each way along each line."""

    lines: tuple[BoxLine, BoxLine]
    side: PositiveFloat
    step: PositiveFloat
    units: Units = "mm"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of classes 1 to 9."""
        names = ["centre"]
        for line in self.lines:
            names += [f"{where} {way}" for way in (line.first, line.second) for where in ("near", "far")]
        return tuple(names)


class Heatmap(_Checked):
    """The lines' heatmaps of Zhang, Wei et al., Medical Image Analysis 2024."""

    sigma: PositiveFloat
    units: Units = "mm"


class Protocol(_Checked):
    """What to build from a catalogue."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    about: str = ""
    carrier: str
    """View of the stacks whose slices become examples."""
    partners: tuple[str, ...] = Field(min_length=1)
    """Views whose planes make the lines, in the order of the channels."""
    kinds: tuple[str, ...] = Field(min_length=1)
    """Kinds of stack admitted, for carrier and partners: cine, static, ..."""
    middle_of_two: Literal["first", "second"] = "first"
    """Which of two slices equally near the middle of a partner stack is its central plane:
    the first (basal in a short axis) or the second (apical)."""
    prefer_fat_suppressed: bool = False
    """Of several carrier stacks of a study take only the fat-suppressed ones, where there are any."""
    rows: Side
    columns: Side
    spacing_mm: PositiveFloat
    frames: Literal["all", "ED", "ED+ES"] | PositiveInt = "all"
    """Phases of each slice that become examples: all, so many evenly spread ones, or those proposed
    as end-diastole and end-systole (all of a stack for which nothing is proposed)."""
    centre: Literal["image", "crossing"] = "image"
    """Centre of the grid: the image's own as in the papers, or where the carrier's middle plane
    meets those of two partners (the image's own where they do not)."""
    location_mapping: Literal["linear", "sine"] = "linear"
    """Which location the paper trains on for this anatomy; a store holds both."""
    boxes: Boxes | None = None
    """None: the slices get lines and locations only."""
    heatmap: Heatmap

    @field_validator("frames", mode="before")
    @classmethod
    def _frames_in_one_sentence(cls, given: Any) -> Any:
        """Pydantic would complain once for each thing that frames may be."""
        if given not in SOME_FRAMES and (isinstance(given, bool) or not isinstance(given, int) or given < 1):
            choice = f"expected {', '.join(SOME_FRAMES)} or how many, 1 or more"
            raise ValueError(choice + (meant(given, SOME_FRAMES) if isinstance(given, str) else ""))
        return given

    @model_validator(mode="after")
    def _views_agree(self) -> Protocol:
        if len(set(self.partners)) != len(self.partners):
            raise ValueError("a partner is listed twice")
        if self.carrier in self.partners:
            raise ValueError(f"the carrier {self.carrier} cannot be its own partner")
        lines = () if self.boxes is None else self.boxes.lines
        unknown = [line.partner for line in lines if line.partner not in self.partners]
        if unknown:
            raise ValueError(f"boxes.lines name {', '.join(unknown)}, which is no partner")
        if self.centre == "crossing" and len(self.crossing_views) != 2:
            raise ValueError("a crossing needs two partners")
        return self

    @property
    def box_names(self) -> tuple[str, ...]:
        """Names of classes 1 to 9; none without boxes."""
        return () if self.boxes is None else self.boxes.names

    @property
    def box_channels(self) -> tuple[int, ...]:
        """Places among the partners of the lines along which boxes are laid."""
        lines = () if self.boxes is None else self.boxes.lines
        return tuple(self.partners.index(line.partner) for line in lines)

    @property
    def crossing_views(self) -> tuple[str, ...]:
        """The partners whose planes meet the carrier's in the crossing: the boxes', else the first two."""
        if self.boxes is None:
            return self.partners[:2]
        return tuple(self.partners[channel] for channel in self.box_channels)

    @property
    def box_side_px(self) -> float:
        """Side of a box in pixels of the grid; 0 without boxes."""
        return 0.0 if self.boxes is None else self._pixels(self.boxes.side, self.boxes.units)

    @property
    def box_step_px(self) -> float:
        """Distance between the centres of neighbouring boxes in pixels of the grid; 0 without boxes."""
        return 0.0 if self.boxes is None else self._pixels(self.boxes.step, self.boxes.units)

    @property
    def line_sigma_px(self) -> float:
        """Width of the heatmaps in pixels of the grid."""
        return self._pixels(self.heatmap.sigma, self.heatmap.units)

    def _pixels(self, length: float, units: Units) -> float:
        return length if units == "px" else length / self.spacing_mm

    def with_changes(self, **changes: Any) -> Protocol:
        """The same protocol with some keys changed, e.g. rows, columns, spacing_mm, frames.

        Raises
        ------
        WrongUse
            For an unknown key or a value that makes no sense.
        """
        return _checked({**self.as_dict(), **changes}, where=f"protocol {self.name}")

    def as_dict(self) -> dict[str, Any]:
        """Everything, as plain JSON values: what a store keeps."""
        return self.model_dump(mode="json")


def shipped_protocols() -> tuple[str, ...]:
    """Names of the protocols that come with anatprep and are built unless others are named."""
    return _names_in(FOLDER)


def example_protocols() -> tuple[str, ...]:
    """Names of those that come as examples: built only when named."""
    return _names_in(EXAMPLES)


def _names_in(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in folder.glob("*.toml")))


def load_protocol(name_or_path: str | Path) -> Protocol:
    """Read a shipped or example protocol by its name, or a TOML file by its path.

    Raises
    ------
    WrongUse
        When there is none, it isn't TOML, or a key or value makes no sense; all that is
        wrong is listed at once.
    """
    path = Path(name_or_path)
    if str(name_or_path) in shipped_protocols():
        path = FOLDER / f"{name_or_path}.toml"
    elif str(name_or_path) in example_protocols():
        path = EXAMPLES / f"{name_or_path}.toml"
    elif not path.is_file():
        raise WrongUse(
            f"no protocol {str(name_or_path)!r}: give the path of a TOML file or one of "
            f"{', '.join(shipped_protocols())} (examples: {', '.join(example_protocols())})"
        )
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongUse(f"{path} is not TOML: {error}") from error
    return _checked(content, where=str(path))


def _checked(content: dict[str, Any], *, where: str) -> Protocol:
    """A protocol to build by. The class does not look at names, so that what a store keeps stays readable."""
    try:
        protocol = Protocol.model_validate(content)
    except ValidationError as error:
        raise WrongUse(f"{where}: {'; '.join(_complaint(dict(one)) for one in error.errors())}") from error
    views = [("carrier", protocol.carrier), *(("partners", view) for view in protocol.partners)]
    faults = [f"{key}: {unknown('view', view, VIEWS)}" for key, view in views if view not in VIEWS]
    faults += [f"kinds: {unknown('kind', kind, KINDS)}" for kind in protocol.kinds if kind not in KINDS]
    if faults:
        raise WrongUse(f"{where}: {'; '.join(faults)}")
    return protocol


def _complaint(one: dict[str, Any]) -> str:
    key = ".".join(map(str, one["loc"]))
    if one["type"] == "extra_forbidden":
        return f"unknown key {key!r}, the keys are {', '.join(Protocol.model_fields)}"
    if one["type"] == "missing":
        return f"missing key {key!r}"
    said = in_plain_words(one["msg"])
    return f"{key}: {said}, found {one['input']!r}" if key else said

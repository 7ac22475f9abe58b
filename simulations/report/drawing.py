"""What all pictures share: matplotlib's settings, SVG that suits bright and dark pages, words at a pointer.

The colours in the SVG are those of a bright page, so that whatever reads it shows it; on a dark page a few
rules of CSS replace each of them by its counterpart.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Literal
from xml.etree import ElementTree as ET

from matplotlib import rc_context
from matplotlib import style as styles
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from diagrams.palette import DARK, LIGHT, Tone
from simulations.report import colours
from simulations.report.figures import printable

WORD, QUIET, AXIS = LIGHT.ink[Tone.GREY].text, LIGHT.quiet_text, LIGHT.frame_line
AREA, LATE = LIGHT.ink[Tone.PLAIN].line, LIGHT.ink[Tone.RED].line

_PX_AN_INCH = 72
"""A point of matplotlib is then a pixel of the picture."""

_FONT = "DejaVu Sans"
"""Comes with matplotlib, and is wider than what `_SANS` finds: what fits with it fits."""
_SANS = "system-ui, -apple-system, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', Helvetica, Arial, sans-serif"

_SETTINGS = {
    "svg.fonttype": "none",  # text stays text, to be drawn where it is read
    "text.parse_math": False,  # what a peer sent is no formula
    "font.sans-serif": [_FONT],
    "font.size": 11,
    "text.color": QUIET,
    "axes.edgecolor": AXIS,
    "axes.labelcolor": QUIET,
    "axes.titlecolor": WORD,
    "axes.titlelocation": "left",
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlepad": 10,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.axisbelow": True,
    "axes.xmargin": 0,
    "grid.color": colours.GRID,
    "xtick.color": AXIS,
    "ytick.color": AXIS,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "xtick.major.size": 5,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.labelcolor": WORD,
}

_GROUND = (
    f":root {{ background: {LIGHT.page}; }}\n"
    f"@media (prefers-color-scheme: dark) {{ :root {{ background: {DARK.page}; }} }}\n"
)

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
ET.register_namespace("", _SVG)
ET.register_namespace("xlink", _XLINK)

_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@contextmanager
def styled() -> Iterator[None]:
    """Draw in here: with our settings whatever the user's are, on a screen or without one."""
    with warnings.catch_warnings(), styles.context(["default", _SETTINGS]):
        # Only the width of such a letter is guessed; the reader's own fonts may well have it.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        yield


def css() -> str:
    """Give the rules that pictures within a page need; they touch nothing but pictures."""
    replaced = "".join(
        f'svg [style*="{what}: {bright}"] {{ {what}: {dark} !important; }}\n'
        for bright, dark in colours.dark_of().items()
        for what in ("fill", "stroke")
    )
    return (
        "svg * { stroke-linejoin: round; stroke-linecap: butt; }\n"
        f"svg text {{ font-family: {_SANS} !important; font-variant-numeric: tabular-nums; }}\n"
        f"@media (prefers-color-scheme: dark) {{\n{replaced}}}\n"
    )


@lru_cache(maxsize=4096)
def width_of(words: str, size: float) -> float:
    """Measure how wide words will be, in pixels."""
    font = FontProperties(family=_FONT, size=size)
    return text_to_path.get_text_width_height_descent(printable(words), font, ismath=False)[0]


def cut(words: str, size: float, room: float) -> str:
    """Shorten words to the room they have."""
    if width_of(words, size) <= room:
        return words
    fitting = (words[:length].rstrip() + "…" for length in range(len(words) - 1, 0, -1))
    return next((short for short in fitting if width_of(short, size) <= room), "…")


class Sketch:
    """A picture being drawn by matplotlib; sizes are in pixels, and y grows downwards."""

    def __init__(self, width: float, height: float, title: str, told: str) -> None:
        """Begin one; `told` says in words what can be seen, for those who cannot."""
        self.width, self.height = width, height
        size = (width / _PX_AN_INCH, height / _PX_AN_INCH)
        self.figure = Figure(size, dpi=_PX_AN_INCH, frameon=False)
        self._label = printable(f"{title}. {told}")
        self._tips: dict[str, Sequence[str]] = {}

    def axes(self, left: float, top: float, right: float, bottom: float) -> Axes:
        """Give axes between these edges."""
        x, y = left / self.width, 1 - bottom / self.height
        place = (x, y, (right - left) / self.width, (bottom - top) / self.height)
        return self.figure.add_axes(place, facecolor="none")

    def tip(self, artist: Artist, *words: str) -> None:
        """Show words where one points at it; for a collection, a tip for each of its members."""
        name = f"tip {len(self._tips)}"
        artist.set_gid(name)
        self._tips[name] = [printable(each) for each in words]

    def drawn(self) -> Picture:
        """Have it drawn."""
        file = io.BytesIO()
        # The names of marks are made of the salt: those of two pictures on one page must differ.
        with rc_context({"svg.hashsalt": self._label}):
            FigureCanvasSVG(self.figure).print_svg(file, metadata=_NO_METADATA)
        root = ET.fromstring(file.getvalue())  # noqa: S314 - matplotlib wrote it just now
        for group in list(root.iter(f"{{{_SVG}}}g")):
            self._tell(group, self._tips.get(group.attrib.pop("id", ""), ()))
        for defs in [each for each in root if each.find(f"{{{_SVG}}}style") is not None]:
            root.remove(defs)  # `css` has it, within pictures only
        box = f"0 0 {self.width:g} {self.height:g}"
        root.attrib.clear()
        root.attrib.update({"viewBox": box, "role": "img", "aria-label": self._label})
        return Picture(root, self.width, self.height)

    @staticmethod
    def _tell(group: ET.Element, words: Sequence[str]) -> None:
        told = [group] if len(words) == 1 else group.findall(f"{{{_SVG}}}path") if words else []
        for element, each in zip(told, words, strict=True):
            title = ET.Element(f"{{{_SVG}}}title")
            title.text = each
            element.insert(0, title)


def word(
    axes: Axes,
    place: tuple[float, float],
    words: str,
    *,
    colour: str = QUIET,
    size: float = 10.5,
    beside: float = 0,
    align: Literal["left", "center", "right"] = "left",
    strong: bool = False,
    ground: str = "none",
) -> None:
    """Write words at a place of the axes, so many pixels beside it; a ground covers what is behind them."""
    axes.annotate(
        printable(words),
        place,
        (beside, 0),
        textcoords="offset points",
        horizontalalignment=align,
        verticalalignment="center_baseline",
        color=colour,
        fontsize=size,
        fontweight="bold" if strong else "normal",
        annotation_clip=False,
        bbox=None if ground == "none" else {"facecolor": ground, "edgecolor": "none", "pad": 1.5},
    )


class Picture:
    """A picture as SVG."""

    def __init__(self, root: ET.Element, width: float, height: float) -> None:
        """Take what was drawn."""
        self._root, self._width, self._height = root, width, height

    def inline(self) -> str:
        """Give it for a page that has `css`."""
        return ET.tostring(self._root, encoding="unicode")

    def standalone(self) -> str:
        """Give it as a file of its own, with a ground: its viewer may be white on dark screens."""
        size = {"width": f"{self._width:g}", "height": f"{self._height:g}"}
        root = ET.Element(self._root.tag, self._root.attrib | size)
        ET.SubElement(root, f"{{{_SVG}}}style").text = css() + _GROUND
        root.extend(self._root)
        return ET.tostring(root, encoding="unicode") + "\n"

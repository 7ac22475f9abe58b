"""The plots of a campaign, drawn from the floats of its tally: none of them hides the tail."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from diagrams.palette import LIGHT, Tone
from simulations.report import figures
from simulations.report.colours import OF_PHASE
from simulations.report.drawing import AREA, LATE, WORD, Picture, Sketch, cut, styled, word
from simulations.report.tally import PHASES, WITHIN_S, Sample, Tally, rank
from simulations.report.verdict import Group, Verdict

WIDTH = 960.0
_RIGHT = WIDTH - 24
_FROM_S, _TO_S = 0.001, 20.0
"""Of the axes of time: what is faster or slower is drawn at their ends."""

_BINS = 86
"""Twenty a decade."""

_LIMITS = ((0.05, "the documents: at most 5 % beyond 10 s"), (0.001, "our own bar: at most 0.1 %"))

ADDING = PHASES[1:]
"""The phases that add up to a recovery."""


@styled()
def distribution(tally: Tally) -> Picture:
    """How long recoveries took: how many of each length, and what share took longer still."""
    values = np.sort(np.fromiter(chain.from_iterable(s.windows for s in tally.samples.values()), float))
    sketch = Sketch(WIDTH, 470, "Distribution of recovery times", _in_words(values))
    _histogram(sketch, sketch.axes(76, 40, _RIGHT, 206), values)
    lower = sketch.axes(76, 262, _RIGHT, 426)
    _survivors(lower, values)
    lower.set_xlabel("from the way being whole again to the first answer", labelpad=6)
    return sketch.drawn()


def _in_words(values: NDArray[np.float64]) -> str:
    if not values.size:
        return "Nothing was measured."
    median, late = (values[rank(percent, values.size)] for percent in (50, 99))
    within = int(np.count_nonzero(values <= WITHIN_S))
    return (
        f"{values.size:,} recoveries: half of them within {figures.duration(median)}, 99 percent within "
        f"{figures.duration(late)}, the slowest {figures.duration(values[-1])}; "
        f"{figures.share(within, values.size)} within 10 s."
    )


def _histogram(sketch: Sketch, axes: Axes, values: NDArray[np.float64]) -> None:
    axes.set_title("recoveries of each length")
    _time_axis(axes, "10 s")
    edges = np.geomspace(_FROM_S, _TO_S, _BINS + 1)
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    for begin, end, count in zip(edges[:-1], edges[1:], counts, strict=True):
        if count:
            # The edge keeps a single recovery visible beside thousands.
            (bar,) = axes.bar(
                begin, count, end - begin, align="edge", facecolor=AREA, edgecolor=AREA, linewidth=0.6
            )
            sketch.tip(bar, f"{figures.duration(begin)} to {figures.duration(end)}: {count:,}")
    axes.set_ylim(0, max(counts.max(), 1) * 1.04)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: figures.count(count)))
    axes.grid(axis="y")


def _survivors(axes: Axes, values: NDArray[np.float64]) -> None:
    axes.set_title("share that took longer than that")
    _time_axis(axes)
    if values.size:
        # Not with `compress`: of equal values matplotlib 3.11 then takes the share at the first.
        axes.ecdf(np.clip(values, _FROM_S, _TO_S), complementary=True, color=AREA, linewidth=2)
    axes.set_yscale("log", nonpositive="clip")
    axes.set_ylim(10.0 ** -max(math.ceil(math.log10(max(values.size, 1))), 4), 1)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share * 100:.6g} %"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="y", which="minor", length=0)
    axes.grid(axis="y")
    for limit, words in _LIMITS:
        axes.hlines(limit, WITHIN_S, _TO_S, colors=LATE, linestyles="dashed", linewidth=1.2)
        word(axes, (WITHIN_S, limit), words, colour=LATE, beside=-8, align="right", ground=LIGHT.page)


def _time_axis(axes: Axes, named: str = "") -> None:
    """Time by powers of ten, with the bar that nothing may pass."""
    axes.set_xscale("log")
    axes.set_xlim(_FROM_S, _TO_S)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: figures.duration(seconds)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.axvline(WITHIN_S, color=LATE, linewidth=1.2)
    if named:
        axes.annotate(
            named,
            (WITHIN_S, 1),
            (-6, -2),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            horizontalalignment="right",
            verticalalignment="top",
            color=LATE,
            fontweight="bold",
        )


# -- by scenario -----------------------------------------------------------------------------------

_ROW, _TOP, _BOXES = 21.0, 46.0, 312.0
_TITLES = 104.0
"""Where titles begin, after the longest name."""

_PARTS = (5, 25, 50, 75, 95, 99)
_BXP = dict(zip(_PARTS, ("whislo", "q1", "med", "q3", "", "whishi"), strict=True))
"""What matplotlib calls those percentiles; it has no mark for the 95th."""


@styled()
def by_scenario(verdict: Verdict, tally: Tally) -> Picture:
    """One row a scenario: where half, most, and all of its recoveries lie."""
    count = len(verdict.groups)
    told = "; ".join(f"{group.name} {_spread_in_words(group)}" for group in verdict.groups)
    bottom = _TOP + _ROW * max(count, 1)
    sketch = Sketch(WIDTH, bottom + 28, "Recovery times by scenario", told or "Nothing was measured.")
    _legend(sketch)
    axes = sketch.axes(_BOXES, _TOP, _RIGHT, bottom)
    _time_axis(axes)
    _named_rows(axes, [group.name for group in verdict.groups], _BOXES - 8)
    axes.grid(axis="x")
    axes.annotate(
        "10 s",
        (WITHIN_S, 1),
        (0, 4),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        horizontalalignment="center",
        color=LATE,
        fontweight="bold",
    )
    for row, group in enumerate(verdict.groups):
        title = cut(group.title, 11, _BOXES - _TITLES - 16)
        word(axes, (_FROM_S, row), title, size=11, beside=_TITLES - _BOXES)
        _box(sketch, axes, row, tally.samples[group.name], group.name)
    return sketch.drawn()


def _spread_in_words(group: Group) -> str:
    if group.windows is None:
        return "nothing to recover from"
    return f"median {figures.duration(group.windows.p50)}, slowest {figures.duration(group.windows.most)}"


def _named_rows(axes: Axes, names: Sequence[str], left: float) -> None:
    axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
    axes.set_yticks([])
    for row, name in enumerate(names):
        x = axes.get_xlim()[0]
        word(axes, (x, row), name, colour=WORD, size=12, beside=-left, strong=True)


def _box(sketch: Sketch, axes: Axes, row: int, sample: Sample, name: str) -> None:
    ordered = sorted(sample.windows)
    shade = axes.axhspan(row - 0.5, row + 0.5, color=LIGHT.frame if row % 2 else LIGHT.page, zorder=0)
    if not ordered:
        word(axes, (_FROM_S, row), "nothing to recover from", size=11, beside=4)
        return
    places = {part: ordered[rank(part, len(ordered))] for part in _PARTS}
    shown = ", ".join(f"p{part} {figures.duration(value)}" for part, value in places.items())
    tip = f"{name}: {len(ordered):,} recoveries, {shown}, slowest {figures.duration(ordered[-1])}"
    sketch.tip(shade, tip)
    for artist in _drawn_box(axes, row, places, ordered[-1]):
        sketch.tip(artist, tip)


def _drawn_box(axes: Axes, row: float, places: Mapping[int, float], most: float) -> list[Any]:
    """Draw one, and give what it is made of; Any: matplotlib's artists of many kinds."""
    at = {part: float(np.clip(value, _FROM_S, _TO_S)) for part, value in places.items()}
    made = axes.bxp(
        [{name: at[part] for part, name in _BXP.items() if name}],
        positions=[row],
        orientation="horizontal",
        widths=0.5,
        capwidths=0.4,
        patch_artist=True,
        showfliers=False,
        manage_ticks=False,
        boxprops={"facecolor": LIGHT.ink[Tone.PLAIN].fill, "edgecolor": AREA, "linewidth": 1.0},
        medianprops={"color": AREA, "linewidth": 2.5},
        whiskerprops={"color": AREA, "linewidth": 1.0},
        capprops={"color": AREA, "linewidth": 1.0},
    )
    late = axes.plot(at[95], row, marker="|", markersize=8, color=AREA)
    dot = axes.plot(
        min(max(most, _FROM_S), _TO_S),
        row,
        marker="o",
        markersize=6,
        markeredgewidth=0,
        color=LATE if most > WITHIN_S else AREA,
        clip_on=False,
    )
    return [*made["boxes"], *made["whiskers"], *made["caps"][1:], *made["medians"], *late, *dot]


def _legend(sketch: Sketch) -> None:
    axes = sketch.axes(_BOXES, 6, _BOXES + 150, 26)
    axes.set_axis_off()
    axes.set_xscale("log")
    axes.set(xlim=(_FROM_S, _TO_S), ylim=(-1, 1))
    _drawn_box(axes, 0, dict(zip(_PARTS, (0.0012, 0.006, 0.02, 0.06, 0.6, 3), strict=True)), 12)
    for artist in axes.lines[-1:]:
        artist.set_color(AREA)
    words = "5 % | middle half and median | 95 % | 99 % | slowest of all"
    word(axes, (_TO_S, 0), words, size=11, beside=10)


# -- phases ----------------------------------------------------------------------------------------

_PANELS = (
    ("medians, and their sum", 50, 130.0, 480.0),
    ("95th percentiles, and their sum", 95, 560.0, 888.0),
)


@styled()
def phases(verdict: Verdict, tally: Tally) -> Picture:
    """Where the time goes: for each scenario what part of a recovery each phase takes.

    Every row is as wide as the next: they differ by a factor of a thousand, which `by_scenario` shows.
    """
    groups = [group for group in verdict.groups if any(group.phases[phase] for phase in ADDING)]
    told = "; ".join(_phases_in_words(group) for group in groups) or "Nothing was measured."
    bottom = _TOP + _ROW * max(len(groups), 1)
    title = "Phases of recovery by scenario, median and 95th percentile"
    sketch = Sketch(WIDTH, bottom + 8, title, told)
    for number, (words, percent, left, right) in enumerate(_PANELS):
        axes = sketch.axes(left, _TOP, right, bottom)
        axes.set_xlim(0, 1)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        axes.set_title(words, fontsize=11, fontweight="normal", color=LIGHT.quiet_text, pad=4)
        _named_rows(axes, [] if number else [group.name for group in groups], left - 8)
        axes.set_ylim(max(len(groups), 1) - 0.5, -0.5)
        for row, group in enumerate(groups):
            _stacked(sketch, axes, row, _stack(tally, group.name, percent), group.name)
    sketch.figure.legend(
        handles=[Patch(color=OF_PHASE[phase], label=phase) for phase in ADDING],
        loc="upper left",
        bbox_to_anchor=(0, 1),
        borderpad=0.2,
        ncols=len(ADDING),
        handlelength=1,
        handleheight=1,
        handletextpad=0.5,
        columnspacing=1.6,
    )
    return sketch.drawn()


def _phases_in_words(group: Group) -> str:
    medians = ((phase, group.phases[phase]) for phase in ADDING)
    return f"{group.name}: " + ", ".join(
        f"{phase} {figures.duration(spread.p50)}" for phase, spread in medians if spread is not None
    )


def _stack(tally: Tally, name: str, percent: int) -> dict[str, float]:
    ordered = {phase: sorted(tally.samples[name].phases[phase]) for phase in ADDING}
    return {phase: values[rank(percent, len(values))] for phase, values in ordered.items() if values}


def _stacked(sketch: Sketch, axes: Axes, row: int, stack: Mapping[str, float], name: str) -> None:
    whole_s, begin_s = sum(stack.values()), 0.0
    for phase, seconds in stack.items():
        if seconds:
            (bar,) = axes.barh(row, seconds / whole_s, 0.6, begin_s / whole_s, color=OF_PHASE[phase])
            sketch.tip(bar, f"{name}, {phase}: {figures.duration(seconds)}")
        begin_s += seconds
    word(axes, (1, row), figures.duration(whole_s), size=11, beside=8)

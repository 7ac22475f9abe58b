"""The race as a picture: a lane per client and scenario, a dot per run, a tick at the median."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from simulations.field.report import OURS, clients_of, spread
from simulations.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from simulations.field.runner import Outcome

COLOURS = {
    "resilience": "#c2185b",
    "tcp_floor": "#7f7f7f",
    "dealer_tuned": "#1f4e9c",
    "lazy_pirate": "#2a9fd6",
    "pyzmq_req": "#7fb2e5",
    "grpc_default": "#74b566",
    "grpc_tuned": "#1e7d32",
    "websockets_tuned": "#ef7d00",
    "nats_tuned": "#8d5a3c",
    "mqtt_tuned": "#7e3fb0",
    "mosh": "#111111",
}
"""Ours, the floor, and a family of its own for each stack."""
OTHER = "#b59f00"  # a client that was added without a colour

LEAST_MS, NEVER_MS = (
    0.1,
    200_000.0,
)  # the floor is back within half a millisecond; never lies beyond any limit
PROMISE_MS = 10_000.0
TICKS_MS = {1.0: "1 ms", 10.0: "10 ms", 100.0: "100 ms", 1000.0: "1 s", PROMISE_MS: "10 s", NEVER_MS: "never"}
WIDTH_IN, LANE_IN, GAP_IN = 8.5, 0.15, 0.42


def draw(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write the picture as SVG; the same outcomes give the same bytes."""
    # The text stays text, to be drawn where it is read.
    with mpl.rc_context({"svg.hashsalt": "race", "svg.fonttype": "none", "font.size": 7}):
        figure(outcomes).savefig(path, format="svg", metadata={"Date": None}, bbox_inches="tight")


def figure(outcomes: Sequence[Outcome]) -> Figure:
    """Draw a row per scenario, in it a lane per client as they were given, the first on top."""
    clients = clients_of(outcomes)
    played = [key for key in SCENARIOS if any(outcome.scenario == key for outcome in outcomes)]
    row_in = len(clients) * LANE_IN + GAP_IN
    drawn = Figure(figsize=(WIDTH_IN, len(played) * row_in + GAP_IN))
    rows = drawn.subplots(len(played), 1, sharex=True, squeeze=False)[:, 0]
    for axes, key in zip(rows, played, strict=True):
        _scenario(axes, key, clients, [outcome for outcome in outcomes if outcome.scenario == key])
    rows[-1].set_xlabel("from the path's return to the first answer to a request issued after it")
    drawn.subplots_adjust(hspace=GAP_IN / (row_in - GAP_IN))
    return drawn


def _scenario(axes: Axes, key: str, clients: Sequence[str], outcomes: Sequence[Outcome]) -> None:
    axes.set_title(f"{key}  {SCENARIOS[key].title}", loc="left", fontsize=8, pad=3)
    axes.set_xscale("log")
    axes.set_xlim(LEAST_MS, NEVER_MS * 2)
    axes.set_xticks(list(TICKS_MS), list(TICKS_MS.values()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(axis="x", labelbottom=True, length=2, pad=1)
    axes.set_ylim(len(clients) - 0.5, -0.5)
    axes.set_yticks(range(len(clients)), clients)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axes.axvline(PROMISE_MS, color="#999999", linewidth=0.8, linestyle="--")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    for lane, (client, label) in enumerate(zip(clients, axes.get_yticklabels(), strict=True)):
        colour = COLOURS.get(client, OTHER)
        label.set_color(colour)
        label.set_fontweight("bold" if client == OURS else "normal")
        found = [outcome.recovery_ms for outcome in outcomes if outcome.client == client]
        if found:
            _lane(axes, lane, colour, found)


def _lane(axes: Axes, lane: int, colour: str, recoveries_ms: Sequence[float | None]) -> None:
    back = [max(value, LEAST_MS) for value in recoveries_ms if value is not None]
    axes.scatter(back, [lane] * len(back), s=14, color=colour, alpha=0.55, linewidths=0, zorder=3)
    lost = [NEVER_MS] * (len(recoveries_ms) - len(back))
    axes.scatter(lost, [lane] * len(lost), s=14, color=colour, marker="x", linewidths=1.2, zorder=3)
    middle = spread(recoveries_ms).middle
    middle = NEVER_MS if math.isinf(middle) else max(middle, LEAST_MS)
    axes.plot([middle, middle], [lane - 0.42, lane + 0.42], color=colour, linewidth=2.2, zorder=4)

"""The report: one HTML file with everything in it, readable without a network, bright and dark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from diagrams.palette import DARK, LIGHT, Palette, Tone
from simulations.report import figures, lanes, plots, tables
from simulations.report.drawing import Picture, css
from simulations.report.proof import Proof
from simulations.report.tally import REGRESSIONS, Slowest
from simulations.report.timeline import timeline
from simulations.results import Run
from simulations.scenarios import Scenario
from simulations.trace import Trace

Player = Callable[[Scenario, int], tuple[Trace, Run]]

VIOLATIONS_SHOWN = 200
OPEN_AT_FIRST = 3
"""Of the timelines; the others open at a click."""

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Told:
    """One run's timeline and what is said of it."""

    name: str
    title: str
    story: str
    slowest: Slowest
    replay: str
    note: str
    """What is wrong with it: the code has changed since, or the run cannot be played again."""
    picture: Picture | None


def pictures(proof: Proof) -> dict[str, Picture]:
    """Draw the plots."""
    return {
        "distribution": plots.distribution(proof.tally),
        "scenarios": plots.by_scenario(proof.verdict, proof.tally),
        "phases": plots.phases(proof.verdict, proof.tally),
    }


def timelines(proof: Proof, player: Player) -> Iterator[Told]:
    """Play the slowest run of each scenario again, and draw it."""
    from simulations.campaign.plan import scenario as find  # noqa: PLC0415 - imports the library

    for group in proof.verdict.groups:
        slowest = group.slowest
        if slowest is None or group.name == REGRESSIONS:
            continue
        try:
            scenario = find(group.name, slowest.seed)
        except LookupError:  # the library has changed since
            continue
        picture, note = _drawn(scenario, slowest, player)
        replay = tables.replay_command(group.name, slowest.seed)
        yield Told(group.name, scenario.title, scenario.story, slowest, replay, note, picture)


def _drawn(scenario: Scenario, slowest: Slowest, player: Player) -> tuple[Picture | None, str]:
    try:
        trace, run = player(scenario, slowest.seed)
    except Exception as error:  # noqa: BLE001 - one run that raises is no reason to have no report
        return None, f"It cannot be played again: {type(error).__name__}: {error}"
    changed = (
        "" if run.digest == slowest.digest else "The code has changed since: the campaign saw another trace."
    )
    return lanes.draw(timeline(scenario, trace, run)), changed


def page(proof: Proof, player: Player) -> str:
    """Write the page."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["inline"] = lambda picture: Markup(picture.inline())  # noqa: S704 - escaped where it was drawn
    environment.filters["duration"] = figures.duration
    environment.filters["printable"] = figures.printable
    verdict = proof.verdict
    told = list(timelines(proof, player))
    return environment.get_template("report.html").render(
        style=Markup(css() + _variables()),  # noqa: S704 - constants of this project
        verdict=verdict,
        missed=sum(not bar.met for bar in verdict.bars),
        tiles=_tiles(proof),
        effort=tables.effort(verdict),
        pictures=pictures(proof),
        recovery=(tables.final(verdict), tables.windows(verdict)),
        phases=tables.phases(verdict),
        timelines=told,
        open_at_first=_slowest_of(told),
        violations=tables.violations(verdict, VIOLATIONS_SHOWN),
        violations_in_all=sum(verdict.laws.values()),
        faults=tables.faults(verdict),
        method=tables.METHOD,
        machine=proof.machine,
        sentences=proof.sentences,
        command=proof.command,
    )


def _slowest_of(told: list[Told]) -> frozenset[str]:
    ordered = sorted(told, key=lambda each: -each.slowest.total_s)
    return frozenset(each.name for each in ordered[:OPEN_AT_FIRST])


def _tiles(proof: Proof) -> list[tuple[str, str]]:
    whole = proof.verdict.whole
    spread = whole.windows
    measured = (None, None, None) if spread is None else (spread.p50, spread.p99, spread.most)
    names = ("median recovery", "99th percentile", "slowest")
    return [
        ("runs", figures.count(whole.runs)),
        ("back within 10 s", figures.share(whole.recovered, whole.tried)),
        *zip(names, map(figures.duration, measured), strict=True),
        ("laws broken", figures.count(sum(proof.verdict.laws.values()))),
    ]


def _variables() -> str:
    """Give the colours of the page itself."""
    return (
        f":root {{ {_colours(LIGHT)} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {_colours(DARK)} }} }}\n"
    )


def _colours(palette: Palette) -> str:
    ink = palette.ink
    colours = {
        "page": palette.page,
        "frame": palette.frame,
        "line": palette.frame_line,
        "quiet": palette.quiet_text,
        "text": ink[Tone.GREY].text,
        "edge": palette.frame_line + "55",
        "link": ink[Tone.PLAIN].line,
        "good": ink[Tone.GREEN].text,
        "good-fill": ink[Tone.GREEN].fill,
        "bad": ink[Tone.RED].text,
        "bad-fill": ink[Tone.RED].fill,
    }
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())

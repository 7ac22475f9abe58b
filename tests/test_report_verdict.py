"""The verdict against figures worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from simulations.report.tally import Spread, Tally, rank
from simulations.report.verdict import (
    NOTICING,
    Bar,
    Expected,
    Promise,
    ShareBar,
    Unit,
    Verdict,
    judge,
    of_runs,
)
from simulations.results import Recovery, Run, Violation

PLAIN = Expected(titles={"lift": "into the lift", "tunnel": "train tunnel"}, least_runs=1)


def recovered(total_s: float | None, *, final: bool = True) -> Recovery:
    return Recovery(0, 1.0, total_s, final, broken_s=0.5)


def played(
    scenario: str, seed: int, *recoveries: Recovery, violations: Sequence[Violation] = (), took_s: float = 0.0
) -> Run:
    return Run(scenario, seed, f"{seed:016x}", 30.0, tuple(violations), recoveries, took_s=took_s)


def bar(verdict: Verdict, what: str) -> Bar | ShareBar:
    return next(each for each in verdict.bars if each.what == what)


# -- quantiles -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("percent", "count", "index"),
    [
        (50, 1, 0),
        (99, 1, 0),
        (50, 2, 0),
        (50, 3, 1),
        (95, 20, 18),
        (95, 21, 19),
        (99, 100, 98),
        (99, 101, 99),
    ],
)
def test_percentiles_are_nearest_rank(percent: int, count: int, index: int) -> None:
    """The least value that at least so many percent do not exceed; worked out with pencil and paper."""
    assert rank(percent, count) == index


def test_a_spread_names_values_that_were_measured() -> None:
    """Of 1 to 100 the percentiles are their own numbers, in whatever order they come."""
    spread = Spread.of(float((number * 37) % 101) for number in range(1, 101))
    assert spread == Spread(count=100, p50=50.0, p95=95.0, p99=99.0, most=100.0, never=0)


def test_a_single_value_is_every_percentile() -> None:
    """One run has a verdict, too."""
    assert Spread.of([0.25]) == Spread(1, 0.25, 0.25, 0.25, 0.25, 0)


def test_nothing_has_no_spread() -> None:
    """No figure is invented for what was not measured."""
    assert Spread.of([]) is None


def test_never_is_counted_as_the_longest_of_all() -> None:
    """One of twenty that never recovered leaves p95 alone and is the worst; two move p95."""
    times = [0.1] * 19
    assert Spread.of([*times, math.inf]) == Spread(20, 0.1, 0.1, math.inf, math.inf, 1)
    assert Spread.of([*times[1:], math.inf, math.inf]) == Spread(20, 0.1, math.inf, math.inf, math.inf, 2)


# -- bars ------------------------------------------------------------------------------


def test_a_bar_tells_how_it_was_met_or_missed() -> None:
    """Both figures stand in the sentence, and the limit itself is within it."""
    assert str(Bar("any", 10.0, 1.234)) == "met: 1.23 s; the bar is at most 10 s"
    assert Bar("any", 10.0, 10.0).met
    assert str(Bar("any", 10.0, 10.001)) == "missed: 10.001 s; the bar is at most 10 s"
    assert str(Bar("any", 10.0, math.inf)) == "missed: never; the bar is at most 10 s"
    assert not Bar("any", 10.0, None).met
    assert str(Bar("any", 10.0, None)) == "missed: nothing was measured; the bar is at most 10 s"
    runs = Bar("runs", 1000, 999, Unit.RUNS, at_least=True)
    assert str(runs) == "missed: 999; the bar is at least 1,000 runs"


@pytest.mark.parametrize(("good", "whole", "met"), [(999, 1000, True), (998, 1000, False), (0, 0, False)])
def test_a_share_is_held_against_its_bar_exactly(good: int, whole: int, *, met: bool) -> None:
    """99.9 % of a thousand runs are 999 of them; of no runs nothing is known."""
    assert ShareBar("any", 999, good, whole).met is met


# -- the whole -------------------------------------------------------------------------


def test_every_run_recovers() -> None:
    """Counts, quantiles by scenario, and every bar met."""
    runs = [
        played("tunnel", 1, recovered(0.2, final=False), recovered(0.4), took_s=0.05),
        played("tunnel", 2, recovered(0.1), took_s=0.05),
        played("lift", 1, recovered(2.0), took_s=0.1),
    ]
    verdict = of_runs(iter(runs), PLAIN)
    assert verdict.met
    assert [group.name for group in verdict.groups] == ["lift", "tunnel"]
    tunnel = verdict.groups[1]
    assert tunnel.final == Spread(2, 0.1, 0.4, 0.4, 0.4, 0)
    assert tunnel.windows == Spread(3, 0.2, 0.4, 0.4, 0.4, 0)
    assert (verdict.whole.runs, verdict.whole.recovered, verdict.whole.virtual_s) == (3, 3, 90.0)
    slowest = verdict.whole.slowest
    assert slowest is not None
    assert (slowest.scenario, slowest.seed, slowest.total_s) == ("lift", 1, 2.0)
    assert verdict.rate == pytest.approx(15.0)


def test_a_run_that_never_recovered_is_a_miss_and_not_left_out() -> None:
    """It lowers the success rate, and it is the worst recovery."""
    runs = [played("lift", seed, recovered(0.1)) for seed in range(9)]
    verdict = of_runs([*runs, played("lift", 9, recovered(None))], PLAIN)
    assert verdict.whole.recovered == 9
    assert verdict.whole.final == Spread(10, 0.1, math.inf, math.inf, math.inf, 1)
    assert str(bar(verdict, "runs recovered within 10 s, the documents' bar")).startswith("missed: 90 %")
    assert str(bar(verdict, "recovery after the last fault, worst")).startswith("missed: never")
    assert not verdict.met


def test_a_recovery_between_faults_counts_too() -> None:
    """Ten seconds are the promise for every one; the final one alone being quick does not help."""
    verdict = of_runs([played("lift", 1, recovered(11.0, final=False), recovered(0.1))], PLAIN)
    assert bar(verdict, "recovery after the last fault, worst").met
    assert not bar(verdict, "recovery, between faults too, worst").met
    assert verdict.whole.recovered == 0


def test_a_recovery_of_exactly_ten_seconds_is_in_time() -> None:
    """The promise says within."""
    assert of_runs([played("lift", 1, recovered(10.0))], PLAIN).whole.recovered == 1


def test_a_run_that_could_not_be_played_is_a_miss() -> None:
    """A harness that raises proves nothing, and says so."""
    broken = Run("swarm", 3, "", 0.0, (Violation(0, 0.0, -1, "RuntimeError"),))
    verdict = of_runs([played("lift", 1, recovered(0.1)), broken], PLAIN)
    assert (verdict.whole.runs, verdict.whole.recovered, verdict.whole.unplayed) == (2, 1, 1)
    assert not bar(verdict, "runs that could not be played to their end").met


def test_a_run_in_which_nothing_broke_is_no_miss() -> None:
    """A scenario of bystanders has nothing to recover from."""
    verdict = of_runs([played("docker", 1), played("lift", 1, recovered(0.1))], PLAIN)
    assert verdict.met
    assert verdict.groups[-1].final is None


def test_who_was_well_all_along_is_counted_apart() -> None:
    """Thousands of quick answers to images that had no trouble would flatter the median."""
    well = [Recovery(image, 1.0, 0.001, final=True, decide_s=0.0, answer_s=0.001) for image in (1, 2)]
    verdict = of_runs([played("lift", 1, recovered(2.0), *well)], PLAIN)
    lift = verdict.groups[0]
    assert lift.final == lift.windows == Spread(1, 2.0, 2.0, 2.0, 2.0, 0)
    assert (lift.well, verdict.whole.well, lift.phases["answer"]) == (2, 2, None)


@pytest.mark.parametrize("total_s", [None, 10.5])
def test_who_was_well_and_does_not_answer_in_time_is_a_miss(total_s: float | None) -> None:
    """It is no recovery, and the run is not good for that."""
    verdict = of_runs([played("lift", 1, recovered(0.1), Recovery(1, 1.0, total_s, final=True))], PLAIN)
    assert verdict.whole.recovered == 0
    assert not verdict.met


def test_violations_are_counted_by_law() -> None:
    """Quick recoveries do not make up for a law that was broken."""
    twice = (
        Violation(11, 2.0, 0, "ran twice"),
        Violation(2, 3.0, 0, "no proof"),
        Violation(11, 4.0, 0, "again"),
    )
    verdict = of_runs([played("lift", 1, recovered(0.1), violations=twice)], PLAIN)
    assert verdict.laws == {2: 1, 11: 2}
    assert str(bar(verdict, "laws broken")) == "missed: 3; the bar is at most 0 violations"
    assert verdict.whole.broken == 1
    assert not verdict.met


def test_nothing_at_all_is_no_proof() -> None:
    """An empty campaign misses, and every figure says that there is none."""
    verdict = of_runs([], PLAIN)
    assert not verdict.met
    assert verdict.whole.final is None
    assert str(bar(verdict, "recovery after the last fault, worst")).startswith(
        "missed: nothing was measured"
    )
    assert verdict.rate is None


def test_too_few_runs_are_no_proof() -> None:
    """A thousand are needed to tell 99.9 % from all; what is asked for is the caller's."""
    few = of_runs([played("lift", 1, recovered(0.1))], Expected(titles={}, least_runs=2))
    assert str(bar(few, "runs played")) == "missed: 1; the bar is at least 2 runs"


def test_phases_are_summed_up_where_they_were_seen() -> None:
    """An old link that survived has no dial; that is not a dial of no time."""
    runs = [
        played("lift", 1, replace(recovered(0.5), decide_s=0.1, dial_s=0.2, answer_s=0.2)),
        played("lift", 2, replace(recovered(0.2), decide_s=0.0, answer_s=0.2)),
    ]
    phases = of_runs(runs, PLAIN).groups[0].phases
    assert phases["dial"] == Spread(1, 0.2, 0.2, 0.2, 0.2, 0)
    assert phases["decide"] == Spread(2, 0.0, 0.1, 0.1, 0.1, 0)
    assert phases["restore"] is None


def test_regressions_are_one_group_after_the_random_ones() -> None:
    """Their labels differ, their worst one keeps its own."""
    runs = [
        played("regression 2", 5, recovered(0.3)),
        played("swarm", 1, recovered(0.1)),
        played("regression 11", 6, recovered(0.2)),
        played("lift", 1, recovered(0.1)),
    ]
    verdict = of_runs(runs, PLAIN)
    assert [(group.name, group.runs) for group in verdict.groups] == [
        ("lift", 1),
        ("swarm", 1),
        ("regressions", 2),
    ]
    slowest = verdict.groups[2].slowest
    assert slowest is not None
    assert slowest.scenario == "regression 2"


def test_noticing_is_judged_only_where_nothing_but_silence_happened() -> None:
    """A night's sleep is noticed late, and nobody is to blame."""
    runs = [
        played("tunnel", 1, replace(recovered(0.1), detect_s=2.5)),
        played("sleep", 1, replace(recovered(0.1), detect_s=28_800.0)),
    ]
    verdict = of_runs(runs, Expected({}, silent=frozenset({"tunnel"}), least_runs=1))
    assert str(bar(verdict, "noticing a silent drop, worst")) == "met: 2.5 s; the bar is at most 3 s"


def test_a_scenario_with_bars_of_its_own_is_held_against_them() -> None:
    """Median and worst; what was to be played and was not is not met, and what was left out has no say."""
    promises = (Promise("lift", 0.05, 0.5), Promise("tunnel", 0.05, 0.5))
    runs = [played("lift", seed, recovered(total_s)) for seed, total_s in enumerate((0.01, 0.04, 0.6))]
    verdict = of_runs(runs, Expected({}, promises=promises, least_runs=1))
    assert bar(verdict, "lift recovery, median").met
    assert not bar(verdict, "lift recovery, worst").met
    assert str(bar(verdict, "tunnel recovery, worst")).startswith("missed: nothing was measured")
    assert not verdict.unjudged
    narrowed = of_runs(runs, Expected({}, promises=promises, least_runs=1, left_out=frozenset({"tunnel"})))
    assert not [each for each in narrowed.bars if each.what.startswith("tunnel")]
    assert narrowed.unjudged == ("tunnel recovery",)


def test_noticing_is_missed_if_one_of_the_silent_ones_was_not_played() -> None:
    """Unless it was left out; if all were, that is said."""
    runs = [played("tunnel", 1, replace(recovered(0.1), detect_s=2.5))]
    both = Expected({}, silent=frozenset({"tunnel", "S4"}), least_runs=1)
    assert not bar(of_runs(runs, both), NOTICING).met
    assert bar(of_runs(runs, replace(both, left_out=frozenset({"S4"}))), NOTICING).met
    neither = of_runs([played("lift", 1)], replace(both, left_out=frozenset({"S4", "tunnel"})))
    assert neither.unjudged == (NOTICING,)


def test_a_campaign_that_breaks_law_after_law_stays_small() -> None:
    """Beyond the first thousand violations are only counted."""
    late = [Violation(10, 1.0, 0, "late")]
    tally = Tally.of(played("swarm", seed, recovered(0.1), violations=late) for seed in range(1500))
    assert len(tally.violations) == 1000
    assert judge(tally, PLAIN).laws == {10: 1500}

"""The verdict over a whole run: a long correct one has no violation, and each law can be broken."""

from __future__ import annotations

import re
from pathlib import Path

from simulations import check
from simulations.check import LAWS, MOST_OF_ONE_LAW, judge
from simulations.trace import Kind
from traces import Tale, dropped

DESIGN_LAWS = 23


def a_long_day() -> Tale:
    """A drop, a busy image, an unrelated interface, a sleep, a lost lease, a kill, and a good end."""
    told = Tale().begin()
    for n in range(4):
        told.evaluate(1.0 + n, 1, str(1_000_001 + n))
    told_at = dropped(told, 5.2, 9.0)
    told.probe(told_at + 0.001, 2, 10, asked_at=9.0)
    told.fault("20 image busy 4 #0")
    told.ask(20.5, "1000011", timeout_s=5.0)
    told.note(20.5, Kind.SENT, gen=2, label="1000011")
    told.stands(23.0, "Connected", "image busy", busy=True)
    told.execute(24.0, 2, "1000011")
    told.note(24.0, Kind.ANSWERED, label="1000011", image_id="image-0")
    told.outcome(24.001, "1000011", "done")
    told.fault("30 bystander", "40 suspend 100")
    told.probe(140.1, 2, 12, asked_at=140.0)
    told.fault("160 lease lost")
    told.note(160.002, Kind.NOTICED, -1, interfaces="lo,wlan0")
    told.note(160.002, Kind.ABORTED, gen=2)
    told.told(160.003, "Connected path_lost Reconnecting", "waiting for network")
    told.scouts(160.01, 163.0)
    told.fault("163 lease back")
    told.note(163.002, Kind.NOTICED, -1, interfaces="lo,wlan0")
    told_at = told.connect(163.002, 3, source="Reconnecting")
    told.probe(told_at + 0.01, 3, 13, asked_at=163.0)
    told.fault("180 kill")
    told.process(180.0, "kill")
    told.fault("182 start")
    told.process(182.0, "start")
    told.note(182.0, Kind.RESTORED, state="Connected", seq=told.seqs[0], session="a")
    told.told(182.01, "Fresh session_found Restoring", "reading the session")
    told.told(182.011, "Restoring session_restored Restored", "session restored")
    told_at = told.connect(182.012, 1, source="Restored")
    told.probe(told_at + 0.01, 1, 14, asked_at=182.01)
    told.healed(200.0)
    told.probe(200.1, 1, 15, asked_at=200.0)
    told.close(203.0, 1)
    return told


def test_a_long_correct_run_breaks_no_law() -> None:
    """And every check has looked at it."""
    told = a_long_day()
    assert judge(told.scenario, told.trace) == ()


def test_violations_come_in_order_and_are_not_repeated_without_end() -> None:
    """More of the same say nothing new."""
    told = a_long_day()
    for n in range(MOST_OF_ONE_LAW + 10):
        told.note(200.0 - n, Kind.BUG, -1, text="KeyError: 7")
    told.evaluate(20.7, 2, "1000001")
    found = judge(told.scenario, told.trace)
    assert [v.at for v in found] == sorted(v.at for v in found)
    assert sum(v.law == 0 for v in found) == MOST_OF_ONE_LAW
    assert {11, 13} <= set(told.broken())


def test_judging_leaves_the_trace_as_it_is() -> None:
    """It can be judged again, and its fingerprint is the same."""
    told = a_long_day()
    trace = told.trace
    before = trace.digest
    judge(told.scenario, trace)
    assert trace.digest == before


def test_an_empty_run_breaks_nothing() -> None:
    """Nothing happened, so nothing wrong."""
    told = Tale()
    assert judge(told.scenario, told.trace) == ()


def test_each_law_says_what_is_checked_or_who_shows_it() -> None:
    """All of DESIGN section 4, one sentence or two each, and the files named there exist."""
    assert list(LAWS) == list(range(DESIGN_LAWS + 1))
    root = Path(__file__).resolve().parent.parent
    for said in LAWS.values():
        assert said.endswith(".")
        for named in re.findall(r"tests/[a-z_*]+\.py", said):
            assert list(root.glob(named)), named


def test_every_check_is_in_the_verdict() -> None:
    """A predicate that nobody calls finds nothing."""
    listed = {one.__name__ for one in check._CHECKS}
    modules = (
        check.busy,
        check.calm,
        check.edits,
        check.ends,
        check.identity,
        check.links,
        check.noticing,
        check.paths,
        check.recovery,
        check.requests,
        check.search,
        check.secrecy,
        check.stops,
        check.work,
    )
    defined = {
        name
        for module in modules
        for name, one in vars(module).items()
        if getattr(one, "__module__", "") == module.__name__
        and getattr(one, "__annotations__", {}) == {"story": "Story", "return": "Iterator[Violation]"}
        and not name.startswith("_")
    }
    assert defined == listed

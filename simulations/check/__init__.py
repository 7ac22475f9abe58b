"""Which of the laws (DESIGN section 4) one run broke, judged by its trace alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from simulations.check import (
    busy,
    calm,
    edits,
    ends,
    identity,
    links,
    noticing,
    paths,
    recovery,
    requests,
    search,
    secrecy,
    stops,
    work,
)
from simulations.check.recovery import PROMISE_S
from simulations.check.story import Story
from simulations.results import Violation
from simulations.scenarios import Scenario
from simulations.trace import Trace

__all__ = ["LAWS", "PROMISE_S", "judge"]

MOST_OF_ONE_LAW = 20
"""More of the same say nothing new."""

LAWS: dict[int, str] = {
    0: "No exception reaches the event loop, no task dies unheard, and an end that is asked for comes.",
    1: "Generations only grow, at most three links and one dial are open, nothing is sent on a link that has "
    "ended or tried for a user who said disconnect, and a link that nothing happened to is left alone.",
    2: "Connected is told only of a handshaken link on which the image has answered, never while nobody can "
    "be reached, and work is sent on no other.",
    3: "While the image is busy nothing is redialled, told lost or closed, and its reason says busy; a "
    "frozen image on a healthy network is told as frozen within 6 s.",
    4: "A silent way is told within 1 s with a request in flight, 3 s idle; a way that is slow, but carries "
    "10 kB/s, is not cut.",
    5: "A stranger at the address is never told connected, is named, and soon forgotten once it is gone; a "
    "person is asked only where another image or another version has answered.",
    6: "Our own stall or sleep is not told as the network's silence, and the old link is asked first.",
    7: "Repeated hints make no difference: nothing is dialled, told or closed. A network that is back is "
    "dialled on at once.",
    8: "An interface that is none of ours makes no difference; a link whose own address is gone is left.",
    9: "A carrier, link or address that goes is told as lost at once. With the kernel's announcements lost "
    "every image is back all the same (as law 10). What a platform tells is shown by "
    "tests/test_network_*.py and by the runs in network namespaces.",
    10: "10 s after its way is whole every image is told connected and answers; until then a try follows "
    "a try within 1 s (in the first minute) or 4 s.",
    11: "No evaluation is sent or carried out twice, ever; what is told as not done was never begun; what "
    "was given up does not run later; an end in good order leaves no link open.",
    12: "Each request has one outcome, by its deadline; none is handed over before the handshake; with "
    "nothing in its way it is answered.",
    13: "Each reply is the one to its own request, and one request is out at a time.",
    14: "Every transition told is legal, follows the one before, is on disk before it is told as durable, "
    "and is known to the next process; trouble with the disk is shown.",
    15: "What was told saved survives a power cut, what is 250 ms old a kill, all of it a good end; "
    "it is found as it was typed, and while it is not on the medium nobody reads Connected.",
    16: "A session that was found once is found by every process after it.",
    17: "Work runs at the image it was meant for and never at another, which leads to Orphaned; a restarted "
    "image, and whoever else is the same one, does not.",
    18: "While only other images are in trouble this one's link is left alone and its requests answered.",
    19: "Not shown by a trace: the store's own tests show it (tests/test_store_*.py).",
    20: "No canary stands in anything that is told, noticed or answered.",
    21: "Not shown by a trace: virtual links carry no keys.",
    22: "As far as the strangers of law 5 go beyond a bound; the rest is shown by tests/test_hostile*.py.",
    23: "Not shown by a trace: tests/test_errors.py shows it.",
}
"""What is checked of each law, or who shows it instead."""

_CHECKS: tuple[Callable[[Story], Iterable[Violation]], ...] = (
    secrecy.nothing_breaks,
    links.one_owner_of_retry,
    links.what_is_let_go_is_closed,
    links.what_is_lost_was_lost,
    links.stays_away,
    links.connected_needs_proof,
    links.nothing_waits_inside,
    noticing.no_claim_beyond_reach,
    noticing.silence_is_noticed,
    calm.left_alone,
    calm.few_pings,
    calm.served,
    busy.busy_is_shown,
    busy.frozen_is_named,
    stops.own_stop_is_excused,
    paths.a_lost_address_is_left,
    paths.events_are_acted_on,
    search.never_stops_trying,
    search.never_floods,
    requests.never_twice,
    requests.outcomes_are_true,
    requests.probes_are_answered,
    requests.told_once_in_time,
    requests.no_ghosts,
    work.transitions_are_legal,
    work.told_is_kept,
    work.told_without_delay,
    work.trouble_is_shown,
    work.trouble_is_taken_back,
    ends.ends_come,
    edits.work_is_kept,
    edits.unsaved_is_shown,
    identity.work_goes_to_its_own_image,
    identity.only_another_is_another,
    identity.strangers_are_named,
    identity.only_verdicts_rest,
    secrecy.no_secret_is_told,
    recovery.promise_is_kept,
)


def judge(scenario: Scenario, trace: Trace) -> tuple[Violation, ...]:
    """Every violation in this trace, in the order they happened; at most `MOST_OF_ONE_LAW` of each law."""
    story = Story(scenario, trace)
    found = [violation for check in _CHECKS for violation in check(story)]
    found.sort(key=lambda violation: (violation.at, violation.law, violation.image, violation.what))
    counted: Counter[int] = Counter()
    kept = []
    for violation in found:
        counted[violation.law] += 1
        if counted[violation.law] <= MOST_OF_ONE_LAW:
            kept.append(violation)
    return tuple(kept)

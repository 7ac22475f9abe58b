"""Law 5: no peer, however wrong, wedges an endpoint; each is named, and the image is found after it.

All kinds are met at once, by one supervisor, because that is the harder case (law 18) and the shorter wait.
"""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import resilience
from resilience import Image, Reason, State, Supervisor
from resilience.standin.image import Image as Standin
from resilience.standin.serve import Bell, BindError, ImageServer, running
from simulations.hostile import CRASH_STATUS, SLOW_REPLY_BYTES, Kind, peer

ROOT = Path(__file__).resolve().parent.parent
GENEROUS_S = 15.0
RECOVERED_S = 10.0
"""The bar for every recovery (DESIGN section 6)."""
ANSWER_AT_FIRST = {Kind.REPLACED: 1, Kind.HUGE_REPLY: 1}
"""How many requests a peer answers well before it shows what it is."""

NAMED: dict[Kind, set[Reason]] = {
    Kind.WRONG_PROTOCOL: {Reason.OTHER_PROGRAM},
    Kind.ACCEPT_SILENT: {Reason.MUTE},
    Kind.HALF_HANDSHAKE: {Reason.MUTE},
    Kind.ENDLESS_HANDSHAKE: {Reason.MUTE, Reason.OTHER_PROGRAM},
    Kind.CRASH_BEFORE_REPLY: {Reason.CLOSED, Reason.REFUSED},
    Kind.GARBAGE_JSON: {Reason.OTHER_PROGRAM},
    Kind.WRONG_ENVELOPE: {Reason.OTHER_PROGRAM},
    Kind.DEEP_JSON: {Reason.OTHER_PROGRAM},
    Kind.FOREIGN_ID: {Reason.NOT_ANSWERING, Reason.OTHER_PROGRAM},
    Kind.NEVER_REPLIES: {Reason.NOT_ANSWERING},
    Kind.REPLACED: {Reason.OTHER_IMAGE},
}
"""What the user reads while such a peer stands where the image should; the others can be worked with."""

USABLE = set(Kind) - NAMED.keys()


@dataclass
class Meeting:
    """What came of meeting one kind."""

    seen: set[tuple[State, Reason]] = field(default_factory=set)
    results: list[str] = field(default_factory=list)
    recovered_s: float = float("inf")
    afterwards: str = ""


@contextmanager
def crashing(endpoint: str = "tcp://127.0.0.1:0") -> Iterator[str]:
    """The kind that ends its process needs one of its own."""
    command = [sys.executable, "-m", "simulations.hostile", Kind.CRASH_BEFORE_REPLY, "--bind", endpoint]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            yield child.stdout.readline().split()[1]
            assert child.wait(GENEROUS_S) == CRASH_STATUS
        finally:
            child.kill()


@contextmanager
def real_image(endpoint: str) -> Iterator[None]:
    """A stand-in at the endpoint, as soon as the port is free."""
    deadline = time.monotonic() + GENEROUS_S
    while True:
        bell = Bell()
        with ExitStack() as stack:
            try:
                stack.enter_context(running(ImageServer(Standin(wait=bell.wait), endpoint, bell)))
            except BindError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
                continue
            yield
            return


async def watch(image: Image, meeting: Meeting) -> None:
    """Note everything the user could have read."""
    while True:
        meeting.seen.add((image.state, image.reason))
        await asyncio.sleep(0.002)


async def until(condition: Callable[[], bool], within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - any condition, not one event
            await asyncio.sleep(0.005)


async def until_named(kind: Kind, image: Image, meeting: Meeting) -> None:
    """Until the user has been told what stands there."""
    expected = NAMED[kind]
    try:
        await until(lambda: any(reason in expected for _, reason in meeting.seen), GENEROUS_S)
    except TimeoutError:
        reasons = sorted({str(reason) for _, reason in meeting.seen})
        raise AssertionError(f"{kind} was never named; {image.name} read: {', '.join(reasons)}") from None


async def use(kind: Kind, image: Image, meeting: Meeting) -> None:
    """Work with a peer that can be worked with."""
    await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
    for number in range(1 if kind is Kind.SLOW_REPLY else 5):
        try:
            meeting.results.append((await image.evaluate(f"{number} + 100", timeout=GENEROUS_S)).result)
        except resilience.ReplyTooLarge as told:
            meeting.results.append(str(told))


async def meet(kind: Kind, supervisor: Supervisor) -> Meeting:
    """Meet one kind, see it go, and find the image that takes its place."""
    meeting = Meeting()
    with ExitStack() as hostile:
        if kind is Kind.CRASH_BEFORE_REPLY:
            endpoint = await asyncio.to_thread(hostile.enter_context, crashing())
        else:
            endpoint = hostile.enter_context(running(peer(kind, after=ANSWER_AT_FIRST.get(kind, 0))))
        image = await supervisor.connect(endpoint)
        watching = asyncio.ensure_future(watch(image, meeting))
        await (until_named(kind, image, meeting) if kind in NAMED else use(kind, image, meeting))
        watching.cancel()
        await asyncio.to_thread(hostile.close)
    with ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, real_image(endpoint))
        back_at = time.monotonic()
        while True:
            await image.wait_for(State.CONNECTED, State.ORPHANED, timeout=GENEROUS_S)
            if image.state is State.ORPHANED:
                image.adopt()  # the peer had shown an identity of its own; this is rightly another image
                await image.wait_for(State.RECONNECTING, State.CONNECTED, timeout=GENEROUS_S)
                continue
            with contextlib.suppress(resilience.Expired, resilience.OutcomeUnknown):
                meeting.afterwards = (await image.evaluate("3 + 4", timeout=1)).result
            if meeting.afterwards == "7":
                break
        meeting.recovered_s = time.monotonic() - back_at
        await asyncio.to_thread(stack.close)
    return meeting


async def meet_everybody(data_dir: Path) -> dict[Kind, Meeting | BaseException]:
    async with Supervisor(data_dir) as supervisor:
        meetings: list[Awaitable[Meeting]] = [meet(kind, supervisor) for kind in Kind]
        outcomes = await asyncio.gather(*meetings, return_exceptions=True)
    return dict(zip(Kind, outcomes, strict=True))


@pytest.fixture(scope="module")
def meetings(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, Meeting | BaseException]:
    """Every kind, met once."""
    return asyncio.run(meet_everybody(tmp_path_factory.mktemp("hostile")))


def met(meetings: dict[Kind, Meeting | BaseException], kind: Kind) -> Meeting:
    meeting = meetings[kind]
    if isinstance(meeting, BaseException):
        raise meeting
    return meeting


@pytest.mark.parametrize("kind", Kind)
def test_the_image_is_found_after_a_hostile_peer(
    meetings: dict[Kind, Meeting | BaseException], kind: Kind
) -> None:
    """The peer goes, the image takes the port, and within the bar it answers."""
    meeting = met(meetings, kind)
    assert meeting.afterwards == "7"
    assert meeting.recovered_s <= RECOVERED_S


@pytest.mark.parametrize("kind", sorted(NAMED))
def test_the_user_is_told_what_stands_there(
    meetings: dict[Kind, Meeting | BaseException], kind: Kind
) -> None:
    """A reason that is true, and never that it is connected to such a peer."""
    meeting = met(meetings, kind)
    assert {reason for _, reason in meeting.seen} & NAMED[kind]
    if kind is not Kind.REPLACED:
        assert State.CONNECTED not in {state for state, _ in meeting.seen}


@pytest.mark.parametrize("kind", sorted(USABLE - {Kind.HUGE_REPLY}))
def test_a_peer_that_is_only_odd_is_worked_with(
    meetings: dict[Kind, Meeting | BaseException], kind: Kind
) -> None:
    """Replies twice, in the other dialect, or very slowly: each request gets its own result, in peace."""
    meeting = met(meetings, kind)
    assert meeting.results == [str(number + 100) for number in range(len(meeting.results))]
    assert meeting.results
    assert not {state for state, _ in meeting.seen} & {State.RECONNECTING, State.FAILED, State.ORPHANED}


def test_a_slow_healthy_transfer_is_never_cut_off(meetings: dict[Kind, Meeting | BaseException]) -> None:
    """Law 4: six seconds of one reply, and its bytes count as life; busy is what the user reads."""
    assert SLOW_REPLY_BYTES > 5_000_000
    meeting = met(meetings, Kind.SLOW_REPLY)
    assert meeting.results == ["100"]
    assert (State.CONNECTED, Reason.BUSY) in meeting.seen


def test_a_reply_over_the_limit_is_named_with_its_size(meetings: dict[Kind, Meeting | BaseException]) -> None:
    """12 MB: thrown away, told, and the connection goes on."""
    meeting = met(meetings, Kind.HUGE_REPLY)
    assert len(meeting.results) == 5
    assert all("over the limit" in words for words in meeting.results)


def test_another_program_that_answers_once_does_not_keep_the_image_away(tmp_path: Path) -> None:
    """A wrong program on the port for a moment, then the image: found by the next dials."""

    async def main() -> None:
        async with Supervisor(tmp_path) as supervisor:
            with running(peer(Kind.WRONG_PROTOCOL, once=True)) as endpoint:
                image = await supervisor.connect(endpoint)
                await until(lambda: image.reason in (Reason.OTHER_PROGRAM, Reason.REFUSED), GENEROUS_S)
            with ExitStack() as stack:
                await asyncio.to_thread(stack.enter_context, real_image(endpoint))
                await image.wait_for(State.CONNECTED, timeout=RECOVERED_S)
                assert (await image.evaluate("3 + 4")).result == "7"

    asyncio.run(main())

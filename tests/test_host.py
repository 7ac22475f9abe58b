"""The machine we run on: jobs for the disk in order, and links that are counted."""

from __future__ import annotations

import asyncio
import threading
from errno import EMFILE, ENFILE

import pytest
import zmq

from resilience.host import Contexts, Descriptors, OwnHost, Writer
from resilience.limits import DESCRIPTORS_AT_ONCE, DESCRIPTORS_PER_LINK, LINK_SETTLES_S, SPARE_DESCRIPTORS
from resilience.seams import LinkCallbacks

NOBODY = LinkCallbacks(lambda _: None, lambda *_: None, lambda *_: None)


def test_jobs_run_in_order_beside_the_loop() -> None:
    """One thread, first in, first out; results and exceptions come back on the loop."""
    ran: list[int] = []
    threads: set[int] = set()

    def job(number: int) -> int:
        ran.append(number)
        threads.add(threading.get_ident())
        if number == 2:
            raise OSError("the third")
        return number

    async def main() -> None:
        writer = Writer(asyncio.get_running_loop())
        futures = [writer.submit(lambda n=n: job(n)) for n in range(5)]  # type: ignore[misc]  # mypy infers no type for a default
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        assert [type(o).__name__ if isinstance(o, OSError) else o for o in outcomes] == [
            0,
            1,
            "OSError",
            3,
            4,
        ]
        writer.close()

    asyncio.run(main())
    assert ran == list(range(5))
    assert threads.isdisjoint({threading.get_ident()})
    assert len(threads) == 1


def test_a_job_that_ends_after_its_loop_is_no_error() -> None:
    """A disk may answer when nobody is left to be told."""
    going, go = threading.Event(), threading.Event()

    def job() -> None:
        going.set()
        assert go.wait(10)

    async def main() -> Writer:
        writer = Writer(asyncio.get_running_loop())
        writer.submit(job)
        await asyncio.to_thread(going.wait, 10)
        return writer

    failures: list[str] = []
    before, threading.excepthook = threading.excepthook, lambda args: failures.append(repr(args.exc_value))
    try:
        writer = asyncio.run(main())
        go.set()
        writer.close()
        for thread in threading.enumerate():
            if thread.name == "resilience-journal":
                thread.join(10)
    finally:
        threading.excepthook = before
    assert failures == []


def test_links_are_counted_and_given_back() -> None:
    """A closed link returns its place and its context, once."""

    async def main() -> None:
        host = OwnHost(asyncio.get_running_loop())
        links = [host.open_link(n, "127.0.0.1", 9, NOBODY, fresh_context=n == 2) for n in range(3)]
        assert host._open_links == 3
        for link in links:
            link.abort()
            link.abort()
        assert host._open_links == 0
        host.close()

    asyncio.run(main())


def test_no_link_is_opened_when_descriptors_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Running out, libzmq would abort the whole process; the error says what to raise."""

    async def main() -> None:
        host = OwnHost(asyncio.get_running_loop())
        monkeypatch.setattr(host._descriptors, "shortage", lambda *_: "1000 of 1024; raise the limit")
        with pytest.raises(OSError, match="raise the limit") as refused:
            host.open_link(1, "127.0.0.1", 9, NOBODY, fresh_context=False)
        assert refused.value.errno == EMFILE
        assert host._open_links == 0
        host.close()

    asyncio.run(main())


def test_a_young_link_is_counted_with_what_it_will_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many opened at once have not connected when they are counted, and would take the last descriptor."""
    in_use, limit = 100, 200
    monkeypatch.setattr("resilience.host._descriptor_limit", lambda: limit)
    monkeypatch.setattr("resilience.host._descriptors_in_use", lambda: in_use)
    descriptors = Descriptors()
    links = 0
    while not descriptors.shortage(links, now=5.0):
        descriptors.opened(now=5.0)
        links += 1
        in_use += DESCRIPTORS_AT_ONCE
    settled = 100 + links * DESCRIPTORS_PER_LINK
    assert limit - SPARE_DESCRIPTORS - DESCRIPTORS_PER_LINK < settled <= limit - SPARE_DESCRIPTORS
    assert descriptors.shortage(links, now=5.0 + LINK_SETTLES_S - 0.01)
    in_use = 110  # they have what they wanted, which was less
    assert not descriptors.shortage(links, now=5.0 + LINK_SETTLES_S)


@pytest.mark.parametrize("number", [EMFILE, ENFILE])
def test_a_link_refused_for_want_of_descriptors_says_what_to_raise(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Whoever else in the process took them since we counted."""

    def refuse(*_: object, **__: object) -> None:
        raise zmq.ZMQError(number)

    async def main() -> None:
        host = OwnHost(asyncio.get_running_loop())
        monkeypatch.setattr("resilience.host.ZmqLink", refuse)
        with pytest.raises(OSError, match=r"no file descriptors are left \(.*\); raise the limit") as refused:
            host.open_link(1, "127.0.0.1", 9, NOBODY, fresh_context=False)
        assert refused.value.errno == number
        assert host._open_links == 0
        host.close()

    asyncio.run(main())


def test_a_refused_address_gives_its_context_back() -> None:
    """What libzmq does not take is an `OSError` with its words."""

    async def main() -> None:
        host = OwnHost(asyncio.get_running_loop())
        with pytest.raises(OSError, match=r"\w"):
            host.open_link(1, "not an address!", 9, NOBODY, fresh_context=False)
        assert host._open_links == 0
        host.close()

    asyncio.run(main())


def test_a_replaced_context_ends_with_its_last_link() -> None:
    """The ladder's last rung: a fresh context, and the old one terminates when nothing is in it."""
    contexts = Contexts()
    old = contexts.take(fresh=False)
    new = contexts.take(fresh=True)
    assert new is not old
    assert not old.closed
    contexts.give_back(old)
    for thread in threading.enumerate():
        if thread.name == "resilience-context":
            thread.join(10)
    assert old.closed
    contexts.give_back(new)
    contexts.close()
    assert new.closed
    assert isinstance(new, zmq.Context)

"""A process of ours: the product's supervisor with its users, started, closed, killed and started again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from inspect import CORO_CREATED, getcoroutinestate
from pathlib import Path
from types import CoroutineType
from typing import TYPE_CHECKING

from resilience.endpoint import parse_endpoint
from resilience.supervisor import Supervisor
from simulations.trace import Kind
from simulations.virtual.clock import Clock
from simulations.virtual.disk import VirtualDisk
from simulations.virtual.host import VirtualHost, VirtualVault
from simulations.virtual.link import COMMENT
from simulations.virtual.loop import VirtualLoop
from simulations.virtual.network import VirtualNetwork
from simulations.virtual.universe import Universe
from simulations.virtual.user import WORKSPACE, User, labels_of
from simulations.virtual.witness import WitnessDisk
from store import History, StoreError
from store.keys import Keychain
from store.sessions import Owner, Sessions

if TYPE_CHECKING:
    from resilience.change import Change
    from simulations.scenarios import Scenario

DATA_DIR = Path("/disk/home/user/data")
"""Some of the way there is made by the first start, as for a new account."""


class Process:
    """At most one life at a time; the disk and the users' labels outlive each."""

    def __init__(
        self, universe: Universe, clock: Clock, network: VirtualNetwork, disk: VirtualDisk, scenario: Scenario
    ) -> None:
        self._universe = universe
        self._clock = clock
        self._network = network
        self._disk = disk
        self._vault = VirtualVault()
        self._scenario = scenario
        self._lives = 0
        self._again = False
        self._asleep_until = 0.0
        self._loop: VirtualLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._leaving: asyncio.Event | None = None
        self._labels = [labels_of(image) for image in range(scenario.images)]
        self._numbers = {
            parse_endpoint(network.endpoint(image)).key: image for image in range(scenario.images)
        }
        self._cut_dice = universe.dice("power cuts")
        self.users: list[User] = []

    @property
    def running(self) -> bool:
        """Whether there is a life."""
        return self._loop is not None

    # -- living and dying ----------------------------------------------------------------------

    def start(self) -> None:
        """Begin a life, unless there is one; where one is just ending, as soon as it has."""
        if self._loop is not None:
            self._again = self._leaving is not None and self._leaving.is_set()
            return
        self._again = False
        self._lives += 1
        self._note(what="start")
        if self._lives > 1:
            self._note_stored()
        loop = VirtualLoop(self._universe, self._clock, self._bug)  # type: ignore[abstract] # what it has is what we use
        self._loop = loop
        loop.hold(self._asleep_until)
        self._network.attach(loop.call_soon)
        disk = WitnessDisk(self._disk, self._synced)
        host = VirtualHost(
            universe=self._universe,
            clock=self._clock,
            loop=loop,
            network=self._network,
            medium=self._disk,
            disk=disk,
            vault=self._vault,
            life=self._lives,
        )
        self._leaving = asyncio.Event()
        self._main = loop.create_task(self._live(host, self._leaving))
        self._main.add_done_callback(self._ended)

    def look_at_disk(self) -> None:
        """Note what the last life has left, as the next one would find it."""
        if self._loop is None:
            self._note_stored()

    def _note_stored(self) -> None:
        """What another process would find on the disk now."""
        try:
            stored = History.open(DATA_DIR, disk=self._disk, read_only=True)
        except StoreError:
            stored = None  # nothing that can be read: it counts as nothing
        for image, number in self._numbers.items():
            last = stored.last(image) if stored is not None else None
            self._note_found(number, last.session if last is not None else "")
            self._universe.trace.note(
                self._universe.now,
                Kind.RESTORED,
                number,
                state=last.state if last is not None else "",
                seq=stored.next_seq(image) - 1 if stored is not None else 0,
                session=last.session if last is not None else "",
            )

    def _note_found(self, number: int, session: str) -> None:
        """What stands in the workspace, for whoever has the key."""
        revision, text = 0, ""
        try:
            keychain = Keychain.open(DATA_DIR, self._disk, self._vault.opened(), read_only=True)
            keychain.unlock()
            sessions = Sessions(
                DATA_DIR,
                self._disk,
                keychain,
                owner=Owner(0, "", "desk", "somebody"),
                wall=self._clock.wall,
                entropy=bytes,
            )
            found = sessions.read(session)
        except StoreError:
            pass  # nothing that can be read: it counts as nothing
        else:
            revision = found.receipt.revision
            code = str(found.state.get("workspaces", {}).get(WORKSPACE, {}).get("code", ""))
            text = code.partition(COMMENT)[0]
        self._universe.trace.note(self._universe.now, Kind.FOUND, number, revision=revision, text=text)

    def lock_keyring(self, *, locked: bool) -> None:
        """From now on whoever asks it is refused, or not."""
        self._vault.locked = locked

    def kill(self) -> None:
        """It is gone between two instructions; what it wrote stays in the page cache."""
        if self._die("kill"):
            self._disk.kill(self._cut_dice)

    def cut_power(self) -> None:
        """The whole machine is gone, and of the disk what was not synced may be."""
        if self._die("power cut"):
            self._disk.power_cut(self._cut_dice)

    def close(self) -> None:
        """Ask it to end in good order."""
        if self._leaving is not None and not self._leaving.is_set():
            self._note(what="close")
            self._leaving.set()

    def users_do(self, image: int, what: Callable[[User], object]) -> None:
        """Have the user of one image, or everybody's, do something as soon as the process runs."""
        if self._loop is not None:
            users = self.users[image : image + 1] if image >= 0 else list(self.users)
            for user in users:
                self._loop.call_soon(what, user)

    def hold(self, until: float) -> None:
        """It does not run before then."""
        if self._loop is not None:
            self._loop.hold(until)

    def sleep(self, until: float) -> None:
        """The machine is asleep: neither this process nor one started meanwhile runs before then."""
        self._asleep_until = until
        self.hold(until)

    def _die(self, how: str) -> bool:
        self._again = False
        if self._loop is None:
            return False
        self._note(what=how)
        self._loop.die()
        self._network.detach()
        self._forget()
        return True

    def _forget(self) -> None:
        if self._main is not None:
            self._main.remove_done_callback(self._ended)
            coroutine = self._main.get_coro()
            if isinstance(coroutine, CoroutineType) and getcoroutinestate(coroutine) == CORO_CREATED:
                coroutine.close()  # killed before its first step: or Python complains that it never ran
        self._loop = self._main = self._leaving = None
        self.users = []

    # -- a life ----------------------------------------------------------------------------------

    async def _live(self, host: VirtualHost, leaving: asyncio.Event) -> None:
        # Without `async with`: a killed process runs no `finally`, not even when Python clears it away.
        supervisor = Supervisor(DATA_DIR, on_notice=self._notice, host=lambda _: host)
        await supervisor.__aenter__()
        supervisor.on_change(self._told)
        dice = self._universe.dice(f"users of life {self._lives}")
        for number in range(self._scenario.images):
            image = await supervisor.connect(self._network.endpoint(number))
            labels, load = self._labels[number], self._scenario.load
            user = User(self._universe, image, number, load, dice=dice, labels=labels)
            self.users.append(user)
            user.start()
        await leaving.wait()
        for user in self.users:
            user.leave()
        await supervisor.close()

    def _ended(self, main: asyncio.Task[None]) -> None:
        problem = main.exception()
        if problem is not None:
            self._bug(f"the process ended with {type(problem).__name__}: {problem}")
        self._note(what="closed")
        if self._loop is not None:
            self._loop.die()
        self._network.detach()
        self._disk.kill()
        self._forget()
        if self._again:
            self._universe.after(0.0, self.start)

    # -- what the host of the module sees ----------------------------------------------------------

    def _told(self, change: Change) -> None:
        self._universe.trace.note(
            self._universe.now,
            Kind.TOLD,
            self._numbers[change.image],
            seq=change.seq,
            source=change.source.value,
            trigger=change.trigger.value,
            target=change.target.value,
            reason=change.reason.value,
            detail=change.detail,
            durable=change.durable,
        )

    def _notice(self, text: str) -> None:
        self._universe.trace.note(self._universe.now, Kind.NOTICE, text=text)

    def _synced(self, image: str, seq: int) -> None:
        self._universe.trace.note(
            self._universe.now, Kind.SYNCED, self._numbers.get(image, -1), first=seq, last=seq
        )

    def _bug(self, text: str) -> None:
        self._universe.trace.note(self._universe.now, Kind.BUG, text=text)

    def _note(self, what: str) -> None:
        self._universe.trace.note(self._universe.now, Kind.PROCESS, what=what)

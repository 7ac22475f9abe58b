"""Play one scenario in the virtual world: break it as described, heal it, and judge what was seen."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

from simulations.check import judge
from simulations.check.ends import CLOSED_WITHIN_S
from simulations.check.recovery import recoveries
from simulations.check.secrecy import CANARY
from simulations.faults import EVERYONE, TOUCHES, Condition, Step, Touch, Ways, What
from simulations.results import Run
from simulations.scenarios import Scenario
from simulations.trace import Kind, Trace
from simulations.virtual.clock import Clock
from simulations.virtual.disk import VirtualDisk
from simulations.virtual.network import VirtualNetwork
from simulations.virtual.process import Process
from simulations.virtual.universe import Universe
from simulations.virtual.user import User

LIVENESS_S = 60.0
"""After everything is whole the run goes on for so long at most: the promise is 10 s, not counting the time
in which an image works on a request, and what users ask for takes half a minute at most."""

AFTERMATH_S = 2.0
"""... and at least so long after the last image is back: late ghosts would come with a retransmission."""

LOOK_S = 0.5
CLOSING_S = 6.0
"""On a disk that works a process ends at once; what it sent last may come until then."""


class Play:
    """One run."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._scenario = scenario
        self._universe = Universe(f"{scenario.key}/{seed}")
        self.trace = self._universe.trace
        self._clock = Clock(self._universe)
        self._disk = VirtualDisk()
        self._disk_dice = self._universe.dice("disk")
        self._network = VirtualNetwork(self._universe, scenario.images, named=scenario.named)
        self._process = Process(self._universe, self._clock, self._network, self._disk, scenario)
        self._ways = Ways(scenario.images)
        self._conditions: dict[int, tuple[str, ...]] = {}
        self._asleep_until = 0.0
        self._next_look = 0.0
        self._steps = scenario.paced(self._universe.dice("pace"))

    def run(self) -> float:
        """Let it all happen; returns the virtual seconds it took."""
        universe = self._universe
        self._process.start()
        self._look_at_ways()
        for step in self._steps:
            universe.run(step.at_s)
            self._play(step)
        while (end := self._ways.next_end(universe.now)) is not None:
            universe.run(end)
            self._look_at_ways()
        for cure in self._ways.cures(universe.now):
            self._play(cure)
        self._play(Step(universe.now, What.DISK_WORKS))
        self._play(Step(universe.now, What.KEYRING_OPENS))
        self._heal()
        self._process.close()
        universe.run(universe.now + CLOSING_S)
        if self._process.running:
            universe.run(universe.now + CLOSED_WITHIN_S)  # it is in trouble, and shall have its time
        self._process.look_at_disk()
        for path, content in sorted(self._disk.medium().files.items()):
            if CANARY.encode() in content:
                universe.trace.note(universe.now, Kind.BUG, text=f"a user's code stands in {path}")
        return universe.now

    def _heal(self) -> None:
        """Everything is whole: users press what the resting states offer, and time is given."""
        universe = self._universe
        universe.trace.note(universe.now, Kind.HEALED)
        began = universe.now
        probed = False
        while universe.now < began + LIVENESS_S:
            users = self._process.users
            self._process.users_do(EVERYONE, lambda user: user.press("retry"))
            if users and not probed:
                probed = True
                self._process.users_do(EVERYONE, User.probe)
            universe.run(universe.now + LOOK_S)
            if users and all(user.answered for user in users):
                break
        universe.run(universe.now + AFTERMATH_S)

    # -- steps ---------------------------------------------------------------------------------

    def _play(self, step: Step) -> None:
        universe = self._universe
        step = replace(step, at_s=round(universe.now, 6))
        universe.trace.note(universe.now, Kind.FAULT, step.image, step=str(step))
        self._ways.apply(step, universe.now)
        self._do(step)
        self._look_at_ways()
        if TOUCHES.get(step.what, Touch()).disturbs:
            self._process.users_do(step.image, User.probe)

    def _do(self, step: Step) -> None:  # noqa: C901, PLR0912 - an arm a kind of step
        process, disk = self._process, self._disk
        match step.what:
            case What.SUSPEND:
                self._suspend(step.value)
            case What.STEP_CLOCK:
                self._clock.set(step.value)
            case What.STALL:
                # All threads stand still, libzmq's too: held in a debugger, or the whole virtual machine.
                process.hold(self._universe.now + step.value)
                self._network.stop(self._universe.now + step.value)
            case What.KILL:
                process.kill()
            case What.POWER_CUT:
                process.cut_power()
            case What.CLOSE:
                process.close()
            case What.START:
                process.start()
            case What.DISK_SLOW:
                disk.sync_s = step.value
            case What.DISK_FAILS:
                # Some disks refuse at once, others take what they are given and fail to keep it.
                disk.fails_at_sync = self._disk_dice.random() < 0.5  # noqa: PLR2004 - a coin
                disk.fails = not disk.fails_at_sync
            case What.DISK_FULL:
                disk.full = True
            case What.DISK_WORKS:
                disk.fails = disk.fails_at_sync = disk.full = False
                disk.sync_s = 0.0
            case What.KEYRING_LOCKS | What.KEYRING_OPENS:
                process.lock_keyring(locked=step.what is What.KEYRING_LOCKS)
            case What.LONG_EVALUATION:
                process.users_do(step.image, lambda user: user.work_long(step.value))
            case What.LARGE_EVALUATION:
                process.users_do(step.image, lambda user: user.send_much(int(step.value)))
            case What.RETRY | What.DISCONNECT | What.RECONNECT:
                process.users_do(step.image, lambda user: user.press(step.what.value))
            case _:
                self._network.play(step)

    def _suspend(self, for_s: float) -> None:
        self._asleep_until = max(self._asleep_until, self._universe.now + for_s)
        self._clock.fall_asleep()
        self._network.sleep(for_s)
        self._process.sleep(self._asleep_until)
        self._universe.at(self._asleep_until, self._wake)

    def _wake(self) -> None:
        if self._universe.now >= self._asleep_until:
            self._clock.wake_up()
            self._process.hold(self._universe.now)

    # -- ways ----------------------------------------------------------------------------------

    def _look_at_ways(self) -> None:
        """Write down which ways changed, and have users find out when their image is back."""
        now = self._universe.now
        end = self._ways.next_end(now)
        if end is not None and end != self._next_look:
            self._next_look = end
            self._universe.at(end, self._look_at_ways)
        for image in range(self._scenario.images):
            things = self._ways.things(image, now)
            if self._conditions.get(image) == things:
                continue
            self._conditions[image] = things
            condition = self._ways.condition(image, now)
            self.trace.note(now, Kind.CONDITION, image, condition=condition.value, things=",".join(things))
            if condition is Condition.WHOLE:
                self._process.users_do(image, User.probe)


def trace(scenario: Scenario, seed: int) -> tuple[Trace, Run]:
    """Play it, and keep the whole trace."""
    began = time.perf_counter()
    play = Play(scenario, seed)
    virtual_s = play.run()
    counts = Counter(str(entry.kind) for entry in play.trace)
    counts.update(f"fault: {Step.parse(str(entry.data['step'])).what}" for entry in play.trace.of(Kind.FAULT))
    return play.trace, Run(
        scenario.key,
        seed,
        play.trace.digest,
        round(virtual_s, 6),
        judge(scenario, play.trace),
        recoveries(scenario, play.trace),
        dict(sorted(counts.items())),
        took_s=round(time.perf_counter() - began, 6),
    )


def play(scenario: Scenario, seed: int) -> Run:
    """Play it and judge it."""
    return trace(scenario, seed)[1]

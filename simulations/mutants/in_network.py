"""Faults in what is known of the network and of our own clocks."""

from __future__ import annotations

from simulations.mutants.planting import Area, Mutant

CLOCKS = "resilience/network/clocks.py"
MONITOR = "resilience/network/monitor.py"
SNAPSHOT = "resilience/network/snapshot.py"
SUBSCRIPTION = "resilience/network/subscription.py"

MUTANTS: tuple[Mutant, ...] = (
    # -- the snapshot ----------------------------------------------------------------------
    Mutant(
        name="carrier-ignored",
        area=Area.MONITOR,
        file=SNAPSHOT,
        old="        if interface is None or not interface.up or not interface.carrier:\n",
        new="        if interface is None or not interface.up:\n",
        mistake="An interface with an address leads there, cable or no cable.",
        laws=(9,),
    ),
    Mutant(
        name="carrier-no-difference",
        area=Area.MONITOR,
        file=SNAPSHOT,
        old="(getattr(self, one.name) for one in fields(self))",
        new='(getattr(self, one.name) for one in fields(self) if "carrier" not in one.name)',
        mistake="A carrier that comes or goes is no difference worth telling.",
        laws=(9,),
    ),
    # -- listening -------------------------------------------------------------------------
    Mutant(
        name="slow-to-listen-again",
        area=Area.MONITOR,
        file=SUBSCRIPTION,
        old="HOLD_S = 0.003\n",
        new="HOLD_S = 3.0\n",
        mistake="A generous debounce: after a reading the next waits three seconds.",
        laws=(7, 9),
        first=("swarm/18",),
    ),
    Mutant(
        name="leading-edge-away",
        area=Area.MONITOR,
        file=MONITOR,
        old="        if self._loop is not None:\n            self._publish(snapshot)\n",
        new="""\
        if self._loop is not None:
            self._loop.call_later(1.0, self._publish, snapshot)
""",
        mistake="What changed is told a second later, in case more is to come.",
        laws=(7, 9),
    ),
    # -- the monitor -----------------------------------------------------------------------
    Mutant(
        name="never-looks-unasked",
        area=Area.MONITOR,
        file=MONITOR,
        old="        if differ:\n            subscription.read_again()\n",
        new="",
        mistake="What the kernel did not announce never happened.",
        laws=(7, 9),
        first=("swarm/68",),
    ),
    Mutant(
        name="snapshot-not-kept",
        area=Area.MONITOR,
        file=MONITOR,
        old="            self._snapshot = snapshot\n            self._on_change(snapshot, delta)\n",
        new="            self._on_change(snapshot, delta)\n",
        mistake="Every reading is compared with the first one.",
        laws=(7, 9),
    ),
    # -- the clocks ------------------------------------------------------------------------
    Mutant(
        name="asleep-for-ever",
        area=Area.SUPERVISOR,
        file=CLOCKS,
        old="        self._offset, self._at = offset, now\n        return",
        new="        self._at = now\n        return",
        mistake="One sleep is seen again at every look.",
        laws=(4, 6, 10),
        first=("nap",),
    ),
)

"""Faults in how links are held, judged and searched for, and in when the next try is."""

from __future__ import annotations

from simulations.mutants.planting import Area, Mutant

CONNECTION = "machines/connection.py"
HOLDING = "machines/holding.py"
LIVENESS = "machines/liveness.py"
POLICY = "machines/policy.py"
SCHEDULE = "machines/schedule.py"
SEARCH = "machines/search.py"

MUTANTS: tuple[Mutant, ...] = (
    # -- the links held --------------------------------------------------------------------
    Mutant(
        name="lost-link-serves",
        area=Area.LINK,
        file=HOLDING,
        old="        self.serve(None)\n        if self.state in LIVE:",
        new="        if self.state in LIVE:",
        mistake="Requests go on being handed to a link that is no longer believed in.",
        laws=(2, 12),
    ),
    Mutant(
        name="beaten-link-not-aborted",
        area=Area.LINK,
        file=HOLDING,
        old="        elif old is not None:\n            self._out.append(c.Abort(old.gen))\n",
        new="",
        mistake="When the dial wins, the link it replaces is left open.",
        laws=(1,),
    ),
    Mutant(
        name="found-and-still-searching",
        area=Area.LINK,
        file=HOLDING,
        old="        self.search.stop()\n        self.search.forget_failures()",
        new="        self.search.forget_failures()",
        mistake="Being connected does not end the search.",
        laws=(1, 8),
    ),
    Mutant(
        name="dropped-link-not-aborted",
        area=Area.LINK,
        file=HOLDING,
        old="""\
        self.end_drain()
        if self.live is not None:
            self._out.append(c.Abort(self.live.gen))
            self.live = None
""",
        new="""\
        self.end_drain()
        self.live = None
""",
        mistake="Disconnecting forgets the link without closing it.",
        laws=(1, 8, 11),
        first=("away",),
    ),
    Mutant(
        name="abandoned-link-kept",
        area=Area.LINK,
        file=HOLDING,
        old="        self._out.append(c.Abort(gen))\n        self.live = None\n        return True",
        new="        return False",
        mistake="A link kept for its hope is kept even when a request on it has lost its caller.",
        laws=(11,),
        first=("lift",),
    ),
    Mutant(
        name="drain-without-end",
        area=Area.LINK,
        file=CONNECTION,
        old="        if self.drain is not None and now >= self.drain.until:\n            self.end_drain()\n",
        new="",
        mistake="A replaced link is given time for its last reply, and the time never ends.",
        laws=(1,),
    ),
    Mutant(
        name="busy-for-ever",
        area=Area.LINK,
        file=HOLDING,
        old="            link.busy_since = None\n            link.ping_at = now + self.policy.ping_idle_s\n",
        new="            link.ping_at = now + self.policy.ping_idle_s\n",
        mistake="A link that was busy once counts as busy for the rest of its life.",
        laws=(3,),
        first=("swarm/12",),
    ),
    # -- signs of life ---------------------------------------------------------------------
    Mutant(
        name="frozen-not-noticed",
        area=Area.LINK,
        file=LIVENESS,
        old="        return Verdict.FROZEN",
        new="        return Verdict.WELL",
        mistake="A stopped process with a living kernel passes for a living image.",
        laws=(3,),
        first=("frozen",),
    ),
    Mutant(
        name="patience-of-libzmq",
        area=Area.LINK,
        file=POLICY,
        old="    quiet_idle_s: float = 2 * HEARTBEAT_IVL_S + 0.6",
        new="    quiet_idle_s: float = 30.0",
        mistake="An idle link may be silent for as long as libzmq's own timeouts allow.",
        laws=(4, 10),
        first=("swarm/69",),
    ),
    # -- the search ------------------------------------------------------------------------
    Mutant(
        name="generation-reused",
        area=Area.LINK,
        file=SEARCH,
        old="        self.gen += 1\n",
        new="        self.gen = max(1, self.gen)\n",
        mistake="Every dial has the same number, so events of the last one count for the next.",
        laws=(1,),
    ),
    Mutant(
        name="events-of-any-generation",
        area=Area.LINK,
        file=SEARCH,
        old="        return self.dial if self.dial is not None and self.dial.gen == gen else None",
        new="        return self.dial if self.dial is not None and gen <= self.dial.gen else None",
        mistake="The failure of an older dial is charged to the present one.",
        laws=(1, 2),
    ),
    Mutant(
        name="redial-leaves-a-link",
        area=Area.LINK,
        file=SEARCH,
        old="""\
        if self.dial is not None:
            self._out.append(c.Abort(self.dial.gen))
        self.gen += 1
""",
        new="        self.gen += 1\n",
        mistake="A new dial is begun without giving up the last one.",
        laws=(1,),
    ),
    Mutant(
        name="dial-forgotten-open",
        area=Area.LINK,
        file=SEARCH,
        old="""\
        if self.dial is not None:
            self._out.append(c.Abort(self.dial.gen))
            self.dial = None
""",
        new="        self.dial = None\n",
        mistake="Giving up a dial forgets to close it.",
        laws=(1,),
        first=("swarm/31",),
    ),
    Mutant(
        name="search-without-end",
        area=Area.LINK,
        file=SEARCH,
        old="            self._out.append(c.CallOffScouts())\n            self.next_try_at = None\n",
        new="            self._out.append(c.CallOffScouts())\n",
        mistake="Ending the search leaves its timer armed.",
        laws=(1, 8),
    ),
    Mutant(
        name="proof-not-watched",
        area=Area.LINK,
        file=SEARCH,
        old="            attempt.check_at = now + self.policy.check_busy_s\n",
        new="",
        mistake="The deadline is cleared for the first ping, and no look at the carrier takes its place.",
        laws=(10,),
        first=("lift",),
    ),
    # -- when to try next ------------------------------------------------------------------
    Mutant(
        name="schedule-not-reset",
        area=Area.LINK,
        file=SEARCH,
        old='''search densely again."""
        self._schedule.reset(now)''',
        new='''search densely again."""''',
        mistake="Each outage goes on with the gaps of the last one.",
        laws=(10,),
    ),
    Mutant(
        name="backoff-to-a-minute",
        area=Area.LINK,
        file=SCHEDULE,
        old="""\
max_value=MAX_GAP_S)
        next(self._growth)  # a generator of `backoff` yields once before its first value

    def gap_s(self, cause: Cause, now: float, crowd: int) -> float:
        \"\"\"How long to wait before the next try, when `crowd` images search at once.\"\"\"
        ceiling = min(next(self._growth), ceiling_s(cause, now - self.since))
        ceiling = min(MAX_GAP_S, ceiling * max(1.0, crowd / CROWD))
""",
        new="""\
max_value=60.0)
        next(self._growth)  # a generator of `backoff` yields once before its first value

    def gap_s(self, cause: Cause, now: float, crowd: int) -> float:
        \"\"\"How long to wait before the next try, when `crowd` images search at once.\"\"\"
        ceiling = next(self._growth)
""",
        mistake="The usual exponential backoff, up to a minute, for every cause.",
        laws=(10,),
    ),
    Mutant(
        name="no-gap-at-all",
        area=Area.LINK,
        file=SCHEDULE,
        old="        return self._random.uniform(MIN_GAP_FRACTION * ceiling, ceiling)",
        new="        return 0.0",
        mistake="Tries follow each other without any gap.",
        laws=(10,),
    ),
)

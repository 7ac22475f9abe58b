"""Faults in what becomes of requests: queue, slots, replies, and the commands an image's core carries out."""

from __future__ import annotations

from simulations.mutants.planting import Area, Mutant

CORE = "resilience/core.py"
EXCHANGE = "resilience/exchange.py"
WIRE = "resilience/wire.py"

MUTANTS: tuple[Mutant, ...] = (
    # -- the exchange ----------------------------------------------------------------------
    Mutant(
        name="lost-request-resent",
        area=Area.LINK,
        file=EXCHANGE,
        old="""\
        if slot is not None:
            slot.asked.finish(self._lost(slot.asked, why))
""",
        new="""\
        if slot is not None:
            self._queue.appendleft(slot.asked)
""",
        mistake="What was outstanding on a lost link is sent again on the next one.",
        laws=(11,),
        first=("tunnel",),
    ),
    Mutant(
        name="lost-request-not-done",
        area=Area.LINK,
        file=EXCHANGE,
        old="        return OutcomeUnknown(request.id, request.kind, asked.sent_wall, why)",
        new="        return Expired(request.id, request.kind, 0.0, why)",
        mistake="A request that may have run is reported as not done.",
        laws=(11,),
    ),
    Mutant(
        name="evaluation-called-a-read",
        area=Area.LINK,
        file=WIRE,
        old="        return self is Kind.PING\n",
        new="        return self in (Kind.PING, Kind.EVALUATE)\n",
        mistake="An evaluation counts as a question that may be asked twice.",
        laws=(11,),
    ),
    Mutant(
        name="settled-twice",
        area=Area.LINK,
        file=EXCHANGE,
        old="        settle, self.settle = self.settle, None",
        new="        settle = self.settle",
        mistake="A caller who has been told is told again.",
        laws=(11,),
    ),
    Mutant(
        name="queue-never-expires",
        area=Area.LINK,
        file=EXCHANGE,
        old="        for asked in self._take(lambda a: now >= a.deadline or a.settle is None):",
        new="        for asked in self._take(lambda a: a.settle is None):",
        mistake="A request that waits for a connection waits beyond its deadline.",
        laws=(12,),
    ),
    Mutant(
        name="slot-kept-after-loss",
        area=Area.LINK,
        file=EXCHANGE,
        old="        slot = self._slots.pop(gen, None)\n        self._heard.discard(gen)",
        new="        slot = self._slots.get(gen)\n        self._heard.discard(gen)",
        mistake="A lost link's request is settled, and its slot stays taken.",
        laws=(12, 13),
    ),
    Mutant(
        name="slot-freed-at-deadline",
        area=Area.LINK,
        file=EXCHANGE,
        old="""\
        for asked in overdue:
            asked.finish(self._lost(asked, "no reply in time"))
""",
        new="""\
        for asked in overdue:
            asked.finish(self._lost(asked, "no reply in time"))
        self._slots = {gen: slot for gen, slot in self._slots.items() if slot.asked not in overdue}
""",
        mistake="A request whose caller has left makes room for the next while the image still works on it.",
        laws=(3, 13),
    ),
    Mutant(
        name="drained-link-not-waited-for",
        area=Area.LINK,
        file=EXCHANGE,
        old="""\
        if any(not slot.asked.request.kind.read_only for slot in self._slots.values()):
            return None  # a replaced link may still deliver the reply of the one request outstanding
""",
        new="",
        mistake="A new link gets the next request while the replaced one still works on the last.",
        laws=(13,),
        first=("tunnel",),
    ),
    # -- the core --------------------------------------------------------------------------
    Mutant(
        name="abort-without-closing",
        area=Area.LINK,
        file=CORE,
        old="""\
                self._world.abort_link(self, gen)
                self.exchange.link_gone(gen, f""",
        new="                self.exchange.link_gone(gen, f",
        mistake="Giving up a link settles its request and leaves the connection to deliver it.",
        laws=(1, 11),
    ),
    Mutant(
        name="abort-without-settling",
        area=Area.LINK,
        file=CORE,
        old="""\
                self.exchange.link_gone(gen, f"the link was given up: {self.connection.reason}")
""",
        new="",
        mistake="Giving up a link forgets the request that is outstanding on it.",
        laws=(11, 12),
    ),
    Mutant(
        name="abandoned-not-told",
        area=Area.LINK,
        file=CORE,
        old="        for gen in self.exchange.abandoned():\n            self.feed(e.Abandoned(gen))\n",
        new="",
        mistake="Nobody tells the machine that a request on a doubtful link has lost its caller.",
        laws=(11,),
        first=("lift",),
    ),
    Mutant(
        name="deadline-not-armed-again",
        area=Area.LINK,
        file=CORE,
        old="            self.feed(e.Tick())\n        else:\n            self._world.arm(self)\n",
        new="            self.feed(e.Tick())\n",
        mistake="Waking for a request's deadline forgets to arm the machine's own.",
        laws=(10,),
        first=("maintenance",),
    ),
    Mutant(
        name="link-end-not-settled",
        area=Area.LINK,
        file=CORE,
        old="        self.exchange.link_gone(gen, detail or cause)\n",
        new="",
        mistake="A link that ends by itself keeps its request outstanding for ever.",
        laws=(11, 12),
        first=("swarm/41",),
    ),
    Mutant(
        name="name-looked-up-once",
        area=Area.LINK,
        file=CORE,
        old=" and (age is None or age > RESOLVE_FRESH_S):",
        new=" and age is None:",
        mistake="A name is looked up once, and the image has moved since.",
        laws=(10,),
        first=("swarm/20",),
    ),
    Mutant(
        name="every-change-is-ours",
        area=Area.MONITOR,
        file=CORE,
        old="""\
        if self.path != old:
            self.feed(e.PathChanged(usable=self.path is not None, detail=describe_change(old, self.path)))
""",
        new="""\
        self.feed(e.PathChanged(usable=self.path is not None, detail=describe_change(old, self.path)))
""",
        mistake="Whatever changes in the network makes every image dial.",
        laws=(8,),
        first=("docker",),
    ),
    Mutant(
        name="refused-told-as-saved",
        area=Area.SUPERVISOR,
        file=CORE,
        old="        self._on_change(change if saved else replace(change, durable=False))",
        new="        self._on_change(change)",
        mistake="A transition the disk refused is told as durable.",
        laws=(14,),
        first=("faildisk",),
    ),
    Mutant(
        name="session-not-continued",
        area=Area.SUPERVISOR,
        file=CORE,
        old="        self.session = stored.session if stored else world.fresh_id()",
        new="        self.session = world.fresh_id()",
        mistake="After a restart the same image gets a session of its own.",
        laws=(16, 17),
        first=("restart",),
    ),
)

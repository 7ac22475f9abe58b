"""Faults in the supervisor: the recorder, the world all images share, starting, closing, and what is told."""

from __future__ import annotations

from simulations.mutants.planting import Area, Mutant

IMAGE = "resilience/image.py"
RECORDER = "resilience/recorder.py"
SUPERVISOR = "resilience/supervisor.py"
WORLD = "resilience/world.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="patience-without-end",
        area=Area.SUPERVISOR,
        file="resilience/limits.py",
        old="JOURNAL_PATIENCE_S = 1.0\n",
        new="JOURNAL_PATIENCE_S = 1000.0\n",
        mistake="A disk that hangs is waited for, and the host learns nothing meanwhile.",
        laws=(14,),
        first=("regression 5/0",),
    ),
    Mutant(
        name="works-after-the-end",
        area=Area.SUPERVISOR,
        file="resilience/core.py",
        old="        self._let_go = True\n",
        new="",
        mistake="An image that was let go while the disk is slow still does what its user asks.",
        laws=(11,),
        first=("regression 4/0",),
    ),
    # -- the recorder ----------------------------------------------------------------------
    Mutant(
        name="refusal-passes-for-saved",
        area=Area.SUPERVISOR,
        file=RECORDER,
        old="            return [False] * len(batch), [*troubles, str(problem)]",
        new="            return kept, [*troubles, str(problem)]",
        mistake="What the journal took into memory counts as saved, whatever the disk says.",
        laws=(14,),
        first=("faildisk",),
    ),
    Mutant(
        name="commit-waits-for-company",
        area=Area.SUPERVISOR,
        file=RECORDER,
        old="            history.commit()\n        except",
        new="            if len(batch) > 1:\n                history.commit()\n        except",
        mistake="Sharing one sync among many leaves a single transition without any.",
        laws=(14,),
    ),
    Mutant(
        name="waiting-batch-forgotten",
        area=Area.SUPERVISOR,
        file=RECORDER,
        old="""\
        if self._waiting:
            self._write_next()  # the disk is at work while we tell
        elif""",
        new="        if",
        mistake="What came in while the disk was at work waits for the next transition.",
        laws=(14,),
        first=("swarm/12",),
    ),
    # -- the world -------------------------------------------------------------------------
    Mutant(
        name="announced-before-durable",
        area=Area.SUPERVISOR,
        file=WORLD,
        old="""\
        def done(saved: bool) -> None:  # noqa: FBT001 - a callback's one argument
            core.durable(saved=saved)

        self._recorder.record(record, done)
""",
        new="""\
        self._loop.call_soon(lambda: core.durable(saved=True))
        self._recorder.record(record, lambda _: None)
""",
        mistake="The host is told of a transition while it is still on its way to the disk.",
        laws=(14,),
        first=("isolation",),
    ),
    Mutant(
        name="forgotten-not-aborted",
        area=Area.LINK,
        file=WORLD,
        old="        if link is not None:\n            link.abort()\n",
        new="        del link\n",
        mistake="A link that is given up is dropped for the garbage collector to close some day.",
        laws=(1, 11),
    ),
    Mutant(
        name="armed-once",
        area=Area.SUPERVISOR,
        file=WORLD,
        old="            if armed[0] == deadline:\n                return\n",
        new="            if deadline is None or armed[0] >= deadline:\n                return\n",
        mistake="A timer that is armed already is kept, although the new deadline is earlier.",
        laws=(4, 10, 12),
        first=("tunnel",),
    ),
    Mutant(
        name="paths-remembered",
        area=Area.MONITOR,
        file=WORLD,
        old="        self._paths.clear()\n",
        new="",
        mistake="The way to an address is worked out once and kept.",
        laws=(8, 9),
    ),
    Mutant(
        name="every-address-gone",
        area=Area.MONITOR,
        file=WORLD,
        old="                if address and not snapshot.has_address(address):\n",
        new="                if address:\n",
        mistake="Whatever changes in the network ends every link.",
        laws=(8,),
        first=("docker",),
    ),
    Mutant(
        name="gone-address-not-told",
        area=Area.MONITOR,
        file=WORLD,
        old="""\
            for gen, address in self.local_addresses(core).items():
                if address and not snapshot.has_address(address):
                    core.feed(e.AddressGone(gen, f"{address} is gone"))
""",
        new="",
        mistake="A link is left to find out for itself that its local address is gone.",
        laws=(8,),
    ),
    Mutant(
        name="neighbours-shaken",
        area=Area.SUPERVISOR,
        file=WORLD,
        old="                other.feed(e.PathProven())\n",
        new='                other.feed(e.PathChanged(usable=True, detail="a neighbour is back"))\n',
        mistake="One image's return is told to the others as a change of their path.",
        laws=(8, 18),
        first=("isolation",),
    ),
    # -- starting, closing, telling ----------------------------------------------------------
    Mutant(
        name="session-not-restored",
        area=Area.SUPERVISOR,
        file=SUPERVISOR,
        old="        stored = self._history.last(where.key) if self._history is not None else None",
        new="        stored = None",
        mistake="A restart begins anew, whatever the journal says.",
        laws=(16, 17),
        first=("restart",),
    ),
    Mutant(
        name="sequence-from-one",
        area=Area.SUPERVISOR,
        file=SUPERVISOR,
        old="        seq = self._history.next_seq(where.key) if self._history is not None else 1",
        new="        seq = 1",
        mistake="Every process numbers its transitions from 1.",
        laws=(14,),
        first=("restart",),
    ),
    Mutant(
        name="ping-from-memory",
        area=Area.SUPERVISOR,
        file=IMAGE,
        old='        _, asked = await self._ask(Kind.PING, "", timeout)\n',
        new="        return 0.001\n",
        mistake="A ping is answered without asking the image.",
        laws=(13,),
    ),
    Mutant(
        name="close-never-returns",
        area=Area.SUPERVISOR,
        file=SUPERVISOR,
        old="                await self._recorder.close()\n",
        new="                await asyncio.get_running_loop().create_future()\n",
        mistake="Whoever closes the supervisor waits for ever.",
        laws=(0,),
    ),
    Mutant(
        name="state-before-journal",
        area=Area.SUPERVISOR,
        file=IMAGE,
        old='where it stood."""\n        return self._state',
        new='where it stood."""\n        return self._core.connection.state',
        mistake="The state shown is the machine's own, whether or not the journal knows it.",
        laws=(14,),
    ),
)

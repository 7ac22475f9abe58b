"""Faults in the table and in what a connection makes of each event."""

from __future__ import annotations

from simulations.mutants.planting import Area, Mutant

TABLE = "machines/table.py"
CONNECTION = "machines/connection.py"
STANDING = "machines/standing.py"

MUTANTS: tuple[Mutant, ...] = (
    # -- the table -----------------------------------------------------------------------
    Mutant(
        name="table-no-adopt",
        area=Area.MACHINE,
        file=TABLE,
        old="""\
    Rule(_S.ORPHANED, _T.ADOPT, _S.RECONNECTING, "the user says this image continues the session"),
""",
        new="",
        mistake="A way out of Orphaned was forgotten.",
        laws=(),
    ),
    Mutant(
        name="table-no-silence",
        area=Area.MACHINE,
        file=TABLE,
        old="""\
    Rule(
        _S.CONNECTED,
        _T.LINK_SILENT,
        _S.RECONNECTING,
        "no sign of life; the link is kept while we dial beside it",
    ),
""",
        new="",
        mistake="The rule for a Connected link that falls silent was dropped; the one for Modified is there.",
        laws=(4, 10),
    ),
    Mutant(
        name="table-no-path-lost",
        area=Area.MACHINE,
        file=TABLE,
        old="""\
    Rule(
        _S.CONNECTED,
        _T.PATH_LOST,
        _S.RECONNECTING,
        "no route leads to the image; the link may survive a flap",
    ),
""",
        new="",
        mistake="The rule for a Connected image whose path goes was dropped.",
        laws=(8, 9),
    ),
    Mutant(
        name="table-no-replacement",
        area=Area.MACHINE,
        file=TABLE,
        old="""\
    Rule(_S.RECONNECTING, _T.IMAGE_REPLACED, _S.ORPHANED, "another image took the address during the outage"),
""",
        new="",
        mistake="Nobody thought of another image that comes up during an outage.",
        laws=(0, 17),
        first=("other",),
    ),
    Mutant(
        name="table-wrong-target",
        area=Area.MACHINE,
        file=TABLE,
        old='Rule(_S.RECONNECTING, _T.IMAGE_ANSWERED, _S.CONNECTED, "a link answered; the outage is over")',
        new='Rule(_S.RECONNECTING, _T.IMAGE_ANSWERED, _S.RESTORED, "a link answered; the outage is over")',
        mistake="One cell of the table names the wrong state.",
        laws=(10,),
    ),
    Mutant(
        name="table-restores-connected",
        area=Area.MACHINE,
        file=TABLE,
        old='Rule(_S.RESTORING, _T.SESSION_RESTORED, _S.RESTORED, "everything durable is in memory again")',
        new='Rule(_S.RESTORING, _T.SESSION_RESTORED, _S.CONNECTED, "everything durable is in memory again")',
        mistake="A restored session counts as connected, as it was when it was stored.",
        laws=(2,),
        first=("restart",),
    ),
    # -- what events mean ------------------------------------------------------------------
    Mutant(
        name="connected-at-handshake",
        area=Area.MACHINE,
        file=CONNECTION,
        old="                    self.search.handshaken(attempt, now)",
        new="                    self._answered(gen, e.Identity(), now)",
        mistake="The ZMTP handshake is taken for an answer of the image.",
        laws=(2,),
    ),
    Mutant(
        name="lost-link-not-redialled",
        area=Area.MACHINE,
        file=CONNECTION,
        old="""\
                Trigger.LINK_LOST, REASON_OF[cause] if self.path_usable else Reason.WAITING, detail, now
            )
            self._begin(now)
""",
        new="""\
                Trigger.LINK_LOST, REASON_OF[cause] if self.path_usable else Reason.WAITING, detail, now
            )
""",
        mistake="A link that ends is reported, and nobody dials.",
        laws=(10,),
    ),
    Mutant(
        name="failed-dial-not-retried",
        area=Area.MACHINE,
        file=CONNECTION,
        old="""\
            self.report(reason, detail)
        if self.wanted and self.state in DIALLING:
            self.search.set_next_try(now)
""",
        new="""\
            self.report(reason, detail)
""",
        mistake="A dial that came to nothing after the port was open sets no next try.",
        laws=(10,),
    ),
    Mutant(
        name="silence-only-watched",
        area=Area.MACHINE,
        file=CONNECTION,
        old="""\
            self.search.cause = cause
            if self.search.dial is None:
                self.search.start_dial(now)
""",
        new="            self.search.cause = cause\n",
        mistake="A silent link is kept in the hope that it speaks again, and nothing is dialled beside it.",
        laws=(10,),
    ),
    Mutant(
        name="mute-dial-kept",
        area=Area.MACHINE,
        file=CONNECTION,
        old="        if verdict is not Verdict.WELL:\n            self._out.append(c.Abort(attempt.gen))",
        new="        if verdict is Verdict.FROZEN:\n            self._out.append(c.Abort(attempt.gen))",
        mistake="A dial whose first ping goes into a dead path is waited for without end.",
        laws=(10,),
        first=("lift",),
    ),
    Mutant(
        name="overdue-dial-not-aborted",
        area=Area.MACHINE,
        file=CONNECTION,
        old="""\
            self._out.append(c.Abort(self.search.dial.gen))
            self._dial_failed(cause, "", now, timed_out=True)
""",
        new="""\
            self._dial_failed(cause, "", now, timed_out=True)
""",
        mistake="A dial that took too long is forgotten, but its socket is left open.",
        laws=(1,),
    ),
    Mutant(
        name="replaced-link-kept",
        area=Area.MACHINE,
        file=CONNECTION,
        old="""\
f"{met.image_id}, not {self.identity.image_id}")
        self.drop_links()
""",
        new="""\
f"{met.image_id}, not {self.identity.image_id}")
""",
        mistake="The link to another image stays open after the session became Orphaned.",
        laws=(0, 17),
        first=("swarm/21",),
    ),
    Mutant(
        name="restart-taken-for-another",
        area=Area.MACHINE,
        file=CONNECTION,
        old="            self.connected(Reason.RESTARTED)",
        new="            self._replaced(met)",
        mistake="An image whose uptime went back is taken for another image.",
        laws=(10, 17),
        first=("S5",),
    ),
    Mutant(
        name="disconnect-redials",
        area=Area.MACHINE,
        file=CONNECTION,
        old="                self.wanted = False  # where nothing is connected it still means: stay away\n",
        new="",
        mistake="Disconnecting drops the link, and the next network event dials again.",
        laws=(1,),
        first=("away",),
    ),
    Mutant(
        name="gone-address-keeps-link",
        area=Area.MACHINE,
        file=CONNECTION,
        old="""\
            self._out.append(c.Abort(gen))
            self.live = None
            reason =""",
        new="""\
            self.live = None
            reason =""",
        mistake="A link whose local address is gone is forgotten, not aborted.",
        laws=(1, 8),
    ),
    Mutant(
        name="path-loss-ignored",
        area=Area.MACHINE,
        file=CONNECTION,
        old="                self.lost(Trigger.PATH_LOST, Reason.WAITING, detail, now)\n",
        new="",
        mistake="An image without a path is still claimed to be connected.",
        laws=(8, 9),
    ),
    Mutant(
        name="path-back-not-dialled",
        area=Area.MACHINE,
        file=CONNECTION,
        old="""\
            self.hedge(self.live, now)
        self._search_anew(now)

    def _woke""",
        new="""\
            self.hedge(self.live, now)

    def _woke""",
        mistake="When the path comes back the old link is probed, and nothing is dialled beside it.",
        laws=(7, 8),
    ),
    Mutant(
        name="proof-wakes-everybody",
        area=Area.MACHINE,
        file=CONNECTION,
        old="""\
                if self.search.next_try_at is not None and self.search.waiting:
                    self.search.path_proven(now)
""",
        new="""\
                self.search.path_proven(now)
""",
        mistake="A neighbour's success makes images dial that are connected, or are not wanted.",
        laws=(8, 18),
        first=("isolation",),
    ),
    # -- whose image it is -----------------------------------------------------------------
    Mutant(
        name="identity-not-compared",
        area=Area.MACHINE,
        file=STANDING,
        old="        return known is not None and met.image_id is not None and met.image_id != known",
        new="        return False",
        mistake="An image with another id passes for the session's own.",
        laws=(17,),
        first=("other",),
    ),
    Mutant(
        name="identity-not-learnt",
        area=Area.MACHINE,
        file=STANDING,
        old="        image_id = met.image_id or self.identity.image_id",
        new="        image_id = self.identity.image_id",
        mistake="The id of the image that answered first is never remembered.",
        laws=(17,),
        first=("other",),
    ),
)

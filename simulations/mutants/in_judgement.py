"""Faults in what we conclude: who is a stranger, what is silence, whose fault, what is known late."""

from __future__ import annotations

from simulations.mutants.planting import Area, Mutant

CONNECTION = "machines/connection.py"
CORE = "resilience/core.py"
EXCHANGE = "resilience/exchange.py"
LIVENESS = "machines/liveness.py"
KEEPER = "resilience/sessions/keeper.py"
SUPERVISOR = "resilience/supervisor.py"

_FATAL = (
    "        fatal = {Cause.ACCESS: Trigger.ACCESS_REFUSED, Cause.VERSION: Trigger.INCOMPATIBLE}.get(cause)\n"
)

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="portal-is-for-good",
        area=Area.MACHINE,
        file=CONNECTION,
        old=_FATAL,
        new=_FATAL.replace("}.get", ", Cause.PROTOCOL: Trigger.INCOMPATIBLE}.get"),
        mistake="What talks another protocol, as a hotel's portal does, ends the search for good.",
        laws=(5,),
        first=("hotel",),
    ),
    Mutant(
        name="mute-is-for-good",
        area=Area.MACHINE,
        file=CONNECTION,
        old=_FATAL,
        new=_FATAL.replace("}.get", ", Cause.NO_HANDSHAKE: Trigger.INCOMPATIBLE}.get"),
        mistake="What accepts and says nothing ends the search for good.",
        laws=(5,),
        first=("squatter",),
    ),
    Mutant(
        name="data-only-is-life",
        area=Area.MACHINE,
        file=LIVENESS,
        old="    if min(seen.quiet_s, clean_s) > limit:\n",
        new="    if min(seen.data_quiet_s, clean_s) > limit:\n",
        mistake="Acknowledgements of a long transfer count for nothing: it is cut off as silence.",
        laws=(4,),
        first=("upload",),
    ),
    Mutant(
        name="sending-looks-frozen",
        area=Area.MACHINE,
        file=LIVENESS,
        old=" and not seen.sending:\n",
        new=":\n",
        mistake="An image that is still being sent something is told as frozen.",
        laws=(3, 4),
        first=("upload", "slow"),
    ),
    Mutant(
        name="stall-is-silence",
        area=Area.MACHINE,
        file=CONNECTION,
        old="            case e.Stalled():\n                self.excuse(now)\n",
        new="            case e.Stalled():\n                pass\n",
        mistake="What was not heard while our own process stood still counts as silence.",
        laws=(6,),
        first=("debugger",),
    ),
    Mutant(
        name="late-timer-blames-the-network",
        area=Area.SUPERVISOR,
        file=CORE,
        old="            if now - due >= STALL_S:",
        new="            if now - due >= 1e9:",
        mistake="Only the monitor's tick notices a stall, and a connection's own timer may come before it.",
        laws=(6,),
        first=("regression 8",),
    ),
    Mutant(
        name="unknown-tells-the-code",
        area=Area.LINK,
        file=EXCHANGE,
        old="        return OutcomeUnknown(request.id, request.kind, asked.sent_wall, why)\n",
        new="        return OutcomeUnknown(request.id, request.kind, asked.sent_wall, why + request.code)\n",
        mistake="The exception that says that nobody knows what became of it quotes the user's code.",
        laws=(20,),
        first=("crashes",),
    ),
    Mutant(
        name="late-journal-let-go",
        area=Area.SUPERVISOR,
        file=SUPERVISOR,
        old="            recorder.take(history)\n",
        new="",
        mistake="A journal that opens late is read, and nothing is ever written to it.",
        laws=(14,),
        first=("regression 9",),
    ),
    Mutant(
        name="late-session-of-its-own",
        area=Area.SUPERVISOR,
        file=CORE,
        old="        self._stored, self.session = stored, stored.session\n        if",
        new="        if",
        mistake="A journal that opens late is taken in, and its sessions are not gone on with.",
        laws=(15, 16),
        first=("regression 9",),
    ),
    Mutant(
        name="late-session-not-joined",
        area=Area.SUPERVISOR,
        file=KEEPER,
        old='            kept.why, kept.id = "", kept.core.session\n',
        new='            kept.why = ""\n',
        mistake="What was typed before the journal could be read stays in a session of its own.",
        laws=(15,),
        first=("regression 9",),
    ),
)

"""One image's connection, sans-IO: facts and `now` go in, commands and one next deadline come out.

The state moves only through the table (`machines.standing`), links are held and
served in `machines.holding`, the search for the image is `machines.search`. What
stands here is what each fact means.
"""

from __future__ import annotations

from random import Random

from machines import commands as c
from machines import events as e
from machines.holding import Holding
from machines.links import LiveLink
from machines.liveness import Verdict, judge
from machines.machine import Refused, allows
from machines.policy import Policy
from machines.reasons import REASON_OF, Cause, Reason
from machines.search import DialAttempt, Phase
from machines.table import DIALLING, LIVE, State, Trigger


class Connection(Holding):
    """The machine of one image. Not thread-safe: one loop owns it."""

    def __init__(self, random: Random, policy: Policy | None = None) -> None:
        super().__init__(random, policy or Policy())
        self.wanted = False
        self.path_usable = True
        self._failed_by_network = False

    # -- the two questions a shell asks ------------------------------------------------

    def receive(self, event: e.Event, now: float) -> tuple[c.Command, ...]:  # noqa: C901, PLR0912, PLR0915 - an arm a fact
        """Take in one fact; the returned commands must be executed, in order.

        Raises:
            Refused: the host asked for something the state forbids; nothing changed.
        """
        match event:
            case e.Asked(what):
                self._asked(what, now)
            case e.SessionFound():
                self.move(Trigger.SESSION_FOUND, Reason.RESTORING)
                self._out.append(c.ReadSession())
            case e.SessionRestored(identity, dirty):
                self.move(Trigger.SESSION_RESTORED, Reason.RESTORED)
                self._session_read(identity, now, dirty=dirty)
            case e.SessionAbsent():
                self.move(Trigger.SESSION_ABSENT, Reason.NO_SESSION)
                self._session_read(e.Identity(), now, dirty=False)
            case e.SessionUnreadable(detail):
                self._fail(Trigger.SESSION_UNREADABLE, Reason.UNREADABLE, detail)
            case e.LookingUp(gen, done):
                if attempt := self.search.attempt_of(gen):
                    self.search.looking_up(attempt, now, done=done)
            case e.Accepted(gen):
                if attempt := self.search.attempt_of(gen):
                    self.search.accepted(attempt, now)
            case e.Handshaken(gen):
                if attempt := self.search.attempt_of(gen):
                    self.search.handshaken(attempt, now)
            case e.Answered(gen, identity):
                self._answered(gen, identity, now)
            case e.LinkDown(gen, cause, detail):
                self._link_down(gen, cause, detail, now)
            case e.InFlight(gen, busy, trivial):
                self.in_flight(gen, now, busy=busy, trivial=trivial)
            case e.Abandoned(gen):
                if self.abandon(gen):
                    self._begin(now)
            case e.Vitals():
                self._vitals(event, now)
            case e.Scouted(found, took_s):
                self._scouted(found, took_s, now)
            case e.PathChanged(usable, detail):
                self._path_changed(detail, now, usable=usable)
            case e.AddressGone(gen, detail):
                self._address_gone(gen, detail, now)
            case e.PathProven():
                if self.search.next_try_at is not None and self.search.waiting:
                    self.search.path_proven(now)
            case e.Woke(slept_s):
                self._woke(slept_s, now)
            case e.Stalled():
                self.excuse(now)
            case e.Tick():
                self._tick(now)
        out = tuple(self._out)
        self._out.clear()
        return out

    def deadline(self) -> float | None:
        """When to feed the next `Tick`, at the latest; None: only an event can change anything."""
        times = (
            *self.search.deadlines(),
            self.live.check_at if self.live else None,
            self.live.ping_at if self.live and self.state in LIVE and not self.busy else None,
            self.drain.until if self.drain else None,
            self._limit_at(),
        )
        return min((t for t in times if t is not None), default=None)

    # -- the host ----------------------------------------------------------------------

    def _asked(self, what: e.Ask, now: float) -> None:
        match what:
            case e.Ask.CONNECT:
                if self.state not in DIALLING | LIVE:
                    raise Refused(self.state, Trigger.IMAGE_ANSWERED)
                self.wanted = True
                self.lost_at = now
                self._begin(now)
            case e.Ask.DISCONNECT:
                if allows(self.state, Trigger.DISCONNECT):
                    self.move(Trigger.DISCONNECT, Reason.BY_USER)
                self.wanted = False  # where nothing is connected it still means: stay away
                self.drop_links()
            case e.Ask.RETRY if self.state in DIALLING:
                self.wanted = True
                self._search_anew(now)
            case e.Ask.EDITED:
                self.dirty = True
                if self.state is State.CONNECTED:
                    self._mark(Trigger.EDITED, Reason.EDITED)
            case e.Ask.SAVED:
                self.dirty = False
                if self.state is State.MODIFIED:
                    self._mark(Trigger.SAVED, Reason.SAVED)
            case _:
                self._way_out(Trigger(what.value), now)

    def _mark(self, trigger: Trigger, reason: Reason) -> None:
        """Work was done or saved, which says nothing of the image: a busy one is still busy."""
        shown, detail = self.reason, self.detail
        self.move(trigger, reason)
        if shown in (Reason.BUSY, Reason.NOT_ANSWERING):
            self.report(shown, detail)

    def _way_out(self, trigger: Trigger, now: float) -> None:
        self.move(trigger, Reason.RESTORING if trigger is Trigger.RESTORE else Reason.BY_USER)
        self.lost_at = now
        if trigger is Trigger.RESTORE:
            self._out.append(c.ReadSession())
        if trigger in (Trigger.START_FRESH, Trigger.ARCHIVE):
            self._out.append(c.ArchiveSession())
            self.dirty = False  # the archive holds the edits now
        if trigger in (Trigger.START_FRESH, Trigger.ARCHIVE, Trigger.ADOPT):
            self.own(e.Identity(), now)
        self.wanted = trigger is not Trigger.ARCHIVE
        self._search_anew(now)

    def _session_read(self, owner: e.Identity, now: float, *, dirty: bool) -> None:
        """The session's owner is known now; an image that answered meanwhile has waited for this."""
        self.own(owner, now)
        self.dirty = self.dirty or dirty
        met = self.live.met if self.live is not None else None
        if met is not None and self.is_another(met):
            self._replaced(met)
        elif self.live is None:
            self._begin(now)
        elif met is not None and self.live.suspect_since is None:
            self._prove(met, now)
        elif self.path_usable:
            self.hedge(self.live, now)  # its answer is old news: ask again, and dial beside it
            self._search_anew(now)
        else:
            self._not_yet(Cause.NO_ROUTE, "", now)

    def _fail(self, trigger: Trigger, reason: Reason, detail: str, *, by_network: bool = False) -> None:
        self.move(trigger, reason, detail)
        self._failed_by_network = by_network
        self.drop_links()

    # -- trying ------------------------------------------------------------------------

    def _begin(self, now: float) -> None:
        """Try at once, or say that there is no path to try."""
        idle = self.live is None and self.search.dial is None
        if not (self.wanted and idle and self.state in DIALLING):
            return
        if self.path_usable:
            self.search.start_dial(now)
            if self.state is State.FRESH:
                self.report(Reason.FIRST_DIAL)
        else:
            self._not_yet(Cause.NO_ROUTE, "", now)

    def _search_anew(self, now: float) -> None:
        """Something told of a change: forget how long it has been, dial now, search densely."""
        self.search.begin_anew(now)
        if self.wanted and self.state in DIALLING | LIVE:
            self.search.start_dial(now)

    def _not_yet(self, cause: Cause, detail: str, now: float) -> None:
        """A try came to nothing; say so and set the next."""
        if cause is Cause.NO_HANDSHAKE and self.live is not None and self.live.frozen:
            cause = Cause.FROZEN
        self.search.cause = cause
        reason = REASON_OF[cause] if self.path_usable else Reason.WAITING
        if allows(self.state, Trigger.DIAL_FAILED):
            self.move(Trigger.DIAL_FAILED, reason, detail)
            self.lost_at = now
            self.search.begin_anew(now)
        elif self.state is State.RECONNECTING:
            self.report(reason, detail)
        if self.wanted and self.state in DIALLING:
            self.search.set_next_try(now)

    def _dial_failed(self, cause: Cause, detail: str, now: float, *, timed_out: bool = False) -> None:
        self.search.fail_dial(cause, timed_out=timed_out)
        fatal = {Cause.ACCESS: Trigger.ACCESS_REFUSED, Cause.VERSION: Trigger.INCOMPATIBLE}.get(cause)
        if fatal is not None and allows(self.state, fatal):
            self._fail(fatal, REASON_OF[cause], detail)
        elif self.state in LIVE:
            self.search.stop()  # a hedge failed beside a link still claimed; that link's vitals decide
        else:
            self._not_yet(cause, detail, now)

    def _scouted(self, found: e.Scouting, took_s: float, now: float) -> None:
        if self.search.next_try_at is None or not self.search.waiting:
            return
        if found is e.Scouting.OPEN:
            self.search.scouted_open(took_s, now)
            return
        self.search.cause = Cause.NO_ANSWER
        if found is not e.Scouting.SILENT:
            self.search.cause = Cause.REFUSED if found is e.Scouting.REFUSED else Cause.NO_ROUTE
        if self.state is State.RECONNECTING and (self.live is None or not self.live.frozen):
            self.report(REASON_OF[self.search.cause] if self.path_usable else Reason.WAITING)

    # -- links that live ---------------------------------------------------------------

    def _answered(self, gen: int, identity: e.Identity, now: float) -> None:
        if self.drain is not None and self.drain.gen == gen:
            self.end_drain()  # its one reply has come
        elif attempt := self.search.attempt_of(gen):
            self.promote(attempt, now)
            self._prove(identity, now)
        elif self.live is not None and self.live.gen == gen:
            self.live.clean_since = now
            self._prove(identity, now)

    def _prove(self, met: e.Identity, now: float) -> None:
        """An answer came from `met` on the live link: is it our image, and what do we make of it?"""
        survived = self.live is not None and self.live.suspect_since is not None
        if self.state is State.RESTORING:
            if self.live is not None:
                self.live.met = met  # judged when the session is in memory
                self.live.suspect_since = None
            self.search.stop()
        elif self.is_another(met):
            self._replaced(met)
        elif self.meet(met, now):
            self.connected(Reason.RESTARTED)
        else:
            self.connected(Reason.SURVIVED if survived else Reason.ANSWERED)

    def _replaced(self, met: e.Identity) -> None:
        self.move(Trigger.IMAGE_REPLACED, Reason.OTHER_IMAGE, f"{met.image_id}, not {self.identity.image_id}")
        self.drop_links()

    def _link_down(self, gen: int, cause: Cause, detail: str, now: float) -> None:
        if self.drain is not None and self.drain.gen == gen:
            self.drain = None
        elif self.search.attempt_of(gen):
            self._dial_failed(cause, detail, now)
        elif self.live is not None and self.live.gen == gen:
            self.live = None
            self.lost(
                Trigger.LINK_LOST, REASON_OF[cause] if self.path_usable else Reason.WAITING, detail, now
            )
            self._begin(now)

    def _address_gone(self, gen: int, detail: str, now: float) -> None:
        """The 4-tuple is dead: nothing to probe, nothing to drain (law 8)."""
        if self.drain is not None and self.drain.gen == gen:
            self.end_drain()
        if self.search.attempt_of(gen):
            self.search.abort_dial()
            self._dial_failed(Cause.CLOSED, detail, now)
            if self.path_usable:
                self._begin(now)
        if self.live is not None and self.live.gen == gen:
            self._out.append(c.Abort(gen))
            self.live = None
            reason = Reason.ADDRESS_GONE if self.path_usable else Reason.WAITING
            self.lost(Trigger.LINK_LOST, reason, detail, now)
            self._begin(now)

    # -- signs of life -----------------------------------------------------------------

    def _vitals(self, seen: e.Vitals, now: float) -> None:
        attempt, link = self.search.attempt_of(seen.gen), self.live
        if attempt is not None and attempt.phase is Phase.PINGING:
            self.search.rtt_s = seen.rtt_s or self.search.rtt_s
            self._dial_vitals(attempt, seen, now)
        elif link is not None and link.gen == seen.gen:
            self.search.rtt_s = seen.rtt_s or self.search.rtt_s
            self._live_vitals(link, seen, now)

    def _live_vitals(self, link: LiveLink, seen: e.Vitals, now: float) -> None:
        verdict = link.judge(seen, now, self.policy)
        if self.path_usable and link.spoke_again(seen, now):
            self._spoke_again(link)
        elif verdict is not Verdict.WELL and self.state in LIVE:
            cause = Cause.FROZEN if link.frozen else Cause.SILENT
            self.hedge(link, now)
            self.lost(Trigger.LINK_SILENT, REASON_OF[cause], "", now)
            self.search.cause = cause
            if self.search.dial is None:
                self.search.start_dial(now)

    def _spoke_again(self, link: LiveLink) -> None:
        if self.state is State.RESTORING:
            link.suspect_since = None
        elif link.proven and (self.state in LIVE or self.state is State.RECONNECTING):
            self.connected(Reason.SURVIVED, resumed=True)

    def _dial_vitals(self, attempt: DialAttempt, seen: e.Vitals, now: float) -> None:
        """A dial whose ping is unanswered: wait as long as the carrier lives, and name it."""
        verdict = judge(seen, attempt.since, now, self.policy, busy=True)
        if verdict is not Verdict.WELL:
            self._out.append(c.Abort(attempt.gen))
            self._dial_failed(Cause.FROZEN if verdict is Verdict.FROZEN else Cause.SILENT, "", now)
        elif now - attempt.since >= self.policy.busy_after_s and self.state not in LIVE:
            self.report(Reason.NOT_ANSWERING)

    # -- the machine we run on ---------------------------------------------------------

    def _path_changed(self, detail: str, now: float, *, usable: bool) -> None:
        self.path_usable = usable
        if not usable:
            self.search.abort_dial()
            if self.live is not None:
                self.hedge(self.live, now)
                self.lost(Trigger.PATH_LOST, Reason.WAITING, detail, now)
            if self.wanted:
                self._not_yet(Cause.NO_ROUTE, detail, now)
            return
        self.search.forget_path()
        if self.state is State.FAILED and self._failed_by_network and self.wanted:
            self.move(Trigger.NETWORK_CHANGED, Reason.NETWORK_CHANGED, detail)
            self.lost_at = now
        elif self.state is State.RECONNECTING:
            self.report(Reason.DIALLING, detail)
        if self.live is not None:
            self.hedge(self.live, now)
        self._search_anew(now)

    def _woke(self, slept_s: float, now: float) -> None:
        """Probe first: the link may have outlived a short sleep. Dial beside it if it stays mute."""
        self.excuse(now)
        if self.live is None:
            self._search_anew(now)
        else:
            self.hedge(self.live, now)
            self.search.begin_anew(now)
            self.search.next_try_at = now + self.policy.wake_grace_s
            self.report(Reason.WOKE, f"slept {slept_s:.0f} s")

    # -- time --------------------------------------------------------------------------

    def _limit_at(self) -> float | None:
        if self.state is not State.RECONNECTING:
            return None
        limits = (self.policy.gone_after_s, self.policy.give_up_after_s)
        return self.lost_at + min(limit for limit in limits if limit is not None)

    def _tick(self, now: float) -> None:
        limit = self._limit_at()
        if limit is not None and now >= limit:
            self._stop_at_limit(now)
            return
        if self.drain is not None and now >= self.drain.until:
            self.end_drain()
        if (cause := self.search.overdue(now)) and self.search.dial is not None:
            self._out.append(c.Abort(self.search.dial.gen))
            self._dial_failed(cause, "", now, timed_out=True)
        attempt = self.search.dial
        if attempt is not None and attempt.check_at is not None and now >= attempt.check_at:
            self._out.append(c.Inspect(attempt.gen))
            attempt.check_at = now + self.policy.check_busy_s
        if self.live is not None:
            self.look_after(self.live, now)
        if self.search.next_try_at is not None and now >= self.search.next_try_at:
            self.search.try_again(now)

    def _stop_at_limit(self, now: float) -> None:
        if now - self.lost_at >= self.policy.gone_after_s:
            self.move(Trigger.IMAGE_GONE, Reason.GONE)
            self.drop_links()
        else:
            self._fail(Trigger.GAVE_UP, Reason.GAVE_UP, "", by_network=True)

"""Which links a connection holds, which of them serves, and whether it still claims them."""

from __future__ import annotations

from random import Random

from machines import commands as c
from machines.links import DrainingLink, LiveLink
from machines.policy import Policy
from machines.reasons import Reason
from machines.search import DialAttempt, Search
from machines.standing import Standing
from machines.table import LIVE, Trigger


class Holding(Standing):
    """At most three links, each of its own generation; requests go to one of them or wait.

    * `live`   proved itself with an answer and serves requests; while the state is
               Reconnecting it is only kept because it may yet survive the outage;
    * `dial`   (in `search`) the one fresh attempt under way; its first answer makes it `live`;
    * `drain`  a replaced link that may still deliver the reply of its last request.
    """

    def __init__(self, random: Random, policy: Policy) -> None:
        out: list[c.Command] = []
        super().__init__(out)
        self.policy = policy
        self.live: LiveLink | None = None
        self.drain: DrainingLink | None = None
        self.search = Search(random, policy, out)
        self.lost_at = 0.0
        self._serving: int | None = None

    @property
    def busy(self) -> bool:
        """Whether a request is outstanding on the link that serves."""
        return self.live is not None and self.live.busy_since is not None

    def serve(self, gen: int | None) -> None:
        """Requests go to link `gen` from here on; None: they wait."""
        if gen != self._serving:
            self._serving = gen
            self._out.append(c.Serve(gen))

    def connected(self, reason: Reason, *, resumed: bool = False) -> None:
        """The present `live` link is proven; every tried alternative is called off."""
        self.search.stop()
        self.search.forget_failures()
        self.proven(reason, resumed=resumed)
        if self.live is not None and self.state in LIVE:
            self.live.suspect_since = None
            self.live.proven = True
            self.serve(self.live.gen)

    def lost(self, trigger: Trigger, reason: Reason, detail: str, now: float) -> None:
        """Claim a link no longer: requests wait from here on, even if the link itself is kept for now."""
        self.serve(None)
        if self.state in LIVE:
            self.move(trigger, reason, detail)
            self.lost_at = now
            self.search.begin_anew(now)

    def drop_links(self) -> None:
        """Give up every link and the search."""
        self.search.stop()
        self.serve(None)
        self.end_drain()
        if self.live is not None:
            self._out.append(c.Abort(self.live.gen))
            self.live = None

    def end_drain(self) -> None:
        """A replaced link has had its time, or has delivered."""
        if self.drain is not None:
            self._out.append(c.Abort(self.drain.gen))
            self.drain = None

    def promote(self, attempt: DialAttempt, now: float) -> None:
        """The dial won; the link it replaces may finish its last reply."""
        old = self.live
        self.live = LiveLink(attempt.gen, now + self.policy.check_idle_s, clean_since=now)
        self.live.ping_at = now + self.policy.ping_idle_s
        self.search.dial = None
        if old is not None and old.busy_since is not None and not old.trivial:
            self.end_drain()
            self.drain = DrainingLink(old.gen, now + self.policy.drain_s)
        elif old is not None:
            self._out.append(c.Abort(old.gen))

    def hedge(self, link: LiveLink, now: float) -> None:
        """Ask the link for a sign of life; whoever answers first, it or a dial beside it, wins."""
        link.suspect(now, self.policy)
        if link.busy_since is None:
            self._out.append(c.Ping(link.gen))

    def in_flight(self, gen: int, now: float, *, busy: bool, trivial: bool) -> None:
        """A request was handed to the link, or its slot is free again."""
        link = self.live
        if link is None or link.gen != gen:
            return
        if not busy:
            link.busy_since = None
            link.ping_at = now + self.policy.ping_idle_s
            if self.state in LIVE and self.reason in (Reason.BUSY, Reason.NOT_ANSWERING):
                self.report_settled()
        elif link.busy_since is None:
            link.busy_since, link.trivial = now, trivial
            link.check_at = min(link.check_at, now + self.policy.check_busy_s)

    def abandon(self, gen: int) -> bool:
        """A link kept for its hope is not worth a request that runs when its caller has left (law 11)."""
        if self.drain is not None and self.drain.gen == gen:
            self.end_drain()
            return True
        if self.live is None or self.live.gen != gen or self.state in LIVE:
            return False
        self._out.append(c.Abort(gen))
        self.live = None
        return True

    def look_after(self, link: LiveLink, now: float) -> None:
        """The living link's own deadlines: look at the carrier, ask the idle image, name the busy one."""
        if link.busy_since is None and self.state in LIVE and now >= link.ping_at:
            link.ping_at = now + self.policy.ping_idle_s
            self._out.append(c.Ping(link.gen))
        if now < link.check_at:
            return
        self._out.append(c.Inspect(link.gen))
        link.set_next_check(now, self.policy)
        slow = link.busy_since is not None and now - link.busy_since >= self.policy.busy_after_s
        if slow and self.state in LIVE:
            self.report(Reason.NOT_ANSWERING if link.trivial else Reason.BUSY)

    def excuse(self, now: float) -> None:
        """What was not heard until now was our own fault."""
        if self.live is not None:
            self.live.clean_since = now
        self.search.excuse(now)

"""One image's runtime in a world of our own making."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from machines import Policy, Reason, State, Trigger
from machines.events import Accepted, Handshaken, Vitals
from resilience.change import Change
from resilience.core import ImageCore
from resilience.endpoint import parse_endpoint
from resilience.errors import ResilienceError
from resilience.exchange import Asked
from resilience.network.snapshot import Path
from resilience.seams import World
from resilience.standin.dialects import Speaks
from resilience.standin.image import Image as Standin
from resilience.wire import Kind, Reply, fresh_id
from store import SessionSummary, TransitionRecord

ADDRESS = "10.0.0.2"
ENDPOINT = f"tcp://{ADDRESS}:5555"
WIFI = Path("10.0.0.7", "wlan0", "10.0.0.1")
CABLE = Path("10.0.0.8", "eth0", "10.0.0.1")

Answer = Callable[[bytes], bytes]


@dataclass
class Sent:
    """One request as the link got it."""

    gen: int
    wire_id: str
    frame: bytes

    @property
    def message(self) -> dict[str, Any]:
        message = json.loads(self.frame)
        assert isinstance(message, dict)
        return message


@dataclass
class FakeWorld:
    """Everything the runtime needs, in memory; nothing happens in it by itself."""

    time: float = 1_000.0
    paths: dict[str, Path | None] = field(default_factory=dict)
    usual_path: Path | None = WIFI
    links: dict[int, str] = field(default_factory=dict)
    dialled: list[tuple[int, str]] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    scouted: list[str] = field(default_factory=list)
    lookups: int = 0
    journal: list[TransitionRecord] = field(default_factory=list)
    unsynced: int = 0
    proofs: int = 0
    reads: int = 0
    holds_session: bool = False
    archived: list[str] = field(default_factory=list)
    saved_revision: int = 0
    armed: float | None = None
    seen: Vitals | None = None

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return 1_700_000_000.0 + self.time

    def fresh_id(self) -> str:
        return fresh_id()

    def check_caller(self) -> None:
        """Everybody may."""

    def arm(self, core: ImageCore) -> None:
        self.armed = core.deadline()

    def open_link(self, core: ImageCore, gen: int, address: str, *, fresh_context: bool) -> None:  # noqa: ARG002 - the seam's signature
        assert gen not in self.links
        self.links[gen] = address
        self.dialled.append((gen, address))

    def abort_link(self, core: ImageCore, gen: int) -> None:  # noqa: ARG002 - same
        self.links.pop(gen, None)

    def send(self, core: ImageCore, gen: int, request_id: str, frame: bytes) -> None:  # noqa: ARG002 - same
        assert gen in self.links, "sent to a link that is gone"
        self.sent.append(Sent(gen, request_id, frame))

    def vitals(self, core: ImageCore, gen: int) -> Vitals | None:  # noqa: ARG002 - same
        return self.seen

    def local_addresses(self, core: ImageCore) -> dict[int, str]:  # noqa: ARG002 - same
        return dict.fromkeys(self.links, "10.0.0.7")

    def scout(self, core: ImageCore, address: str, timeout_s: float) -> None:  # noqa: ARG002 - same
        self.scouted.append(address)

    def call_off_scouts(self, core: ImageCore) -> None:
        pass

    def resolve(self, core: ImageCore) -> None:  # noqa: ARG002 - same
        self.lookups += 1

    def path_to(self, address: str) -> Path | None:
        return self.paths.get(address, self.usual_path)

    def record(self, core: ImageCore, record: TransitionRecord) -> None:  # noqa: ARG002 - same
        self.journal.append(record)
        self.unsynced += 1

    def proven(self, core: ImageCore) -> None:  # noqa: ARG002 - same
        self.proofs += 1

    def read_session(self, core: ImageCore) -> None:
        self.reads += 1
        if self.holds_session:
            return
        if core.stored is not None:
            core.restored()
        else:
            core.absent()

    def archive_session(self, core: ImageCore, session: str) -> None:  # noqa: ARG002 - same
        self.archived.append(session)

    def revision(self, core: ImageCore) -> int:  # noqa: ARG002 - same
        return self.saved_revision


class Bench:
    """A core in its world, with the image and the disk played by the test."""

    def __init__(
        self,
        *,
        endpoint: str = ENDPOINT,
        stored: SessionSummary | None = None,
        answer: Answer | None = None,
        world: FakeWorld | None = None,
    ) -> None:
        self.world = world or FakeWorld()
        seam: World = self.world
        self.changes: list[Change] = []
        self.image = Standin(wait=lambda _: False)
        self.answer = answer or self.image.answer
        self.core = ImageCore(
            endpoint=parse_endpoint(endpoint),
            world=seam,
            random=Random(1),
            policy=Policy(),
            stored=stored,
            next_seq=(stored.seq if stored else 0) + 1,
            on_change=self.changes.append,
        )

    # The far end --------------------------------------------------------------------------------

    @property
    def last_gen(self) -> int:
        return self.world.dialled[-1][0]

    def shake(self, gen: int | None = None) -> int:
        """The newest link, or `gen`, completes its handshake."""
        gen = self.last_gen if gen is None else gen
        self.core.feed(Accepted(gen))
        self.core.feed(Handshaken(gen))
        return gen

    def reply(self, sent: Sent, payload: bytes | None = None) -> None:
        """The image answers what was sent."""
        body = self.answer(sent.frame) if payload is None else payload
        self.core.replied(sent.gen, [sent.wire_id.encode(), b"", body])

    def last_sent(self) -> Sent:
        return self.world.sent[-1]

    def connect(self) -> int:
        """Start, and answer until Connected."""
        self.core.start()
        gen = self.shake()
        self.reply(self.last_sent())
        assert self.core.connection.state is State.CONNECTED
        self.sync()
        return gen

    # The host -----------------------------------------------------------------------------------

    def evaluate(self, code: str = "Counter increment", timeout_s: float = 5.0) -> Waiting:
        waiting = Waiting()
        waiting.asked = self.core.request(Kind.EVALUATE, code, timeout_s, waiting.settle)
        return waiting

    def ping(self, timeout_s: float = 5.0) -> Waiting:
        waiting = Waiting()
        waiting.asked = self.core.request(Kind.PING, "", timeout_s, waiting.settle)
        return waiting

    # Clock and disk -----------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Let time pass, with every deadline kept on the way."""
        until = self.world.time + seconds
        for _ in range(10_000):
            due = self.core.deadline()
            if due is None or due > until:
                break
            self.world.time = max(self.world.time, due)
            self.core.wake()
        else:
            pytest.fail("deadlines without end")
        self.world.time = until

    def sync(self, *, saved: bool = True) -> None:
        """The disk has caught up."""
        while self.world.unsynced:
            self.world.unsynced -= 1
            self.core.durable(saved=saved)

    def stands(self, state: State) -> bool:
        """Asked with a method, because a type checker takes properties for constants."""
        return self.state is state

    @property
    def state(self) -> State:
        return self.core.connection.state

    @property
    def reason(self) -> Reason:
        return self.core.connection.reason


class Waiting:
    """Somebody who waits for an outcome, which must come once."""

    def __init__(self) -> None:
        self.outcome: Reply | ResilienceError | None = None
        self.asked: Asked | None = None

    @property
    def told(self) -> bool:
        return self.outcome is not None

    def settle(self, outcome: Reply | ResilienceError, _: Asked) -> None:
        assert self.outcome is None, "settled twice"
        self.outcome = outcome


def stored_session(**changed: Any) -> SessionSummary:
    fields: dict[str, Any] = {
        "image": f"{ADDRESS}:5555",
        "endpoint": ENDPOINT,
        "session": "0123456789abcdef0123456789abcdef",
        "seq": 41,
        "state": "Reconnecting",
        "reason": "no answer from the address",
        "identity": "image-one",
        "dialect": "command",
        "first_at": 1.0,
        "last_at": 2.0,
        "transitions": 41,
        "connected_at": 1.5,
    }
    return SessionSummary(**(fields | changed))


def command_reply(**result: object) -> bytes:
    return json.dumps({"id": "x", "status": "success", "result": result}).encode()


def moves(changes: list[Change]) -> list[tuple[State, Trigger, State]]:
    return [(change.source, change.trigger, change.target) for change in changes]


def strict(speaks: Speaks, code: str) -> Answer:
    """An image that refuses, in its own dialect, whatever has another dialect's fields in it as well."""
    image = Standin(speaks=speaks, wait=lambda _: False)

    def answer(frame: bytes) -> bytes:
        if not {"payload", "command"} <= json.loads(frame).keys():
            return image.answer(frame)
        if speaks is Speaks.B:
            return json.dumps({"id": None, "status": "error", "error": "what?", "error_type": code}).encode()
        data = {"code": code, "message": "what?", "details": {}}
        payload = {"type": "Response", "data": {"response_type": "Error", "data": data}}
        return json.dumps({"id": "x", "version": "1.0.0", "payload": payload}).encode()

    return answer

"""Has chunks played by an existing Dask cluster.

The cluster plays a chunk again whose worker was lost; the campaign counts what it is told, once. A chunk that
costs a worker each time comes back as `KilledWorker`, after as many tries as the scheduler allows (3 unless
its `distributed.scheduler.allowed-failures` says otherwise).
"""

from __future__ import annotations

from typing import Any

from distributed import Client
from distributed.comm.addressing import parse_address, parse_host_port
from distributed.comm.registry import get_backend
from distributed.scheduler import KilledWorker

from simulations.campaign.journal import fingerprint
from simulations.campaign.playing import RUN_LIMIT_S, Chunk, Player, play_chunk
from simulations.campaign.workers import Promise

CONNECT_S = 5.0
"""A scheduler that is there answers at once; who mistypes an address should not wait for Dask's own 30 s."""


class Cluster:
    """The workers of one scheduler, however many come and go."""

    def __init__(self, scheduler: str, player: Player | None = None, limit_s: float = RUN_LIMIT_S) -> None:
        """Connect.

        Raises:
            ValueError: that is no address.
            OSError: there is no scheduler.
        """
        _check(scheduler)
        self._with = (player, limit_s, fingerprint())
        connect: Any = Client  # it has no types
        self._client = connect(scheduler, timeout=CONNECT_S, set_as_default=False)
        # Equal chunks are no reason to skip one: `pure` would have the cluster remember results by arguments.
        self._executor = self._client.get_executor(pure=False)
        self._promises: set[Promise] = set()

    @property
    def slots(self) -> int:
        """One a thread; one even while there is no worker, so that the first finds work."""
        threads: dict[str, int] = self._client.nthreads()
        return max(1, sum(threads.values()))

    def submit(self, chunk: Chunk) -> Promise:
        """Have a chunk played."""
        promise: Promise = self._executor.submit(play_chunk, chunk, *self._with)
        self._promises.add(promise)
        promise.add_done_callback(self._promises.discard)
        return promise

    def died(self, error: Exception) -> bool:
        """Whether the cluster gave up on a chunk because it costs workers."""
        return isinstance(error, KilledWorker)

    def stop(self) -> None:
        """Forget what is under way; it is only some seconds of work."""
        for promise in list(self._promises):
            promise.cancel()

    def close(self) -> None:
        """Take leave; the cluster stays."""
        self._client.close()

    def kill(self) -> None:
        """Take leave at once: there is nothing of ours to end."""
        self.stop()
        self.close()


def _check(scheduler: str) -> None:
    """Refuse what is no address: a client that cannot even begin leaves a traceback when it is forgotten."""
    parse: Any = parse_address
    split: Any = parse_host_port
    backend: Any = get_backend
    try:
        kind, place = parse(scheduler)
        backend(kind)
        split(place)
    except ValueError as error:
        raise ValueError(f"{scheduler!r} is no scheduler, write tcp://10.0.0.9:8786: {error}") from error

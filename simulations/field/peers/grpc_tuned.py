"""gRPC with every timer it has set for a bad network."""

from __future__ import annotations

import asyncio

from simulations.field.peers.grpc_default import NO_PROXY, ask

TUNING = [
    NO_PROXY,
    ("grpc.keepalive_time_ms", 250),  # silence is seen after a second, as with the tuned DEALER
    ("grpc.keepalive_timeout_ms", 750),  # also becomes TCP_USER_TIMEOUT
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),  # no limit; two by default, then keepalive stops
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 500),  # this is the time a connect may take: a fresh SYN each time
]


if __name__ == "__main__":
    # Otherwise a request issued while the channel dials fails at once, even if it would be up in time.
    asyncio.run(ask(TUNING, wait_for_ready=True))

"""MQTT by Paho, with the shortest keepalive the protocol knows and a short wait between dials.

Paho runs its connection in a thread of its own, as it wants to; this one keeps the beat.
"""

from __future__ import annotations

import queue
import uuid
from urllib.parse import urlsplit

from paho.mqtt.client import MQTT_ERR_SUCCESS, Client
from paho.mqtt.enums import CallbackAPIVersion

from simulations.field.peers.asking import NOT_CONNECTED, Pending
from simulations.field.peers.mqtt_image import ANSWERS, AT_MOST_ONCE, REQUESTS, undelayed
from simulations.field.probe import Metronome, Probe, endpoint

KEEPALIVE_S = 1  # whole seconds: silence is seen after one to two
CONNECT_TIMEOUT_S = 0.5  # a fresh SYN each time
RECONNECT_S = (0.1, 0.5)  # doubled from the first up to the second; documented as whole seconds, taken as any


def dialling(answers: queue.SimpleQueue[str]) -> Client:
    """Have a client that dials for ever and puts the ids of what was answered into the queue."""
    where = urlsplit(endpoint())
    name = uuid.uuid4().hex
    client = Client(CallbackAPIVersion.VERSION2, client_id=name)
    client.connect_timeout = CONNECT_TIMEOUT_S
    client.reconnect_delay_set(*RECONNECT_S)
    client.on_socket_open = undelayed
    # Subscribed anew with each connection; the broker takes it before the requests that follow.
    client.on_connect = lambda *_: client.subscribe(ANSWERS + name, AT_MOST_ONCE)
    client.on_message = lambda _client, _, message: answers.put(message.payload.decode())
    client.user_data_set(name)
    client.connect_async(str(where.hostname), int(where.port or 0), KEEPALIVE_S)
    client.loop_start()
    return client


def main() -> None:
    """Ask until terminated."""
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    client = dialling(answers)
    topic = REQUESTS + client.user_data_get()
    pending = Pending()
    beat = Metronome()
    while True:
        if beat.due_in_s() == 0:
            beat.advance()
            pending.expire()
            probe = Probe()
            # What is delivered "at least once" is executed more than once after a reconnect.
            if client.is_connected() and client.publish(topic, probe.id, AT_MOST_ONCE).rc == MQTT_ERR_SUCCESS:
                pending.add(probe)
            else:
                probe.gave_up(NOT_CONNECTED)
        try:
            pending.answered(answers.get(timeout=beat.due_in_s()))
        except queue.Empty:
            continue


if __name__ == "__main__":
    main()

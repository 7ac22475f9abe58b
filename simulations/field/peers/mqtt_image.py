"""The image's part behind MQTT: Mosquitto, and a responder beside it that lives and dies with it."""

from __future__ import annotations

import socket
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from simulations.field.peers.serving import Executions, broker, place

REQUESTS, ANSWERS = "image/requests/", "image/answers/"
"""Followed by the client's name."""
AT_MOST_ONCE = 0

CONFIGURATION = """
listener {port} {host}
allow_anonymous true
set_tcp_nodelay true
# or it changes its user, and would not be ended with the program that started it
user root
"""


def undelayed(_client: Client, _: object, connection: socket.socket) -> None:
    """Have small packets sent at once: Paho leaves Nagle's algorithm on."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def main() -> None:
    """Answer until killed."""
    where = place()
    executions = Executions(where.log)
    configuration = where.log.with_suffix(".conf")
    configuration.write_text(CONFIGURATION.format(port=where.port, host=where.host))
    server = broker(where.port, "mosquitto", "-c", str(configuration))

    def answer(
        client: Client, _: object, message: Any
    ) -> None:  # Any: the same with and without Paho's types
        executions.note(message.payload.decode())
        client.publish(message.topic.replace(REQUESTS, ANSWERS, 1), message.payload, AT_MOST_ONCE)

    client = Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
    client.on_socket_open = undelayed
    client.on_connect = lambda *_: client.subscribe(f"{REQUESTS}+", AT_MOST_ONCE)
    client.on_message = answer
    client.connect("127.0.0.1", where.port)
    client.loop_forever()
    raise SystemExit(server.wait())


if __name__ == "__main__":
    main()

"""The laws of DESIGN section 4 in a few words each, for those who read a violation."""

from __future__ import annotations

LAWS: dict[int, str] = {
    0: "nothing breaks",
    1: "one owner of retry",
    2: "Connected needs proof",
    3: "busy is not dead",
    4: "heartbeats are not enough",
    5: "hostile peers wedge nothing",
    6: "our own stall is not the network's",
    7: "notifications are hints",
    8: "path-aware",
    9: "carrier counts",
    10: "back within 10 s",
    11: "never run twice",
    12: "nothing queued inside libzmq",
    13: "replies matched by our own id",
    14: "synced before told",
    15: "edits survive",
    16: "nothing deleted for being unreachable",
    17: "a session belongs to one image",
    18: "one image's trouble touches no other",
    19: "the store's own rules",
    20: "no secret in any output",
    21: "pinned keys",
    22: "bounded and checked",
    23: "errors by fault",
}


def law(number: int) -> str:
    """Name a law, with its number."""
    name = LAWS.get(number, "no law of that number")
    return f"law {number}, {name}" if number else name

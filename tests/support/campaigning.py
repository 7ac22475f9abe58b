"""A campaign as a process of its own: `python campaigning.py PLAYER WISH`, the wish as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import players
from simulations.campaign.session import Wish, run

if __name__ == "__main__":
    wish = json.loads(sys.argv[2])
    wish |= {"out": Path(wish["out"]), "only": tuple(wish.get("only", ["swarm"])), "keep": False}
    sys.exit(run(Wish(**wish), getattr(players, sys.argv[1]), wish["out"] / "regressions.jsonl"))

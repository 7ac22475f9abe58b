"""Does the harness find bugs? Realistic faults, planted one at a time, each of which it must catch.

The faults stand as data in `in_machines`, `in_search`, `in_store`, `in_requests`, `in_resilience`,
`in_network`, `in_sessions` and `in_judgement`. A fault is semantic: code that imports, runs, and is wrong.
"""

from __future__ import annotations

from simulations.mutants import (
    in_judgement,
    in_machines,
    in_network,
    in_requests,
    in_resilience,
    in_search,
    in_sessions,
    in_store,
)
from simulations.mutants.planting import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *in_machines.MUTANTS,
    *in_search.MUTANTS,
    *in_requests.MUTANTS,
    *in_resilience.MUTANTS,
    *in_network.MUTANTS,
    *in_store.MUTANTS,
    *in_sessions.MUTANTS,
    *in_judgement.MUTANTS,
)

__all__ = ["MUTANTS", "Mutant"]

"""Campaigns: many scenarios with many seeds, on all cores or a cluster; what failed is kept for ever.

`plan` says what is played, `workers` plays it, `journal` keeps the results, `regressions` the failures,
`shrink` reduces one to its essentials, and `show` tells what happened in it.
"""

from __future__ import annotations

from simulations.campaign.plan import Job, ci_slice

__all__ = ["Job", "ci_slice"]

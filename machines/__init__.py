"""The connection machine, sans-IO: one table, pure decisions, no clock and no sockets of its own."""

from machines.commands import Command
from machines.connection import Connection
from machines.events import Ask, Event, Identity
from machines.machine import Refused, allows, fire
from machines.policy import BadPolicy, Policy
from machines.reasons import Cause, Reason
from machines.table import TABLE, Rule, State, Trigger

__all__ = [
    "TABLE",
    "Ask",
    "BadPolicy",
    "Cause",
    "Command",
    "Connection",
    "Event",
    "Identity",
    "Policy",
    "Reason",
    "Refused",
    "Rule",
    "State",
    "Trigger",
    "allows",
    "fire",
]

"""The table, run by `transitions`: one shared machine, one question.

One `Machine` serves every image. A machine or a registered model per image
would cost 20 kB each and registration time that grows with the square of their
number; `fire` instead lends one cursor to whoever asks, under a lock because
two supervisors may live in two threads.

`auto_transitions` is off (it would add `to_connected()` back doors), no
callbacks are registered (one that raises leaves the state already changed), and
the table is validated before it gets here (a misspelt target is accepted and a
duplicate rule silently loses in `transitions` 0.9.3).
"""

from __future__ import annotations

from threading import Lock

from transitions import Machine, MachineError

from machines.table import INITIAL, TABLE, State, Trigger


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not a malfunction
    """A trigger that the present state has no rule for; the state is untouched.

    Attributes:
        state: where the connection stands.
        trigger: what was asked of it.
        allowed: what it would accept.
    """

    def __init__(self, state: State, trigger: Trigger) -> None:
        self.state = state
        self.trigger = trigger
        self.allowed = tuple(rule.trigger for rule in TABLE if rule.source is state)
        accepts = ", ".join(self.allowed)
        super().__init__(f"{trigger} has no meaning while {state}; it accepts: {accepts}")

    def __reduce__(self) -> tuple[type[Refused], tuple[State, Trigger]]:
        """Come back from a pickle as it was."""
        return type(self), (self.state, self.trigger)


class _Cursor:
    state: State


_machine = Machine(
    model=None,
    states=State,
    initial=INITIAL,
    transitions=[[r.trigger.value, r.source, r.target] for r in TABLE],
    auto_transitions=False,
    send_event=True,
    ignore_invalid_triggers=False,
)
_cursor = _Cursor()
_machine.add_model(_cursor, initial=INITIAL)
_lock = Lock()


def fire(state: State, trigger: Trigger) -> State:
    """The state that `trigger` leads to from `state`.

    Raises:
        Refused: the pair has no rule.
    """
    with _lock:
        _machine.set_state(state, _cursor)
        try:
            _machine.events[trigger.value].trigger(_cursor)
        except MachineError:
            raise Refused(state, trigger) from None
        return _cursor.state


def allows(state: State, trigger: Trigger) -> bool:
    """Whether the table has a rule for the pair."""
    return any(rule.source is state and rule.trigger is trigger for rule in TABLE)

"""How figures are written: durations with the unit that suits them, shares that never flatter."""

from __future__ import annotations

import math

_MINUTE, _HOUR, _DAY, _YEAR = 60.0, 3600.0, 86_400.0, 31_557_600.0
_LONG = ((_YEAR, "years"), (_DAY, "days"), (_HOUR, "h"), (_MINUTE, "min"))
_IN_SECONDS_UP_TO = 120.0
_MOST_DIGITS = 15
"""More than any float means."""


def duration(seconds: float | None, digits: int = 3) -> str:
    """Write a span of time: `43 ms`, `1.42 s`, `8 h`; infinity is never, None was not measured."""
    if seconds is None:
        return "-"
    if math.isinf(seconds):
        return "never"
    if abs(seconds) < 1 and not _digits(seconds * 1000, digits).startswith("1000"):
        return f"{_digits(seconds * 1000, digits)} ms"
    if abs(seconds) <= _IN_SECONDS_UP_TO:
        return f"{_digits(seconds, digits)} s"
    size, unit = next((size, unit) for size, unit in _LONG if abs(seconds) >= size)
    figure = _digits(seconds / size, digits)
    return f"{figure} {unit.removesuffix('s') if figure in {'1', '-1'} else unit}"


def clock(seconds: float) -> str:
    """Write a moment of a run: `7.25 s` in the first minutes, then `1:02:03.5`."""
    if seconds <= _IN_SECONDS_UP_TO:
        return f"{_plain(seconds, 3)} s"
    hours, rest = divmod(round(seconds, 1), _HOUR)
    minutes, left = divmod(rest, _MINUTE)
    shown = _plain(left, 1)
    shown = shown.zfill(2 if "." not in shown else 4)
    return f"{hours:.0f}:{minutes:02.0f}:{shown}" if hours else f"{minutes:.0f}:{shown}"


def compared(seconds: float, limit_s: float) -> tuple[str, str]:
    """Write two durations with as many digits as it takes to see that they differ."""
    for digits in range(3, _MOST_DIGITS):
        pair = duration(seconds, digits), duration(limit_s, digits)
        if pair[0] != pair[1] or seconds == limit_s:
            return pair
    return str(seconds), str(limit_s)


def share(part: int, whole: int) -> str:
    """Write a share in percent, rounded down: 100 % means all of them."""
    if whole == 0:
        return "-"
    thousandths = part * 100_000 // whole
    return f"{_plain(thousandths / 1000, 3)} %"


def count(number: float) -> str:
    """Write a whole number."""
    return f"{number:,.0f}"


def printable(words: str) -> str:
    """Show what has no letter of its own as a mark: what is shown may come from hostile peers."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in words)


def _digits(value: float, digits: int) -> str:
    """Write so many digits that say something; never an exponent."""
    if value == 0:
        return "0"
    whole = math.floor(math.log10(abs(value))) + 1
    return _plain(value, max(digits - whole, 0))


def _plain(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

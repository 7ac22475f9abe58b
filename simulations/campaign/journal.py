"""A campaign's directory: what was planned, one line a run, and one line after each chunk that commits it.

    plan.json       what is played, and by which code
    runs.jsonl      runs, without what says nothing; after those of a chunk {"chunk": how many, ...}
    failures.jsonl  the runs that broke a law, in full; kept before their chunk is committed
    lock            held by the campaign that is writing
    before/         what stood here when a campaign was begun anew; then before-2/, and so on

The commit line carries what is only wanted in sum: the counts and the time it took. What follows the last one
was torn off by whatever ended the campaign; it is cut before anything is added, and played again. Runs hold
nothing that differs from machine to machine, so a run played again gives the same line.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from simulations.campaign.claim import claim
from simulations.results import Recovery, Run

ROOT = Path(__file__).resolve().parent.parent.parent
PLAYED = ("machines", "store", "resilience", "simulations")
NOT_PLAYED = ("campaign", "field", "mutants", "report")  # these tell of runs, or play something else
RUNS, FAILURES, PLAN, BEFORE = "runs.jsonl", "failures.jsonl", "plan.json", "before"

DIGITS = 5
"""Of seconds in a line: a hundredth of a millisecond; a campaign has a hundred thousand lines."""


class JournalError(ValueError):
    """The directory does not hold what it should; says what and where."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a campaign set out to play, and by which code."""

    scenarios: int
    seed: int
    only: tuple[str, ...] = ()
    ci: bool = False
    code: str = ""
    machine: dict[str, str] = field(default_factory=dict, compare=False)
    """What it was begun on, and when; nothing in plans from before this was written down."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Runs that were committed together, and where their lines end."""

    runs: tuple[Run, ...]
    played_s: float
    counts: dict[str, int]
    end: int


@dataclass(slots=True)
class Totals:
    """Sums over a campaign. `played_s` is the time processors spent on runs."""

    runs: int = 0
    played_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)


@cache
def fingerprint() -> str:
    """Tell one version of what is played from another: a result proves something about one only."""
    whole = hashlib.sha256()
    for folder in PLAYED:
        for file in sorted((ROOT / folder).rglob("*.py")):
            name = file.relative_to(ROOT)
            if not (folder == "simulations" and name.parts[1] in NOT_PLAYED):
                whole.update(name.as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return whole.hexdigest()[:12]


def runs(directory: Path) -> Iterator[Run]:
    """Read every run of a campaign; their `counts` and `took_s` stand in the totals only.

    Raises:
        JournalError: a line is damaged.
    """
    for chunk in chunks(directory):
        yield from chunk.runs


def totals(directory: Path) -> Totals:
    """Add up what the runs of a campaign exercised.

    Raises:
        JournalError: a line is damaged.
    """
    whole = Totals()
    for chunk in chunks(directory):
        whole.runs += len(chunk.runs)
        whole.played_s += chunk.played_s
        whole.counts.update(chunk.counts)
    return whole


def chunks(directory: Path) -> Iterator[Chunk]:
    """Read what was committed, chunk by chunk.

    Raises:
        JournalError: a line is damaged, and it is not the torn end; or a run stands there twice.
    """
    file = directory / RUNS
    if not file.exists():
        return
    read: list[Run] = []
    seen: defaultdict[str, set[int]] = defaultdict(set)
    torn: str | None = None
    with file.open("rb") as lines:
        end = 0
        for number, line in enumerate(lines, 1):
            if torn is not None:
                raise JournalError(torn)
            end += len(line)
            if not line.endswith(b"\n"):
                return
            try:
                found = _read(line)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                torn = f"{file}, line {number} is damaged: {error}"
                continue
            if isinstance(found, Run):
                if found.seed in seen[found.scenario]:
                    raise JournalError(_twice(file, number, found))
                seen[found.scenario].add(found.seed)
                read.append(found)
            elif found.runs != len(read):
                raise JournalError(f"{file}, line {number}: not all runs of its chunk are there")
            else:
                yield Chunk(tuple(read), found.played_s, found.counts, end)
                read = []


class _Commit(NamedTuple):
    """What stands in a commit line."""

    runs: int
    played_s: float
    counts: dict[str, int]


def _read(line: bytes) -> Run | _Commit:
    """Read one line; what it raises says that it is none of ours."""
    found = json.loads(line)
    if "chunk" in found:
        return _Commit(int(found["chunk"]), float(found["played_s"]), dict(found["counts"]))
    run = Run.from_json(found)
    if not (isinstance(run.scenario, str) and isinstance(run.seed, int)):
        raise TypeError("a run has a scenario and a seed")
    return run


def _twice(file: Path, number: int, run: Run) -> str:
    return (
        f"{file}, line {number}: {run.scenario} {run.seed} stands there twice, as if two campaigns had "
        "written to it; what it proves cannot be said"
    )


class Journal:
    """The directory of a campaign under way; one process writes to it. `moved`: where the old one went."""

    def __init__(self, directory: Path, plan: Plan, held: ExitStack, moved: Path | None = None) -> None:
        self.directory = directory
        self.plan = plan
        self.moved = moved
        self._held = held
        self._runs = held.enter_context((directory / RUNS).open("ab"))
        self._kept = _kept_failures(directory / FAILURES)
        self._failures = held.enter_context((directory / FAILURES).open("a", encoding="utf-8"))

    @classmethod
    def begin(cls, directory: Path, plan: Plan) -> Self:
        """Begin anew; what stands in the directory is moved to `before/` inside of it, or `before-2/`, ...

        Raises:
            ClaimedError: another campaign is writing there.
            OSError: the directory cannot be written to.
        """
        directory.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            held.enter_context(claim(directory))
            moved = _moved_aside(directory)
            _write_plan(directory, plan)
            return cls(directory, plan, held.pop_all(), moved)

    @classmethod
    def resume(cls, directory: Path, plan: Plan) -> Self:
        """Go on after the last committed chunk, with the same plan or a larger one.

        Raises:
            JournalError: a line is damaged.
            ClaimedError: another campaign is writing there.
        """
        with ExitStack() as held:
            held.enter_context(claim(directory))
            end = max((chunk.end for chunk in chunks(directory)), default=0)
            file = directory / RUNS
            if file.exists():
                with file.open("r+b") as lines:
                    lines.truncate(end)
            _write_plan(directory, plan)
            return cls(directory, plan, held.pop_all())

    def append(self, played: Sequence[Run]) -> None:
        """Commit the runs of one chunk, together; handed to the operating system before this returns."""
        if not played:
            return
        counts: Counter[str] = Counter()
        for run in played:
            counts.update(run.counts)
        played_s = round(sum(run.took_s for run in played), 3)
        commit = {"chunk": len(played), "played_s": played_s, "counts": dict(sorted(counts.items()))}
        lines = [*map(compact, played), _json(commit)]
        self._runs.write("".join(f"{line}\n" for line in lines).encode())
        self._runs.flush()

    def failed(self, run: Run, replay: str) -> None:
        """Keep a failure in full, once, with the command that plays it again."""
        if (run.scenario, run.seed) in self._kept:
            return
        self._failures.write(_json({"replay": replay} | run.to_json()) + "\n")
        self._failures.flush()
        self._kept.add((run.scenario, run.seed))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._held.close()


def _moved_aside(directory: Path) -> Path | None:
    """Move a campaign out of the way; gives where it went. What went there before stays, too."""
    old = [directory / name for name in (PLAN, RUNS, FAILURES) if (directory / name).exists()]
    if not old:
        return None
    names = itertools.chain([BEFORE], (f"{BEFORE}-{number}" for number in itertools.count(2)))
    before = next(directory / name for name in names if _is_free(directory / name))
    before.mkdir(exist_ok=True)
    for file in old:
        file.rename(before / file.name)
    return before


def _is_free(place: Path) -> bool:
    return not place.exists() or (place.is_dir() and not any(place.iterdir()))


def _kept_failures(file: Path) -> set[tuple[str, int]]:
    """Tell which failures are kept already; a last line that was torn off is cut, and kept again."""
    kept: set[tuple[str, int]] = set()
    if not file.exists():
        return kept
    end = 0
    with file.open("r+b") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                lines.truncate(end)
                break
            end += len(line)
            with suppress(ValueError, TypeError, KeyError):  # a person may have written to it
                found = json.loads(line)
                kept.add((found["scenario"], found["seed"]))
    return kept


def read_plan(directory: Path) -> Plan:
    """Read what a campaign set out to do.

    Raises:
        JournalError: there is none.
    """
    try:
        found = json.loads((directory / PLAN).read_text(encoding="utf-8"))
        return Plan(**found | {"only": tuple(found["only"])})
    except FileNotFoundError:
        raise JournalError(f"there is no campaign in {directory}") from None
    except (ValueError, TypeError, KeyError) as error:
        raise JournalError(f"{directory / PLAN} is no plan: {error}") from error


def _write_plan(directory: Path, plan: Plan) -> None:
    (directory / PLAN).write_text(json.dumps(asdict(plan)) + "\n", encoding="utf-8")


def compact(run: Run) -> str:
    """Write a run as one line, without counts, without the time it took, without what is as usual."""
    found = _without_defaults(replace(run, took_s=0.0), run.to_json() | {"took_s": 0.0})
    del found["counts"]
    pairs = zip(run.recoveries, found["recoveries"], strict=True)
    found["recoveries"] = [_without_defaults(each, plain) for each, plain in pairs]
    return _json({name: value for name, value in found.items() if value not in ([], ())})


def _without_defaults(thing: Run | Recovery, plain: dict[str, Any]) -> dict[str, Any]:
    kept = {}
    for each in fields(thing):
        value = plain[each.name]
        if each.default is MISSING or isinstance(each.default, tuple) or value != each.default:
            kept[each.name] = round(value, DIGITS) if isinstance(value, float) else value
    return kept


def _json(whole: dict[str, Any]) -> str:
    return json.dumps(whole, separators=(",", ":"))

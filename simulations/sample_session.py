"""A session as somebody leaves it after weeks of work: Smalltalk code, answers, and much that repeats itself.

How well it compresses matters to benchmarks, so it is neither noise nor one line repeated.
"""

# ruff: noqa: PLR2004 - chances and counts of a made-up life, each used once

from __future__ import annotations

from random import Random
from typing import Any

from store.documents import dump, new_document


def _words(text: str) -> list[str]:
    return text.split()


NOUNS = _words("""
account balance basket bitmap block browser cache canvas catalog channel city clock cursor customer
document entry event exporter field filter font form gauge graph handler index invoice item journal
key label layout ledger line link list lock mapper meter method model morph node order owner packet
page parser path payment piece player point policy pool price printer process query queue record
region report request result route row rule sample scanner schedule scope sensor series server
session shape socket sorter source stack stamp station step stream style symbol table task theme
ticket token total trace tree unit user value vector view visitor window word writer zone
""")
VERBS = _words(
    "add at collect copy detect draw find handle include insert join load mark move open parse put"
)
CLASSES = _words("OrderedCollection Dictionary Set Array String Bag Interval Stream Point Rectangle Color")
COMMENTS = (
    "Answer the receiver as it was before the last change.",
    "Private - only the owner sends this.",
    "Make room for one more, growing by half if there is none left.",
    "The order matters to those that draw; do not sort here.",
    "Slow, yet nobody has complained.",
    "See the tests for what happens at the edges.",
)


class _Author:
    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)

    def noun(self) -> str:
        return self.rng.choice(NOUNS)

    def class_name(self) -> str:
        return self.noun().title() + self.noun().title()

    def id(self) -> str:
        return f"{self.rng.getrandbits(128):032x}"

    def phrase(self) -> str:
        rng = self.rng
        subject = rng.choice(("self", self.noun(), self.class_name(), str(rng.randrange(10_000))))
        match rng.randrange(5):
            case 0:
                return f"{subject} {self.noun()}"
            case 1:
                return f"{subject} {rng.choice(VERBS)}: {self.noun()} {self.noun()}: {rng.randrange(100)}"
            case 2:
                each, bound = self.noun(), rng.randrange(50)
                return f"({subject} {self.noun()}s select: [:{each} | {each} {self.noun()} > {bound}])"
            case 3:
                return f"{subject} {rng.choice(VERBS)}: '{self.noun()} {self.noun()}'"
            case _:
                return f"({rng.choice(CLASSES)} new {rng.choice(VERBS)}: {self.noun()}; yourself)"

    def statements(self, count: int, indent: str = "") -> str:
        lines = []
        for _ in range(count):
            if self.rng.random() < 0.3:
                lines.append(
                    f"{indent}{self.phrase()} isEmpty\n{indent}\tifTrue: [{self.phrase()}]\n"
                    f"{indent}\tifFalse: [{self.noun()} := {self.phrase()}]."
                )
            else:
                lines.append(f"{indent}{self.noun()} := {self.phrase()}.")
        return "\n".join(lines)

    def method(self) -> str:
        rng = self.rng
        head = f"{self.class_name()} >> {rng.choice(VERBS)}{self.noun().title()}: a{self.noun().title()}"
        comment = f'\t"{rng.choice(COMMENTS)}"\n' if rng.random() < 0.5 else ""
        body = self.statements(rng.randint(2, 9), "\t")
        return f"{head}\n{comment}\t| {self.noun()} {self.noun()} |\n{body}\n\t^ {self.phrase()}\n\n"

    def answer(self) -> str:
        rng = self.rng
        if rng.random() < 0.4:
            return str(rng.randrange(10**9))
        if rng.random() < 0.1:
            frames = (f"{self.class_name()}>>{self.noun()}" for _ in range(rng.randint(5, 25)))
            return f"MessageNotUnderstood: receiver of #{self.noun()} is nil\n" + "\n".join(frames)
        elements = (f"a {self.class_name()}({rng.randrange(1000)})" for _ in range(rng.randint(1, 40)))
        return f"an OrderedCollection({' '.join(elements)})"


def full_document(size_bytes: int, seed: int) -> dict[str, Any]:
    """Return a document whose JSON has about `size_bytes`, always the same for the same seed."""
    author = _Author(seed)
    rng = author.rng
    at = 1_750_000_000.0
    state = new_document(author.id(), "pharo-main", "tcp://localhost:5555", at)
    state["image"] |= {"identity": author.id(), "dialect": "typed", "name": "Pharo 13 - trading"}
    state["connection"] |= {
        "parameters": {"timeout_ms": 5000, "max_retries": 3, "retry_delay_ms": 1000},
        "last_state": "Connected",
        "last_reason": "answered",
        "connected_at": at,
    }
    state["preferences"] = {
        "theme": "dark",
        "autosave_s": 30,
        "font": {"family": "Source Code Pro", "size": 11},
    }
    state["layout"] = {"panels": {"workspace": {"width": 0.6}, "transcript": {"height": 0.25}}, "focus": "w1"}
    state["unsent_input"] = author.phrase()
    state["statistics"] = {"connected_s": 864_000.5, "evaluations": 4812, "edits": 90_211, "sessions": 31}
    size = len(dump(state))
    for step in range(1_000_000):
        if size >= size_bytes:
            break
        at += rng.uniform(5, 900)
        size += _work_a_little(state, author, step, at)
    return state


def _work_a_little(state: dict[str, Any], author: _Author, step: int, at: float) -> int:
    """Let some time pass; return how many bytes that added, about."""
    rng, added = author.rng, []
    tool = f"w{rng.randint(1, 12)}"
    method = author.method()
    workspace = state["workspaces"].setdefault(tool, {"title": f"{author.noun().title()} notes", "code": ""})
    workspace |= {
        "code": workspace["code"] + method,
        "cursor": {"line": workspace["code"].count("\n"), "column": rng.randrange(60)},
        "last_used_at": at,
    }
    if len(state["evaluations"]) < 500:
        code = author.statements(rng.randint(1, 4))
        added.append(
            {"id": author.id(), "at": at, "code": code, "result": author.answer(), "ok": rng.random() < 0.9}
            | {"mode": rng.choice(("Execute", "Display")), "tool_id": tool}
        )
        state["evaluations"].append(added[-1])
    for number in range(2):
        if len(state["inputs"]) < 1000:
            added.append({"id": author.id(), "at": at + number, "text": author.phrase()})
            state["inputs"].append(added[-1])
    for number in range(4):
        if len(state["objects"]) < 2000:
            kind = author.class_name()
            added.append({"description": f"a {kind} on {author.noun()}", "class_name": kind, "seen_at": at})
            state["objects"][f"obj-{step}-{number}"] = added[-1]
    if step % 5 == 0 and len(state["inspections"]) < 100:
        added.append({"id": author.id(), "at": at, "target": author.phrase(), "summary": author.answer()})
        state["inspections"].append(added[-1])
    if step % 20 == 0 and len(state["browsers"]) < 20:
        added.append({"class_name": author.class_name(), "view": "Methods", "filter": "", "method": None})
        state["browsers"][f"b{step}"] = added[-1]
        added.append(
            {"kind": "object", "target": author.phrase(), "visible": True, "expanded": [author.noun()]}
        )
        state["inspectors"][f"i{step}"] = added[-1]
    return len(method.replace("\n", "\\n").replace("\t", "\\t")) + sum(len(dump(item)) + 1 for item in added)

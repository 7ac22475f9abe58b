"""Edits made before the stored document is read: they are said of it, and hold when it is there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from desks import GENEROUS_S, desk, reached, standin, until
from resilience import Drop, Patch, Put, Refused, SessionDocument, State, UsageError
from resilience.standin.image import Image as Standin
from store.documents import Edit
from vaults import MemoryVault

STORED = (
    Put("workspaces", {"title": "Mine", "code": "old"}, "w0"),
    Put("workspaces", {"title": "Other", "code": "other"}, "w1"),
)


def after(tmp_path: Path, *early: Edit) -> SessionDocument:
    """What a third process finds, when the second edited right after `connect` and saved."""
    vault = MemoryVault()

    async def life(endpoint: str, edits: tuple[Edit, ...], *, at_once: bool) -> SessionDocument:
        async with desk(tmp_path, vault=vault) as supervisor:
            image = await (supervisor.connect(endpoint) if at_once else reached(supervisor, endpoint))
            if edits:
                image.edit(*edits)
                await image.save()
            return image.session.document

    with standin() as endpoint:
        asyncio.run(life(endpoint, STORED, at_once=False))
        asyncio.run(life(endpoint, early, at_once=True))
        return asyncio.run(life(endpoint, (), at_once=False))


def code_of(document: SessionDocument) -> dict[str, tuple[str, str]]:
    return {key: (each.title, each.code) for key, each in document.workspaces.items()}


BOTH = {"w0": ("Mine", "old"), "w1": ("Other", "other")}
CASES: dict[str, tuple[tuple[Edit, ...], dict[str, tuple[str, str]]]] = {
    "removed": ((Drop("workspaces", "w1"),), {"w0": ("Mine", "old")}),
    "changed in part": (
        (Patch("workspaces", {"code": "new"}, "w0"),),
        BOTH | {"w0": ("Mine", "new")},
    ),
    "changed twice": (
        (Patch("workspaces", {"code": "new"}, "w0"), Patch("workspaces", {"title": "Ours"}, "w0")),
        BOTH | {"w0": ("Ours", "new")},
    ),
    "both at once": (
        (Patch("workspaces", {"code": "new"}, "w0"), Drop("workspaces", "w1")),
        {"w0": ("Mine", "new")},
    ),
    "changed, then removed": (
        (Patch("workspaces", {"code": "new"}, "w0"), Drop("workspaces", "w0")),
        {"w1": ("Other", "other")},
    ),
    "removed, then made anew": (
        (Drop("workspaces", "w0"), Put("workspaces", {"title": "New", "code": "new"}, "w0")),
        BOTH | {"w0": ("New", "new")},
    ),
    "another one": (
        (Put("workspaces", {"title": "Third", "code": "third"}, "w2"),),
        BOTH | {"w2": ("Third", "third")},
    ),
    "removed what is not there": ((Drop("workspaces", "w9"), Put("unsent_input", "Tr")), BOTH),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_said_of_the_unread_document_holds_when_it_is_read(tmp_path: Path, case: str) -> None:
    """Law 15: what `save` confirmed is found, with no copy of what nobody edited twice."""
    early, expected = CASES[case]
    assert code_of(after(tmp_path, *early)) == expected


def test_a_whole_entry_of_ours_keeps_the_stored_one_beside_it(tmp_path: Path) -> None:
    """Whoever puts a whole text where he cannot have seen the other does not mean to destroy that."""
    ours = ("Ours", "typed before it was read")
    found = code_of(after(tmp_path, Put("workspaces", {"title": ours[0], "code": ours[1]}, "w0")))
    assert found["w0"][1] == ours[1]
    assert "old" in {code for _, code in found.values()}


@pytest.mark.parametrize("wrong", [None, 5, b"3 + 4", ["3"]], ids=repr)
def test_code_that_is_no_text_is_refused_at_once(tmp_path: Path, wrong: object) -> None:
    """Law 12: an outcome within the timeout; here before anything is sent."""

    async def main(endpoint: str) -> None:
        async with desk(tmp_path) as supervisor:
            image = await reached(supervisor, endpoint)
            with pytest.raises(UsageError, match="code is text"):
                await image.evaluate(wrong, timeout=5)  # type: ignore[arg-type] # what is tested
            for timeout in (None, "5", float("nan")):
                with pytest.raises(UsageError, match="a timeout is more than 0"):
                    await image.evaluate("3 + 4", timeout=timeout)  # type: ignore[arg-type] # same
            assert (await image.evaluate("3 + 4")).result == "7"

    with standin() as endpoint:
        asyncio.run(main(endpoint))


def test_bookkeeping_that_fails_hangs_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reply is there: whoever waits for it gets it, and the fault is the loop's to report."""
    faults: list[str] = []

    def record(*_: object) -> None:
        raise RuntimeError("no record")

    async def main(endpoint: str) -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, said: faults.append(str(said["exception"]))
        )
        async with desk(tmp_path) as supervisor:
            image = await reached(supervisor, endpoint)
            monkeypatch.setattr("resilience.image.evaluated", record)
            assert (await image.evaluate("3 + 4", timeout=5)).result == "7"

    with standin() as endpoint:
        asyncio.run(main(endpoint))
    assert faults == ["no record"]


def test_a_generation_that_is_not_there_disables_nothing(tmp_path: Path) -> None:
    """It is told, and the newest state goes on."""
    vault, notices = MemoryVault(), list[str]()

    async def first(endpoint: str) -> None:
        async with desk(tmp_path, vault=vault) as supervisor:
            image = await reached(supervisor, endpoint)
            image.edit(*STORED)
            await image.save()

    async def second(endpoint: str) -> None:
        async with desk(tmp_path, vault=vault, notices=notices) as supervisor:
            image = await supervisor.connect(endpoint)
            await image.wait_for(State.ORPHANED, timeout=GENEROUS_S)
            image.restore(99)
            await until(lambda: any("generation 99" in words for words in notices))
            await until(lambda: image.state is State.ORPHANED)
            image.edit(Drop("workspaces", "w1"))
            await image.save()
            assert set(image.session.document.workspaces) == {"w0"}

    with standin() as endpoint:
        asyncio.run(first(endpoint))
    with standin(endpoint, Standin(wait=lambda _: False, image_id="another")) as endpoint:
        asyncio.run(second(endpoint))


def test_a_generation_wished_for_in_vain_is_not_read(tmp_path: Path) -> None:
    """`restore` while the session is being read is refused: the newest comes all the same, and stays."""
    vault = MemoryVault()

    async def life(endpoint: str, code: str) -> None:
        async with desk(tmp_path, vault=vault) as supervisor:
            image = await reached(supervisor, endpoint)
            image.edit(Put("workspaces", {"title": "a", "code": code}, "w0"))
            await image.save()

    async def impatient(endpoint: str) -> str:
        async with desk(tmp_path, vault=vault) as supervisor:
            image = await supervisor.connect(endpoint)
            with pytest.raises(Refused):
                image.restore(1)
            await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
            return image.session.document.workspaces["w0"].code

    with standin() as endpoint:
        for code in ("old", "middle", "newest"):
            asyncio.run(life(endpoint, code))
        assert asyncio.run(impatient(endpoint)) == "newest"
        assert asyncio.run(impatient(endpoint)) == "newest"


def test_no_edits_are_no_change(tmp_path: Path) -> None:
    """A list that turned out empty: nothing is unsaved."""

    async def main(endpoint: str) -> None:
        async with desk(tmp_path) as supervisor:
            image = await reached(supervisor, endpoint)
            image.edit()
            with pytest.raises(TimeoutError):
                await image.wait_for(State.MODIFIED, timeout=0.2)

    with standin() as endpoint:
        asyncio.run(main(endpoint))

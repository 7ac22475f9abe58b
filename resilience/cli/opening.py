"""A data directory as the commands see it: its sessions, what the journal says of them, and its keys."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from resilience.cli.passphrases import KEYS, passphrase
from resilience.cli.words import Refused, minute, refused, short
from store import History, RealDisk, SessionSummary, StoreError, default_data_dir
from store.keys import Keychain, KeyringVault, KeyState, Protection, Vault
from store.outcomes import Corrupt, TooNew
from store.sessions import SessionInfo, Sessions, this_process

MIN_PREFIX_LETTERS = 4
OPTION = "--passphrase-file"
_CHOOSE = "`resilience keys protect keyring` (or passphrase, volatile, insecure) chooses one."


class NoKeys:
    """Stands for keys that cannot be looked at: what needs none works, and the rest says why it does not."""

    def __init__(self, problem: StoreError) -> None:
        self.problem = problem

    def key(self, _: str) -> Any:
        """There is none to be had."""
        raise self.problem

    def wraps_for_new_files(self) -> Any:
        """The same."""
        raise self.problem


@dataclass(frozen=True, slots=True)
class Entry:
    """A session as files and journal know it; either may know nothing.

    Attributes:
        session: its id.
        info: what the newest snapshot's header says.
        summary: what its transitions amount to.
    """

    session: str
    info: SessionInfo | None
    summary: SessionSummary | None

    @property
    def image(self) -> str:
        """The image's name."""
        return (self.info.image if self.info else "") or (self.summary.image if self.summary else "")

    @property
    def used_at(self) -> float:
        """When anything last happened to it, in seconds since 1970."""
        saved = self.info.at if self.info else 0.0
        return max(saved, self.summary.last_at if self.summary else 0.0)

    @property
    def acknowledged(self) -> int:
        """The revision that was told to be saved."""
        return self.summary.revision if self.summary else 0


def _one_of(found: list[Entry], text: str, *, archived: bool) -> Entry:
    """The one that is meant of those an image's name stands for: an archived one only where no other is."""
    meant = [each for each in found if each.info and each.info.archived is archived] or found
    if len(meant) == 1:
        return meant[0]
    which = ", ".join(f"{short(each.session)} (last used {minute(each.used_at)})" for each in meant[:5])
    raise Refused("ambiguous", f"{len(meant)} sessions are of {text}: {which}.", "Give an id.")


class Desk:
    """One data directory, opened for one command."""

    def __init__(self, data_dir: Path | None, *, writing: bool = False, vault: Vault | None = None) -> None:
        """Read the key file's plain part; neither keyring nor user is asked anything.

        Raises:
            StoreUnreadable: the directory cannot be read.
        """
        self.data_dir = data_dir or default_data_dir()
        self.disk = RealDisk()
        self.vault = vault or KeyringVault()
        self.writing = writing
        self.key_problem: StoreError | None = None
        self._keychain = self._open_keychain()
        self.sessions = Sessions(
            self.data_dir,
            self.disk,
            self._keychain or cast("Keychain", NoKeys(self.key_problem or StoreError("use the keys"))),
            owner=this_process(),
            wall=time.time,
            entropy=os.urandom,
        )
        self._history: History | None = None

    def _open_keychain(self) -> Keychain | None:
        try:
            return Keychain.open(self.data_dir, self.disk, self.vault, read_only=not self.writing)
        except (Corrupt, TooNew) as problem:  # a directory that cannot be read is raised
            self.key_problem = problem
            return None

    @property
    def keychain(self) -> Keychain:
        """The keys; raises what is wrong with their file."""
        if self._keychain is None:
            raise self.key_problem or StoreError("use the keys")
        return self._keychain

    @property
    def history(self) -> History:
        """The journal, read once."""
        if self._history is None:
            self._history = History.open(self.data_dir, read_only=True)
        return self._history

    # -- finding ---------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """Every session of files, archive and journal, the one used last first."""
        summaries = {each.session: each for each in self.history.sessions()}
        infos = {each.session: each for each in self.sessions.listing(archived=True)}
        infos |= {each.session: each for each in self.sessions.listing()}
        found = [Entry(each, infos.get(each), summaries.get(each)) for each in infos.keys() | summaries]
        return sorted(found, key=lambda each: (each.used_at, each.session), reverse=True)

    def find(self, text: str, *, stored: bool = True, archived: bool = False) -> Entry:
        """The session that somebody means.

        Args:
            text: an id, the beginning of one, or an image's name.
            stored: whether one that only the journal knows is no answer.
            archived: whether, of an image's sessions, one in the archive is meant rather than one in use.

        Raises:
            Refused: there is none, or there are several.
        """
        entries = self.entries()
        wanted = text.removeprefix("tcp://")
        exact = [each for each in entries if wanted in (each.session, each.image)]
        begun = [each for each in entries if each.session.startswith(wanted.lower())]
        found = exact or (begun if len(wanted) >= MIN_PREFIX_LETTERS else [])
        with_files = [each for each in found if each.info]
        if not exact and len(found) > 1:
            which = ", ".join(each.session[: len(wanted) + 4] for each in found[:5])
            raise Refused(
                "ambiguous", f"{len(found)} sessions begin with {text}: {which}.", "Give more letters."
            )
        if found and stored and not with_files:
            which = f"session {short(found[0].session)} ({found[0].image})"
            saved = found[0].acknowledged
            raise Refused(
                "no such session",
                f"Of {which} no document is stored, only transitions"
                + (f", although {saved} revisions were saved." if saved else "."),
                "Put its files back, or import an export; `resilience sessions history` shows the rest.",
            )
        if not found:
            names = ", ".join(f"{short(each.session)} ({each.image or '?'})" for each in entries[:5])
            more = f" and {len(entries) - 5} more" if len(entries) > 5 else ""  # noqa: PLR2004 - as above
            raise Refused(
                "no such session",
                f"No session {text} is stored; there are: {names or 'none'}{more}.",
                "Give an id, 4 or more letters of one, or an image's name.",
            )
        return _one_of(with_files, text, archived=archived) if stored else found[0]

    # -- keys ------------------------------------------------------------------------------

    def unlock(self, given: Path | None) -> None:
        """Have the keys at hand, asking for a passphrase if they need one.

        Raises:
            Refused: a passphrase is needed and there is none.
            SessionError: they cannot be had; says why.
        """
        keychain = self.keychain
        if keychain.state is KeyState.READY:
            return
        if keychain.protection is Protection.PASSPHRASE:
            keychain.unlock(passphrase(given, KEYS, prompt="The keys' passphrase", option=OPTION))
        else:
            keychain.unlock()

    def unlock_to_write(self, given: Path | None) -> None:
        """The same, and make sure that something can be sealed.

        Raises:
            Refused: no protection was chosen yet, or one that keeps nothing.
        """
        self.unlock(given)
        if self.keychain.state is KeyState.UNDECIDED:
            raise Refused("locked key", "How stored sessions are protected was not chosen yet.", _CHOOSE)
        if self.keychain.state is KeyState.VOLATILE:
            raise Refused("volatile", "Nothing is kept in this data directory, as was chosen.", _CHOOSE)


def answering(body: Callable[[], int], *, as_json: bool) -> int:
    """Run a command's body; whatever the store or the command itself refuses is told, and is exit 1."""
    try:
        return body()
    except (StoreError, Refused) as problem:
        return refused(problem, as_json=as_json)

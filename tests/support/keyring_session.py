"""A real keyring of its own: run as a program, it plays one scene inside a private D-Bus session.

    keyring_session.py outer SCENE FOLDER    starts a session bus and becomes it
    keyring_session.py SCENE FOLDER          plays the scene and prints what it saw as one line of JSON

Nothing of it outlives whoever started it: the bus, the keyring and the scene are one process group, which
dies when its parent does, however that dies.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from store.keys import Keychain, KeyringVault

HERE = Path(__file__).resolve()
PATIENCE_S = 20.0
IMPATIENCE_S = 1.0
"""For a keyring that is known to hang."""
PR_SET_PDEATHSIG = 1

BUS = """
<busconfig>
  <type>session</type>
  <listen>unix:tmpdir={folder}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""
"""The usual session bus, without the folders of services that are started on demand: who is asked for secrets
here is who was started here."""


def die_with_parent(parent: int) -> None:
    """Ask the kernel for a SIGTERM when the parent is gone; it survives exec, and not fork."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def end_group(*_: object) -> None:
    """Take the bus and the keyring along; the group was made for them and this."""
    os.killpg(os.getpgrp(), signal.SIGKILL)


def environment(folder: Path) -> dict[str, str]:
    """Return an environment in which nothing of the user's is found.

    Sockets are made below `folder`, and their paths must be short.
    """
    names = ("PATH", "PYTHONPATH", "LANG", "LC_ALL")
    found = {name: os.environ[name] for name in names if name in os.environ}
    for name in (
        "XDG_DATA_HOME",
        "XDG_RUNTIME_DIR",
        "XDG_CONFIG_HOME",
        "XDG_CACHE_HOME",
        "XDG_DATA_DIRS",
        "HOME",
    ):
        place = folder / name.lower()
        place.mkdir(mode=0o700, exist_ok=True)
        found[name] = str(place)
    return found


# -- scenes ----------------------------------------------------------------------------


@contextmanager
def daemon() -> Iterator[subprocess.Popen[bytes]]:
    """Run gnome-keyring, unlocked, until the end of the block."""
    command = ["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin
        process.stdin.write(b"a password")
        process.stdin.close()
        wait_for_owner(present=True)
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            wait_for_owner(present=False)


def wait_for_owner(*, present: bool) -> None:
    """Return when somebody offers secrets on the bus, or nobody does any more."""
    import secretstorage  # noqa: PLC0415 -- there only where there is a D-Bus

    until = time.monotonic() + 10
    while time.monotonic() < until:
        there = False
        refusals = suppress(secretstorage.SecretStorageException, OSError)
        with refusals, closing(secretstorage.dbus_init()) as connection:
            there = secretstorage.check_service_availability(connection)
            if there and present:  # the unlocked collection appears a moment after its daemon
                there = not secretstorage.get_default_collection(connection).is_locked()
        if there == present:
            return
        time.sleep(0.02)
    raise TimeoutError


def lock_keyring() -> None:
    """As a screen saver does."""
    import secretstorage  # noqa: PLC0415 -- as above

    with closing(secretstorage.dbus_init()) as connection:
        secretstorage.get_default_collection(connection).lock()


def keychain(folder: Path, vault: KeyringVault | None = None) -> Keychain:
    """Open the keychain as a new process would."""
    from store.disk import RealDisk  # noqa: PLC0415 -- the outer program needs none of this
    from store.keys import Keychain, KeyringVault  # noqa: PLC0415 -- as above

    return Keychain.open(folder, RealDisk(), vault or KeyringVault(PATIENCE_S))


def said(call: Callable[[], object]) -> str:
    """Return what a call raised, by name; or "fine"."""
    try:
        call()
    except Exception as exc:  # noqa: BLE001 -- whatever it is is what the scene reports
        return f"{type(exc).__name__}: {exc}"
    return "fine"


def chosen(folder: Path) -> Keychain:
    """Return a keychain that keeps its key in the keyring."""
    from store.keys import Protection  # noqa: PLC0415 -- as above

    keys = keychain(folder)
    keys.choose(Protection.KEYRING)
    return keys


def unlocked(folder: Path) -> dict[str, object]:
    """Set up, open again, rotate and forget."""
    from store.keys import rotation  # noqa: PLC0415 -- as above

    with daemon():
        first = chosen(folder).active()
        again = keychain(folder)
        before = again.state
        began = time.monotonic()
        again.unlock()
        took_s = time.monotonic() - began
        same = again.active() == first
        rotation.begin(again)
        rotation.finish(again)
        rotation.forget(again, first.id, ())
        last = keychain(folder)
        last.unlock()
        written = b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())
        return {
            "before": before,
            "same": same,
            "took_s": took_s,
            "rotated": last.key_ids != (first.id,) and last.active() == again.active(),
            "secret on disk": first.secret.hex().encode() in written,
        }


def locked(folder: Path) -> dict[str, object]:
    """Lock it, try, and try again after somebody unlocked it."""
    from store.keys import Protection  # noqa: PLC0415 -- as above

    with daemon():
        key = chosen(folder).active()
        lock_keyring()
        keys = keychain(folder)
        seen: dict[str, object] = {"unlock": said(keys.unlock), "state": keys.state}
        seen["active"] = said(keys.active)
        seen["choose"] = said(lambda: keys.choose(Protection.KEYRING))
        seen["ids"] = keys.key_ids == (key.id,)
    with daemon():  # the only way to unlock it without a screen
        seen["after"] = said(keys.unlock)
        seen["same"] = keys.active() == key
    return seen


def absent(folder: Path) -> dict[str, object]:
    """Nobody offers secrets, or there is no bus at all."""
    from store.keys import Protection  # noqa: PLC0415 -- as above

    keys = keychain(folder)
    seen: dict[str, object] = {"choose": said(lambda: keys.choose(Protection.KEYRING)), "state": keys.state}
    seen["files"] = sorted(path.name for path in folder.iterdir() if path.name == "keys")
    return seen


def gone(folder: Path) -> dict[str, object]:
    """It was there when the keys were made, and is not any more; then it is back."""
    with daemon():
        key = chosen(folder).active()
    keys = keychain(folder)
    seen: dict[str, object] = {"unlock": said(keys.unlock), "state": keys.state}
    with daemon():
        seen["after"] = said(keys.unlock)
        seen["same"] = keys.active() == key
    return seen


def killed(folder: Path) -> dict[str, object]:
    """It stops in the middle of a call; goes on; stops again, and is killed."""
    from store.keys import KeyringVault  # noqa: PLC0415 -- as above

    vault = KeyringVault(PATIENCE_S)
    with daemon() as process:
        key = chosen(folder).active()
        vault.usable()  # looking for a keyring takes longer than asking one
        keys = keychain(folder, vault)
        vault.timeout_s = IMPATIENCE_S
        process.send_signal(signal.SIGSTOP)
        seen: dict[str, object] = {"stopped": said(keys.unlock)}
        process.send_signal(signal.SIGCONT)
        vault.timeout_s = PATIENCE_S
        seen["goes on"] = said(keys.unlock)
        keys = keychain(folder, vault)
        vault.timeout_s = IMPATIENCE_S
        process.send_signal(signal.SIGSTOP)
        seen["stopped again"] = said(keys.unlock)
        vault.timeout_s = PATIENCE_S
        process.kill()
        process.wait()
        wait_for_owner(present=False)
        seen["killed"] = said(keys.unlock)
        seen["state"] = keys.state
    with daemon():
        seen["after"] = said(keys.unlock)
        seen["same"] = keys.active() == key
    return seen


def waits(folder: Path) -> dict[str, object]:
    """Say who belongs to the session, and do nothing until it is ended from outside."""
    with daemon() as process:
        print(json.dumps({"pids": [os.getpid(), process.pid, os.getppid()]}), flush=True)  # noqa: T201 -- the report
        time.sleep(600)
    return {"folder": str(folder)}


SCENES = {scene.__name__: scene for scene in (unlocked, locked, absent, gone, killed, waits)}


def main() -> None:
    """Become the session, or play in it."""
    parent = os.getppid()
    die_with_parent(parent)
    *outer, scene, place = sys.argv[1:]
    folder = Path(place)
    if outer:
        (folder / "bus.conf").write_text(BUS.format(folder=folder), encoding="utf-8")
        command = [
            "dbus-run-session",
            f"--config-file={folder}/bus.conf",
            "--",
            sys.executable,
            str(HERE),
            scene,
            place,
        ]
        os.execvpe(command[0], command, environment(folder))  # noqa: S606 -- our own program, in its own session
    signal.signal(signal.SIGTERM, end_group)
    data_dir = folder / "data"
    data_dir.mkdir(exist_ok=True)
    print(json.dumps(SCENES[scene](data_dir)), flush=True)  # noqa: T201 -- the report


if __name__ == "__main__":
    main()

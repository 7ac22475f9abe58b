"""Faults in sessions: what of the user's work is on the disk when, what is found again, what is told."""

from __future__ import annotations

from simulations.mutants.planting import Area, Mutant

CONNECTION = "machines/connection.py"
CORE = "resilience/core.py"
KEEPER = "resilience/sessions/keeper.py"
LIMITS = "resilience/limits.py"
RECOVERY = "store/sessions/recovery.py"
REPLACE = "store/replace.py"
SAVER = "resilience/sessions/saver.py"
SESSION = "store/sessions/session.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="edits-not-synced",
        area=Area.STORE,
        file=SESSION,
        old="        disk.sync(log.handle)\n",
        new="",
        mistake="Saving writes the edits, and leaves the rest to the operating system.",
        laws=(15,),
        first=("powercut",),
    ),
    Mutant(
        name="log-name-not-synced",
        area=Area.STORE,
        file=SESSION,
        old="            disk.sync_dir(self._tools.places.sessions)\n            log.named = True\n",
        new="            log.named = True\n",
        mistake="The bytes of a new log are synced, its name is not.",
        laws=(15,),
        first=("powercut",),
    ),
    Mutant(
        name="written-counts-as-saved",
        area=Area.STORE,
        file=SESSION,
        old="        log.size += len(data)\n        self._written = revision\n",
        new="        log.size += len(data)\n        self._written = self._saved = revision\n",
        mistake="What was handed to the operating system is told as saved.",
        laws=(15,),
        first=("powercut",),
    ),
    Mutant(
        name="snapshot-not-synced",
        area=Area.STORE,
        file=REPLACE,
        old="        disk.sync(handle)\n",
        new="",
        mistake="A file is renamed into place before its bytes are on the medium.",
        laws=(15,),
        first=("powercut",),
    ),
    Mutant(
        name="snapshot-name-not-synced",
        area=Area.STORE,
        file=REPLACE,
        old="    disk.rename(part, path)\n    disk.sync_dir(path.parent)\n",
        new="    disk.rename(part, path)\n",
        mistake="A file is renamed into place, and the directory is never synced.",
        laws=(15,),
        first=("powercut",),
    ),
    Mutant(
        name="log-not-replayed",
        area=Area.STORE,
        file=RECOVERY,
        old="follow=generation is None",
        new="follow=False",
        mistake="A session comes back as its newest snapshot, without what was logged since.",
        laws=(15,),
        first=("powercut",),
    ),
    Mutant(
        name="log-replayed-without-its-last",
        area=Area.STORE,
        file=RECOVERY,
        old="        for _, payload, end in read.records:",
        new="        for _, payload, end in read.records[:-1]:",
        mistake="An off-by-one in the replay of a log.",
        laws=(15,),
        first=("powercut",),
    ),
    Mutant(
        name="work-in-the-header",
        area=Area.STORE,
        file=SESSION,
        old='            "format": state.get("format"),\n',
        new="""\
            "format": state.get("format"),
            "title": str(state["workspaces"])[:300],
""",
        mistake="What listings show is taken from the user's work, and stands in plain text.",
        laws=(0,),
    ),
    Mutant(
        name="edits-written-late",
        area=Area.SUPERVISOR,
        file=LIMITS,
        old="WRITE_DELAY_S = 0.1",
        new="WRITE_DELAY_S = 1.5",
        mistake="Edits wait for a convenient moment before they are handed to the operating system.",
        laws=(15,),
        first=("powercut",),
    ),
    Mutant(
        name="saved-told-early",
        area=Area.SUPERVISOR,
        file=SAVER,
        old="        if kept.dirty and saved >= kept.worked:\n",
        new="        if kept.dirty:\n",
        mistake="Any write that succeeds is told as if everything were saved.",
        laws=(15,),
    ),
    Mutant(
        name="edited-not-told",
        area=Area.SUPERVISOR,
        file=KEEPER,
        old="                core.feed(Asked(Ask.EDITED))\n",
        new="",
        mistake="The machine never hears of edits, so that Connected is shown over unsaved work.",
        laws=(15,),
    ),
    Mutant(
        name="saves-answered-one-early",
        area=Area.SUPERVISOR,
        file=SAVER,
        old="if each[0] <= saved]:",
        new="if each[0] <= saved + 1]:",
        mistake="Whoever waits for a save is told when the one before it is done.",
        laws=(15,),
        first=("powercut",),
    ),
    Mutant(
        name="busy-hidden-by-edits",
        area=Area.MACHINE,
        file=CONNECTION,
        old="""\
        if shown in (Reason.BUSY, Reason.NOT_ANSWERING):
            self.report(shown, detail)
""",
        new="",
        mistake="An edit is told as the reason of a state whose reason is that the image works.",
        laws=(3,),
    ),
)

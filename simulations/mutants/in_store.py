"""Faults in the journal: what is on the medium when, what is read back, and what numbers are given."""

from __future__ import annotations

from simulations.mutants.planting import Area, Mutant

DISK = "store/disk.py"
JOURNAL = "store/journal.py"
LEDGER = "store/ledger.py"
READER = "store/reader.py"
SEGMENTS = "store/segments.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="no-fdatasync",
        area=Area.STORE,
        file=JOURNAL,
        old="        self._disk.sync(segment.handle)\n        if fresh:",
        new="        if fresh:",
        mistake="A commit writes, and leaves the rest to the operating system.",
        laws=(14,),
        first=("powercut",),
    ),
    Mutant(
        name="sync-only-fresh-segments",
        area=Area.STORE,
        file=JOURNAL,
        old="        self._disk.sync(segment.handle)\n        if fresh:\n",
        new="        if fresh:\n            self._disk.sync(segment.handle)\n",
        mistake="Only the first commit of a segment is synced.",
        laws=(14,),
    ),
    Mutant(
        name="no-directory-sync",
        area=Area.STORE,
        file=JOURNAL,
        old="""\
            self._disk.sync_dir(self._shelf.journal)
            self._own[segment.generation].first_seq""",
        new="            self._own[segment.generation].first_seq",
        mistake="A new segment's bytes are synced, its name is not.",
        laws=(14,),
        first=("powercut",),
    ),
    Mutant(
        name="no-parent-sync",
        area=Area.STORE,
        file=JOURNAL,
        old="            self._shelf.sync_names()\n            self._disk.sync_dir(self._shelf.journal)\n",
        new="            self._disk.sync_dir(self._shelf.journal)\n",
        mistake="The journal's directory is synced, the directories on the way to it are not.",
        laws=(14,),
        first=("regression 1",),
    ),
    Mutant(
        name="failed-handle-used-again",
        area=Area.STORE,
        file=JOURNAL,
        old="""\
        segment, self._segment = self._segment, None
        if segment is not None:
            if segment.acknowledged:
                with suppress(OSError):
                    self._disk.close(segment.handle)
            elif""",
        new="""\
        segment = self._segment
        if segment is not None:
            if segment.acknowledged:
                pass
            elif""",
        mistake="After a failed sync the same file is synced again, which now reports success (fsyncgate).",
        laws=(14,),
        first=("fulldisk",),
    ),
    Mutant(
        name="failed-segment-removed",
        area=Area.STORE,
        file=JOURNAL,
        old="            if segment.acknowledged:\n                with suppress(OSError):",
        new="""\
            if segment.acknowledged > self._limits.segment_bytes:
                with suppress(OSError):""",
        mistake="After a failed write the whole segment goes, with what was acknowledged before.",
        laws=(14,),
        first=("swarm/32",),
    ),
    Mutant(
        name="refused-records-forgotten",
        area=Area.STORE,
        file=JOURNAL,
        old="            self._pending = self._flying + self._pending\n",
        new="",
        mistake="What the disk refused is not put back in line.",
        laws=(14,),
        first=("swarm/32",),
    ),
    Mutant(
        name="short-write-believed",
        area=Area.STORE,
        file=DISK,
        old="    while taken < len(data):\n",
        new="    while not taken:\n",
        mistake="A write that took only a part counts as a whole one.",
        laws=(14,),
        first=("fulldisk",),
    ),
    Mutant(
        name="tail-cut-too-long",
        area=Area.STORE,
        file=SEGMENTS,
        old="self.disk.truncate(handle, decoded.good)",
        new="self.disk.truncate(handle, decoded.records[-1].offset if decoded.records else decoded.good)",
        mistake="Cutting off a torn tail takes the last whole record along.",
        laws=(14,),
        first=("powercut",),
    ),
    Mutant(
        name="sequence-reused",
        area=Area.STORE,
        file=LEDGER,
        old="        return self._highest.get(image, 0) + 1",
        new="        return max(1, self._highest.get(image, 0))",
        mistake="After a restart the first transition has the number of the last one before it.",
        laws=(14,),
        first=("kill",),
    ),
    Mutant(
        name="last-record-not-replayed",
        area=Area.STORE,
        file=READER,
        old="        for record in counted:\n            if record.offset >= start:",
        new="        for record in counted[:-1]:\n            if record.offset >= start:",
        mistake="Reading a segment stops one record early.",
        laws=(14,),
        first=("kill",),
    ),
)

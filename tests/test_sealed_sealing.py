"""Sealed files are opened whole and true, or it is said what is the matter with them."""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
import zlib
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealed_files import (
    EDITS,
    FIRST,
    SESSION,
    SNAPSHOT,
    TEXT,
    among,
    entropy,
    identity,
    log,
    log_parts,
    master_key,
    snapshot,
)
from store.outcomes import Corrupt, MissingKey, Outcome, Reordered, SessionError, TooNew, WrongKey
from store.sealed import (
    Ending,
    Expected,
    Kind,
    LogRead,
    LogWriter,
    MasterKey,
    boxes,
    open_snapshot,
    peek,
    read_log,
    rewrap,
    seal_snapshot,
)
from store.sealed.envelope import MAX_PLAINTEXT_BYTES, HeaderProblem, frame_bytes, read_head

KEYS = among(master_key())
EDIT_TEXTS = [b"first edit", b"second edit, longer " * 10, b"", b"fourth"]
PARTS = log_parts(EDIT_TEXTS)
LOG = b"".join(PARTS)
RECORDS = [(FIRST + place, text) for place, text in enumerate(EDIT_TEXTS)]


def head_bytes(data: bytes) -> int:
    """Return where the records begin."""
    head = read_head(data)
    assert not isinstance(head, HeaderProblem)
    return head.size


def what_it_says(read: LogRead) -> list[tuple[int, bytes]]:
    """Return numbers and texts."""
    return [(number, text) for number, text, _ in read.records]


# -- round trips -----------------------------------------------------------------------


@pytest.mark.parametrize("text", [b"", b"x", TEXT, os.urandom(5000), b"so much of the same " * 50_000])
def test_what_was_sealed_is_opened(text: bytes) -> None:
    """Whether it shrinks or not."""
    opened = open_snapshot(snapshot(text), SNAPSHOT, KEYS)
    assert opened.plaintext == text
    assert opened.header.about == {"title": "Zähler"}
    assert opened.header.identity == identity(SNAPSHOT)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_is_opened_as_itself_only(kind: Kind) -> None:
    """Credentials do not pass for an export."""
    data = snapshot(expected=Expected(kind, "", 0))
    assert open_snapshot(data, Expected(kind, "", 0), KEYS).plaintext == TEXT
    for other in set(Kind) - {kind}:
        with pytest.raises(Reordered):
            open_snapshot(data, Expected(other, "", 0), KEYS)


def test_a_log_says_what_was_written_and_where_each_record_ends() -> None:
    """So that a damaged end can be cut off exactly there."""
    read = read_log(LOG, EDITS, KEYS)
    assert what_it_says(read) == RECORDS
    assert (read.ending, read.good, read.outcome) == (Ending.CLEAN, len(LOG), None)
    ends = [sum(map(len, PARTS[: place + 2])) for place in range(len(EDIT_TEXTS))]
    assert [record.end for record in read.records] == ends


def test_a_log_without_records_is_clean() -> None:
    """It was made, and nothing happened yet."""
    read = read_log(PARTS[0], EDITS, KEYS)
    assert (read.records, read.ending, read.good) == ((), Ending.CLEAN, len(PARTS[0]))


@given(texts=st.lists(st.binary(max_size=300), max_size=8), text=st.binary(max_size=2000))
def test_any_bytes_make_the_round_trip(texts: list[bytes], text: bytes) -> None:
    """Snapshots and logs alike."""
    assert open_snapshot(snapshot(text), SNAPSHOT, KEYS).plaintext == text
    assert [record.plaintext for record in read_log(log(texts), EDITS, KEYS).records] == texts


def test_the_same_entropy_gives_the_same_bytes() -> None:
    """A simulated run is replayed byte for byte."""
    assert snapshot(seed=5) == snapshot(seed=5) != snapshot(seed=6)
    assert log(EDIT_TEXTS) == LOG


# -- damage ----------------------------------------------------------------------------


def flips(data: bytes) -> list[bytes]:
    """Return the file with each of its bits flipped."""
    return [
        data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]
        for bit in range(len(data) * 8)
    ]


def test_every_flipped_bit_of_a_snapshot_is_named() -> None:
    """Corrupt, always: no flip makes a file look newer, or its key look wrong."""
    for damaged in flips(snapshot()):
        with pytest.raises(Corrupt) as caught:
            open_snapshot(damaged, SNAPSHOT, KEYS)
        assert TEXT not in repr(caught.value).encode()


def test_every_cut_through_a_snapshot_is_named() -> None:
    """And so is every byte too many."""
    data = snapshot()
    for damaged in [*(data[:size] for size in range(len(data))), data + b"\0", data + data]:
        with pytest.raises(Corrupt):
            open_snapshot(damaged, SNAPSHOT, KEYS)


def test_every_flipped_bit_of_a_log_ends_it_before_that_record() -> None:
    """What comes before is true, the record is not believed, and what stands behind makes it damage."""
    for place, damaged in enumerate(flips(LOG)):
        if place // 8 < len(PARTS[0]):
            with pytest.raises(Corrupt):
                read_log(damaged, EDITS, KEYS)
            continue
        read = read_log(damaged, EDITS, KEYS)
        hit = next(i for i in range(4) if place // 8 < sum(map(len, PARTS[: i + 2])))
        assert what_it_says(read) == RECORDS[:hit]
        assert read.good == sum(map(len, PARTS[: hit + 1]))
        if hit < 3:
            assert (read.ending, read.outcome) == (Ending.DAMAGED, Outcome.CORRUPT)
        else:
            assert read.ending is not Ending.CLEAN


def test_every_cut_through_a_log_leaves_the_records_before_it() -> None:
    """A writer's death cuts its last record; that is torn, and nothing else."""
    ends = [sum(map(len, PARTS[: place + 1])) for place in range(5)]
    for size in range(len(LOG)):
        if size < len(PARTS[0]):
            with pytest.raises(Corrupt):
                read_log(LOG[:size], EDITS, KEYS)
            continue
        read = read_log(LOG[:size], EDITS, KEYS)
        whole = max(place for place in range(5) if ends[place] <= size)
        assert what_it_says(read) == RECORDS[:whole]
        assert read.good == ends[whole]
        assert read.ending is (Ending.CLEAN if size == ends[whole] else Ending.TORN)


@pytest.mark.parametrize("garbage", [b"\0", b"\xff", b"\x55\xaa"])
def test_a_last_record_of_garbage_or_zeros_is_torn(garbage: bytes) -> None:
    """File systems extend a file before its bytes arrive."""
    for size in (1, 11, 12, 40, 5000):
        read = read_log(LOG + (garbage * size)[:size], EDITS, KEYS)
        assert (what_it_says(read), read.ending) == (RECORDS, Ending.TORN)
    last = len(PARTS[-1])
    read = read_log(LOG[:-last] + (garbage * last)[:last], EDITS, KEYS)
    assert (what_it_says(read), read.ending) == (RECORDS[:-1], Ending.TORN)


def test_a_record_lost_in_zeros_before_a_whole_one_is_damage() -> None:
    """Whoever repairs must not cut off a record that may have been acknowledged."""
    data = b"".join([*PARTS[:2], bytes(len(PARTS[2])), *PARTS[3:]])
    read = read_log(data, EDITS, KEYS)
    assert (what_it_says(read), read.ending) == (RECORDS[:1], Ending.DAMAGED)
    assert read.outcome is Outcome.CORRUPT


# -- order -----------------------------------------------------------------------------


@pytest.mark.parametrize("order", [order for order in permutations(range(4)) if order != (0, 1, 2, 3)])
def test_records_in_another_order_are_told(order: tuple[int, ...]) -> None:
    """Each is true, and stands behind the wrong one."""
    read = read_log(PARTS[0] + b"".join(PARTS[1 + place] for place in order), EDITS, KEYS)
    kept = next(place for place in range(4) if order[place] != place)
    assert what_it_says(read) == RECORDS[:kept]
    assert (read.ending, read.outcome) == (Ending.DAMAGED, Outcome.REORDERED)


def test_a_record_played_again_is_told() -> None:
    """At the end, or in the middle."""
    for data in (LOG + PARTS[2], b"".join([*PARTS[:3], *PARTS[2:]])):
        read = read_log(data, EDITS, KEYS)
        assert (read.ending, read.outcome) == (Ending.DAMAGED, Outcome.REORDERED)


@pytest.mark.parametrize("gone", [1, 2, 3])
def test_a_record_cut_out_is_told(gone: int) -> None:
    """Those behind it are not believed; a cut at the very end is for others to know."""
    read = read_log(b"".join(part for place, part in enumerate(PARTS) if place != gone), EDITS, KEYS)
    assert what_it_says(read) == RECORDS[: gone - 1]
    assert (read.ending, read.outcome) == (Ending.DAMAGED, Outcome.CORRUPT)
    cut = read_log(b"".join(PARTS[:-1]), EDITS, KEYS)
    assert (what_it_says(cut), cut.ending) == (RECORDS[:-1], Ending.CLEAN)


def test_records_of_another_log_do_not_pass() -> None:
    """Not even those of the same generation, with the right number and the same text."""
    other = log_parts(EDIT_TEXTS, seed=9)
    for data in (
        PARTS[0] + b"".join(other[1:]),
        other[0] + b"".join(PARTS[1:]),
        b"".join([*PARTS[:3], *other[3:]]),
    ):
        read = read_log(data, EDITS, KEYS)
        assert len(read.records) in (0, 2)
        assert read.ending is Ending.DAMAGED


def test_swapped_files_are_told_apart() -> None:
    """Another session's, another generation's, another kind's: true, and not what was asked for."""
    for said in (
        Expected(Kind.SNAPSHOT, "0" * 32, 3),
        Expected(Kind.SNAPSHOT, SESSION, 2),
        Expected(Kind.EXPORT, SESSION, 3),
    ):
        with pytest.raises(Reordered) as caught:
            open_snapshot(snapshot(expected=said), SNAPSHOT, KEYS)
        assert caught.value.outcome is Outcome.REORDERED
    with pytest.raises(Reordered):
        read_log(snapshot(), EDITS, KEYS)
    with pytest.raises(Reordered):
        read_log(b"".join(log_parts([b"x"], expected=Expected(Kind.EDITS, SESSION, 2))), EDITS, KEYS)


def test_a_record_is_bound_to_its_file_besides_its_key() -> None:
    """Should two files ever share a key, their records would still not be interchangeable."""
    here, there = boxes.Box(bytes(32), identity(SNAPSHOT)), boxes.Box(bytes(32), identity(EDITS))
    sealed = here.seal(4, TEXT, boxes.NO_TAG, final=False)
    assert here.open(4, sealed, boxes.NO_TAG, final=False) == TEXT
    assert there.open(4, sealed, boxes.NO_TAG, final=False) is None
    other_file = boxes.Box(bytes(32), identity(SNAPSHOT, file=0xF2))
    assert other_file.open(4, sealed, boxes.NO_TAG, final=False) is None


def test_a_log_record_does_not_pass_for_a_snapshot() -> None:
    """What is final says so under its seal."""
    keys = [master_key()]
    whole = snapshot()
    writer = LogWriter(identity(SNAPSHOT), {"first": 0, "title": "Zähler"}, keys, entropy())
    with pytest.raises(Corrupt):
        open_snapshot(writer.header + writer.seal(0, TEXT), SNAPSHOT, KEYS)
    size = head_bytes(whole)
    with pytest.raises(Corrupt):  # two final records are none
        open_snapshot(whole + whole[size:], SNAPSHOT, KEYS)


# -- keys ------------------------------------------------------------------------------


def test_a_wrong_key_and_a_missing_one_are_different() -> None:
    """One asks for another passphrase, the other for an entry of the keyring."""
    impostor = MasterKey(master_key().id, bytes(32))
    with pytest.raises(WrongKey, match=master_key().id):
        open_snapshot(snapshot(), SNAPSHOT, among(impostor))
    with pytest.raises(MissingKey, match=master_key().id):
        open_snapshot(snapshot(), SNAPSHOT, among(master_key(1)))
    with pytest.raises(WrongKey):
        read_log(LOG, EDITS, among(impostor))
    with pytest.raises(MissingKey):
        read_log(LOG, EDITS, among())


def test_any_of_the_keys_opens_a_file() -> None:
    """While keys are rotated, files name two; one of them lost does no harm."""
    old, new = master_key(1), master_key(2)
    data = snapshot(keys=[old, new])
    for known in (among(old), among(new), among(old, new), among(MasterKey(old.id, bytes(32)), new)):
        assert open_snapshot(data, SNAPSHOT, known).plaintext == TEXT


def test_a_header_rewritten_without_the_key_is_not_believed() -> None:
    """Listings show it before; nobody acts on it."""
    data = snapshot()
    size = head_bytes(data)
    forged = data[14 : size - 36].replace("Zähler".encode(), b"Zahlers")
    head = data[:14] + forged
    head += struct.pack("<I", zlib.crc32(head)) + data[size - 32 : size]
    header = peek(head)
    assert header
    assert header.about == {"title": "Zahlers"}
    with pytest.raises(Corrupt, match="changed"):
        open_snapshot(head + data[size:], SNAPSHOT, KEYS)


def test_a_wrap_of_another_file_does_not_pass() -> None:
    """The box of the file key is bound to the file it is for."""
    one, other = snapshot(), snapshot(expected=Expected(Kind.SNAPSHOT, SESSION, 4), seed=1)
    swapped = one.replace(box_text(one), box_text(other))
    size = head_bytes(one)
    head = swapped[: size - 36]
    with pytest.raises(WrongKey):
        open_snapshot(head + struct.pack("<I", zlib.crc32(head)) + swapped[size - 32 :], SNAPSHOT, KEYS)


def box_text(data: bytes) -> bytes:
    """Return the first wrap's base64."""
    return data.partition(b'"box":"')[2].partition(b'"')[0]


def test_too_new_is_said_before_any_key_is_asked_for() -> None:
    """A later version may keep its keys elsewhere."""
    with pytest.raises(TooNew) as caught:
        open_snapshot(struct.pack("<8sHI", snapshot()[:8], 2, 0), SNAPSHOT, among())
    assert "format 2" in str(caught.value)
    with pytest.raises(TooNew):
        read_log(struct.pack("<8sHI", snapshot()[:8], 9, 0) + b"?" * 99, EDITS, among())


def test_a_key_can_be_added_and_dropped_without_touching_a_record() -> None:
    """A new master key costs a new header."""
    old, new = master_key(), master_key(7)
    for data, opened in ((snapshot(), open_snapshot), (LOG, read_log)):
        expected = SNAPSHOT if opened is open_snapshot else EDITS
        both = rewrap(data, new, None, KEYS, entropy(3))
        only = rewrap(both, None, old.id, among(new), entropy(4))
        once = rewrap(data, new, old.id, KEYS, entropy(5))
        for changed, keys in ((both, [old.id, new.id]), (only, [new.id]), (once, [new.id])):
            head = peek(changed)
            assert head
            assert [wrap.key for wrap in head.wraps] == keys
            assert changed.endswith(data[head_bytes(data) :])
            assert opened(changed, expected, among(new)).header == head
        with pytest.raises(MissingKey):
            opened(only, expected, among(old))
    again = peek(rewrap(rewrap(snapshot(), new, None, KEYS, entropy(3)), new, None, KEYS, entropy(4)))
    assert again
    assert len(again.wraps) == 2


def test_the_last_key_is_not_dropped_and_damage_is_not_sealed_anew() -> None:
    """A rotation that went astray must not be what loses a file."""
    with pytest.raises(ValueError, match="0 master keys"):
        rewrap(snapshot(), None, master_key().id, KEYS, entropy())
    with pytest.raises(Corrupt):
        rewrap(snapshot()[:100], master_key(1), None, KEYS, entropy())
    with pytest.raises(MissingKey):
        rewrap(snapshot(), master_key(1), None, among(), entropy())


def test_rewrapping_keeps_what_a_later_version_wrote_besides() -> None:
    """Unknown fields of the header survive, under the MAC."""
    data, keys = snapshot(), [master_key()]
    size = head_bytes(data)
    file_key = boxes.unsealed_key(identity(SNAPSHOT), wrap_box(data), keys[0].id, keys[0].secret)
    assert file_key
    text = data[14 : size - 36][:-1] + b',"zeal":1}'
    head = struct.pack("<8sHI", data[:8], 1, len(text)) + text
    head += struct.pack("<I", zlib.crc32(head))
    newer = head + boxes.mac_of(file_key, head) + data[size:]
    assert open_snapshot(newer, SNAPSHOT, KEYS).plaintext == TEXT
    assert b'"zeal":1' in rewrap(newer, master_key(1), None, KEYS, entropy(8))


def wrap_box(data: bytes) -> bytes:
    """Return the first wrap's box."""
    head = peek(data)
    assert head
    return head.wraps[0].box


# -- mistakes of callers, and hostile texts --------------------------------------------


def test_no_number_is_sealed_twice() -> None:
    """Two texts under one nonce give both away, so a record that was not written is not sealed again."""
    writer = LogWriter(identity(EDITS), {"first": 5}, [master_key()], entropy())
    writer.seal(5, b"five")
    for number in (5, 4, 7, 6 - 2**64):
        with pytest.raises(ValueError, match="6 is next"):
            writer.seal(number, b"other")
    with pytest.raises(ValueError, match="allowed"):
        writer.seal(6, bytes(MAX_PLAINTEXT_BYTES + 1))
    writer.seal(6, b"six")


def test_no_two_boxes_share_key_and_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over files, records and wraps: each pair is used once."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 -- to watch it being used

    used: list[tuple[bytes, bytes]] = []

    def watched(key: bytes) -> Watched:
        return Watched(key)

    class Watched:
        def __init__(self, key: bytes) -> None:
            self.key, self.real = key, AESGCM(key)

        def encrypt(self, nonce: bytes, data: bytes, bound: bytes) -> bytes:
            used.append((self.key, nonce))
            return self.real.encrypt(nonce, data, bound)

        def decrypt(self, nonce: bytes, data: bytes, bound: bytes) -> bytes:
            return self.real.decrypt(nonce, data, bound)

    monkeypatch.setattr(boxes, "_cipher", watched)
    for _ in range(20):
        data = seal_snapshot(identity(SNAPSHOT), {}, TEXT, [master_key(), master_key(1)], os.urandom)
        rewrap(data, master_key(2), None, KEYS, os.urandom)
        writer = LogWriter(identity(EDITS), {"first": 1}, [master_key()], os.urandom)
        for number in range(1, 11):
            writer.seal(number, b"the same text")
    assert len(used) == 20 * (3 + 1 + 11)
    assert len(set(used)) == len(used)


def test_a_bomb_does_not_go_off() -> None:
    """Whoever has the key can still not make a reader take a gigabyte."""
    squeezing = zlib.compressobj(9)
    chunk = bytes(2**20)
    bomb = b"".join([*(squeezing.compress(chunk) for _ in range(64)), squeezing.flush()])
    assert len(bomb) < 100_000
    for packed in (b"\1" + bomb, b"\1" + bomb[:-5], b"\1" + zlib.compress(b"x") + b"y", b"\1x", b"\2", b""):
        assert boxes.unpacked(packed) is None
    largest = b"\1" + zlib.compress(bytes(MAX_PLAINTEXT_BYTES))
    assert boxes.unpacked(largest) == bytes(MAX_PLAINTEXT_BYTES)
    with pytest.raises(ValueError, match="allowed"):
        snapshot(bytes(MAX_PLAINTEXT_BYTES + 1))


def test_a_bomb_under_the_right_key_is_corrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named like any damage."""
    monkeypatch.setattr(boxes, "packed", lambda _: b"\1" + zlib.compress(bytes(MAX_PLAINTEXT_BYTES + 1)))
    with pytest.raises(Corrupt):
        open_snapshot(snapshot(), SNAPSHOT, KEYS)


@pytest.mark.parametrize("first", [None, -1, "1", True, 1.0, 2**63])
def test_a_log_needs_its_first_number(first: object) -> None:
    """When it is made, and when it is read."""
    with pytest.raises(ValueError, match="first"):
        LogWriter(identity(EDITS), {"first": first}, [master_key()], entropy())  # type: ignore[dict-item]  # that is it
    data = seal_snapshot(identity(EDITS), {}, b"", [master_key()], entropy())
    with pytest.raises(Corrupt, match="first number"):
        read_log(data, EDITS, KEYS)


def test_a_file_without_keys_is_not_made() -> None:
    """Nobody could open it."""
    with pytest.raises(ValueError, match="0 master keys"):
        seal_snapshot(identity(SNAPSHOT), {}, TEXT, [], entropy())
    with pytest.raises(ValueError, match="too long"):
        seal_snapshot(identity(Expected(Kind.EXPORT, "s" * 65, 0)), {}, TEXT, [master_key()], entropy())


def test_no_secret_is_shown() -> None:
    """Not in what is printed, not in an error, not in its arguments."""
    shown = [repr(master_key()), str(master_key()), repr(open_snapshot(snapshot(), SNAPSHOT, KEYS))]
    shown.append(repr(read_log(LOG, EDITS, KEYS)))
    for keys in (among(), among(MasterKey(master_key().id, bytes(32)))):
        with pytest.raises(SessionError) as caught:
            open_snapshot(snapshot(), SNAPSHOT, keys)
        shown += [str(caught.value), repr(caught.value.args)]
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 -- our own bytes
    for text in shown:
        for secret in (TEXT, EDIT_TEXTS[0], master_key().secret):
            assert repr(secret)[2:-1] not in text
            assert secret.hex() not in text


# -- fuzz and cost ---------------------------------------------------------------------


@settings(max_examples=300)
@given(data=st.data())
def test_any_damage_gives_a_prefix_or_a_named_outcome(data: st.DataObject) -> None:
    """Blocks zeroed, doubled, cut out, moved, overwritten: never another exception, never a false text."""
    damaged = bytearray(data.draw(st.sampled_from([snapshot(), LOG])))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(damaged)))
        end = data.draw(st.integers(start, len(damaged)))
        block = damaged[start:end]
        match data.draw(st.sampled_from(["zero", "double", "cut", "move", "write"])):
            case "zero":
                damaged[start:end] = bytes(len(block))
            case "double":
                damaged[end:end] = block
            case "cut":
                del damaged[start:end]
            case "move":
                del damaged[start:end]
                damaged += block
            case _:
                damaged[start:end] = data.draw(st.binary(max_size=50))
    with contextlib.suppress(SessionError):
        assert open_snapshot(bytes(damaged), SNAPSHOT, KEYS).plaintext == TEXT
    with contextlib.suppress(SessionError):
        assert what_it_says(read := read_log(bytes(damaged), EDITS, KEYS)) == RECORDS[: len(read.records)]


@given(tail=st.binary(max_size=200))
def test_any_bytes_behind_a_log_do_not_change_what_it_says(tail: bytes) -> None:
    """Only how it ends."""
    read = read_log(LOG + tail, EDITS, KEYS)
    assert what_it_says(read) == RECORDS
    assert (read.ending is Ending.CLEAN) == (not tail)


def test_frames_are_written_as_they_are_read() -> None:
    """Little-endian, length first."""
    assert frame_bytes(1, b"x" * 17) == b"\x11\0\0\0" + b"\1" + bytes(7) + b"x" * 17

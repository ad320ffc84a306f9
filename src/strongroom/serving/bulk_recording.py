"""Records of very many lines at once: everything that is equal in them is laid out once, as rows of one array.

Equal, byte for byte, to `recording.seal_lines`; a property test holds the two together. Lines whose records are of one
size form an array with a row for each. Constant parts are copied into all rows in one step, texts of digests, salts and
documents for a whole column. What is left to do for each line is one call into each primitive, which encrypts into the
row or hashes out of it.
"""

from __future__ import annotations

import hashlib
from binascii import hexlify
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from pybase64 import b64encode

from strongroom.errors import ErasedError
from strongroom.ledger.frames import entry_opening
from strongroom.ledger.making import MadeRecord, MadeRecords, RecordMaker
from strongroom.sealing.records import (
    DECISION_ID_SIZE,
    HEADER_SIZE,
    KEY_ID_SIZE,
    NONCE_SIZE,
    RELEASE_SIZE,
    SALT_SIZE,
    SEALED_PREFIX,
    SEALING_CONTEXT,
    TAG_SIZE,
    RecordTemplate,
)
from strongroom.sealing.subjects import SubjectKey
from strongroom.serving.asked import Line, Outcome
from strongroom.serving.layout import Bytes, lay, rows_of
from strongroom.serving.recording import NOBODY, Lines, seal_lines

MANY: Final = 96
"""Lines of one caller and release in a batch from which on this is quicker than line by line: laying out has a price of
its own, some 0.1 milliseconds."""
FEW: Final = 48
"""Fewer lines of one size are sealed line by line."""
PIECE: Final = 512
"""Lines that are laid out together at most, a megabyte or so: larger arrays would go back to the system each time."""

# of HMAC with SHA-256, bytes; RFC 2104 section 2 calls the last two ipad and opad
_BLOCK: Final = 64
_HASH: Final = 32
_INNER: Final = np.uint8(0x36)
_OUTER: Final = np.uint8(0x5C)
_sha256 = hashlib.sha256
_text = msgspec.json.Encoder().encode
_SIZES: Final = 1 << 12
"""More than the longest subject has bytes as JSON."""


class Form:
    """Requests whose records have everything in common but their lines.

    Args:
        template: of the caller, the labels and the release.
        maker: of the batch and the release.
        release: its digest, 32 bytes.
    """

    __slots__ = ("maker", "outcomes", "release", "template")

    def __init__(self, template: RecordTemplate, maker: RecordMaker, release: bytes) -> None:
        self.template, self.maker, self.release = template, maker, release
        self.outcomes: list[Outcome] = []


class Parts(NamedTuple):
    """Records as `ledger.making.MadeRecords` takes them, one for each line."""

    contents: list[bytes]
    leaves: list[bytes]
    hashes: list[bytes]


def seal_outcomes(
    outcomes: Sequence[Outcome], forms: Iterable[Form], keys: Mapping[str, SubjectKey], nonces: bytes
) -> tuple[MadeRecords, list[Outcome]]:
    """The records of a batch, in the order of its requests; sets `first` of each.

    Args:
        outcomes: the batch.
        forms: every outcome stands in one of them.
        keys: of the subjects.
        nonces: 12 random bytes for each line.

    Returns:
        The records, and the requests of which none may be kept, because a key is missing or destroyed.
    """
    made: dict[int, Parts | list[MadeRecord]] = {}
    place = 0
    for form in forms:
        lines = [line for outcome in form.outcomes for line in outcome.lines]
        mine = nonces[place : place + NONCE_SIZE * len(lines)]
        place += len(mine)
        whole = None
        if len(lines) >= MANY:
            try:
                whole = seal_many(lines, keys, mine, form.template, form.maker, form.release)
            except ErasedError:
                # some request is lost: line by line, with the same nonces for the same bytes, to see which
                whole = None
        at = 0
        for outcome in form.outcomes:
            end = at + len(outcome.lines)
            if whole is not None:
                made[id(outcome)] = Parts(*[part[at:end] for part in whole])
            else:
                with suppress(ErasedError):
                    made[id(outcome)] = seal_lines(
                        outcome.lines, keys, mine, NONCE_SIZE * at, form.template, form.maker, form.release
                    )
            at = end
    records = MadeRecords()
    lost = []
    for outcome in outcomes:
        found = made.get(id(outcome))
        outcome.first = len(records)
        if found is None:
            lost.append(outcome)
        elif isinstance(found, Parts):
            records.add(*found)
        else:
            records.add_records(found)
    return records, lost


def ids_from(first: bytes, rows: int) -> list[bytes]:
    """Decision ids of a request: counted up from its first one, which is random.

    Args:
        first: 16 bytes.
        rows: how many.
    """
    high, low = int.from_bytes(first[:8], "big"), int.from_bytes(first[8:], "big")
    if low + rows > 1 << 64:
        base = int.from_bytes(first, "big")
        return [((base + n) % (1 << 128)).to_bytes(16, "big") for n in range(rows)]
    numbers = np.empty((rows, 2), ">u8")
    numbers[:, 0] = high
    numbers[:, 1] = np.arange(rows, dtype=np.uint64) + np.uint64(low)
    return rows_of(numbers.view(np.uint8).reshape(rows, 16))


def lines_of(ids: Sequence[bytes], documents: Sequence[bytes], salts: bytes, subjects: Sequence[str]) -> list[Line]:
    """The lines of one request.

    Args:
        salts: 32 random bytes for each.
    """
    rows = len(ids)
    text = hexlify(b"".join(ids)).decode()
    texts = [text[at : at + 32] for at in range(0, 32 * rows, 32)]
    return list(map(Line, ids, texts, documents, rows_of(np.frombuffer(salts, np.uint8).reshape(rows, -1)), subjects))


def seal_many(
    lines: Sequence[Lines],
    keys: Mapping[str, SubjectKey],
    nonces: bytes,
    template: RecordTemplate,
    maker: RecordMaker,
    release: bytes,
) -> Parts:
    """The records of many lines of one form.

    Args:
        lines: at least one, each with an id of 16 bytes and a salt of 32.
        keys: of every subject in the lines.
        nonces: 12 random bytes for each line.
        template, maker, release: as for `recording.seal_lines`.

    Raises:
        ErasedError: a key is missing, or was destroyed meanwhile; nobody knows here which requests it concerns.
        ValueError: an argument has the wrong length; a mistake in our own code.
    """
    try:
        held = [keys[line.subject] for line in lines]
    except KeyError:
        raise ErasedError("there is no key for this subject just now") from None
    documents = [line.document for line in lines]
    subjects = _texts([line.subject for line in lines])
    columns = _Columns(
        ids=_column([line.id for line in lines], DECISION_ID_SIZE),
        salts=_column([line.salt for line in lines], SALT_SIZE),
        key_ids=_column([key.key_id for key in held], KEY_ID_SIZE),
        nonces=np.frombuffer(nonces, np.uint8).reshape(len(lines), NONCE_SIZE),
    )
    layout = _Layout(template, maker, release)
    sizes = np.fromiter(map(len, documents), np.int64, len(lines)) * _SIZES
    sizes += np.fromiter(map(len, subjects), np.int64, len(lines))
    if len(lines) <= PIECE and bool((sizes == sizes[0]).all()):
        return layout.seal(documents, subjects, columns, held)
    order = np.argsort(sizes, kind="stable")
    ends = {*(np.flatnonzero(np.diff(sizes[order])) + 1).tolist(), *range(PIECE, len(lines), PIECE), len(lines)}
    whole = Parts([], [], [])
    start = 0
    for end in sorted(ends):
        chosen = order[start:end]
        places = chosen.tolist()
        if end - start < FEW:
            some_nonces = columns.nonces[chosen].tobytes()
            mine = MadeRecords()
            mine.add_records(
                seal_lines([lines[place] for place in places], keys, some_nonces, 0, template, maker, release)
            )
            made = Parts(mine.contents, mine.leaves, mine.hashes)
        else:
            made = layout.seal(
                [documents[place] for place in places], [subjects[place] for place in places], columns.of(chosen),
                [held[place] for place in places],
            )  # fmt: skip
        for all_of_them, some in zip(whole, made, strict=True):
            all_of_them += some
        start = end
    back = np.argsort(order, kind="stable").tolist()
    return Parts(*[[part[place] for place in back] for part in whole])


class _Columns(NamedTuple):
    """What every line has in equal length; shape [lines, bytes] each."""

    ids: Bytes
    salts: Bytes
    key_ids: Bytes
    nonces: Bytes

    def of(self, places: NDArray[np.intp]) -> _Columns:
        return _Columns(*[column[places] for column in self])


class _Layout:
    """The constant parts of records of one caller, release and time."""

    def __init__(self, template: RecordTemplate, maker: RecordMaker, release: bytes) -> None:
        if len(release) != RELEASE_SIZE:
            raise ValueError(f"a release digest has {RELEASE_SIZE} bytes")
        self._middle, self._tail, self._release = template.middle, maker.tail, release

    def seal(self, documents: list[bytes], subjects: list[bytes], columns: _Columns, keys: list[SubjectKey]) -> Parts:
        """Lines whose documents, and whose subjects, are of one length."""
        rows = len(documents)
        texts = _column(documents, len(documents[0]))
        answers = _base64(texts)
        salts = _base64(columns.salts)
        names = _column(subjects, len(subjects[0]))
        plain, (answer, salt, subject) = lay(
            rows, b'{"answer":"', answers.shape[1], self._middle, salts.shape[1], b'","subject":', names.shape[1],
            b',"v":1}',
        )  # fmt: skip
        plain[:, answer], plain[:, salt], plain[:, subject] = answers, salts, names

        about, (header, decision_id) = lay(rows, SEALING_CONTEXT, HEADER_SIZE, DECISION_ID_SIZE, self._release)
        prefix = len(SEALED_PREFIX)
        headers = about[:, header]
        headers[:, :prefix] = np.frombuffer(SEALED_PREFIX, np.uint8)
        headers[:, prefix : prefix + KEY_ID_SIZE] = columns.key_ids
        headers[:, prefix + KEY_ID_SIZE :] = columns.nonces
        about[:, decision_id] = columns.ids

        size = plain.shape[1] + TAG_SIZE
        parts = (
            b'{"commitment":"', 64, b'","decision_id":"', 32, b'","key_id":"', 32, b'","payload_sha256":"', 64,
            b'","payload_size":%d%b' % (HEADER_SIZE + size, self._tail),
        )  # fmt: skip
        leaf_size = sum([part if isinstance(part, int) else len(part) for part in parts])
        content, (promise, hex_id, hex_key, digest, opening, body) = lay(
            rows, entry_opening(leaf_size), *parts, HEADER_SIZE, size
        )
        content[:, opening] = headers
        content[:, hex_id], content[:, hex_key] = _hex(columns.ids), _hex(columns.key_ids)
        content[:, promise] = _hex_of(_commitments(columns.salts, texts), rows)

        width = content.shape[1]
        flat = content.reshape(-1).data
        rooms = [flat[at : at + size] for at in range(body.start, rows * width, width)]
        bound = zip(keys, rows_of(columns.nonces), rows_of(plain), rows_of(about), rooms, strict=True)
        for key, nonce, text, binding, room in bound:
            key.aead.encrypt_into(nonce, text, binding, room)
        payloads = rows_of(content[:, opening.start :])
        content[:, digest] = _hex_of([_sha256(payload).digest() for payload in payloads], rows)

        begin = len(entry_opening(leaf_size))
        marked = np.zeros((rows, 1 + leaf_size), np.uint8)
        marked[:, 1:] = content[:, begin : begin + leaf_size]
        # as `ledger.tree.leaf_hash`
        hashes = [_sha256(leaf).digest() for leaf in rows_of(marked)]
        return Parts(rows_of(content), rows_of(content[:, begin : begin + leaf_size]), hashes)


def _commitments(salts: Bytes, documents: Bytes) -> list[bytes]:
    """`ledger.leaf.commit` of each row: HMAC-SHA-256 as RFC 2104 section 2 defines it, over two plain SHA-256.

    OpenSSL 3 fetches the parts of an HMAC anew in each call, which takes as long as the hash: 2.5 microseconds a row
    against 1.6 like this (700 bytes). A salt is shorter than a block, so it is filled up with zeroes.
    """
    rows, size = documents.shape
    inner = np.empty((rows, _BLOCK + size), np.uint8)
    inner[:, :SALT_SIZE], inner[:, SALT_SIZE:_BLOCK], inner[:, _BLOCK:] = salts ^ _INNER, _INNER, documents
    outer = np.empty((rows, _BLOCK + _HASH), np.uint8)
    outer[:, :SALT_SIZE], outer[:, SALT_SIZE:_BLOCK] = salts ^ _OUTER, _OUTER
    outer[:, _BLOCK:] = _column([_sha256(row).digest() for row in rows_of(inner)], _HASH)
    return [_sha256(row).digest() for row in rows_of(outer)]


def _column(texts: list[bytes], size: int) -> Bytes:
    """Texts of one length as an array with a row for each."""
    whole = b"".join(texts)
    if set(map(len, texts)) != {size}:
        raise ValueError(f"{size} bytes are wanted of each")
    return np.frombuffer(whole, np.uint8).reshape(len(texts), size)


def _hex(array: Bytes) -> Bytes:
    return np.frombuffer(hexlify(array.tobytes()), np.uint8).reshape(len(array), -1)


def _hex_of(digests: Any, rows: int) -> Bytes:
    return np.frombuffer(hexlify(b"".join(digests)), np.uint8).reshape(rows, -1)


def _base64(array: Bytes) -> Bytes:
    """Base64 of each row."""
    rows, width = array.shape
    padding = -width % 3
    if not padding:
        return np.frombuffer(b64encode(array.tobytes()), np.uint8).reshape(rows, -1)
    padded = np.zeros((rows, width + padding), np.uint8)
    padded[:, :width] = array
    text = np.frombuffer(bytearray(b64encode(padded.tobytes())), np.uint8).reshape(rows, -1)
    text[:, -padding:] = ord("=")
    return text


def _texts(subjects: list[str]) -> list[bytes]:
    """Subjects as JSON; what stands for nobody as an empty text."""
    whole = "".join(subjects)
    if whole.isascii() and whole.isprintable() and '"' not in whole and "\\" not in whole:
        # nothing to escape, and NOBODY is not printable
        return [b'"%b"' % subject.encode() for subject in subjects]
    return [_text(subject if subject != NOBODY else "") for subject in subjects]

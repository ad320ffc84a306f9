"""Files of a batch run: the Parquet that is scored, the folder that remembers how far it got, and what comes out.

Beside the output lies, until the run is done, a folder `<output>.work`:

run.json           which input, which options, which log
<row>.intent       written and synced before the records of a chunk: their decision ids, and the size of the log then
<row>.answers      written and synced after the records are durable: the rows of the output
<row>.rejects      the rows of the rejects file, of the same chunk; written just before `.answers`

A chunk with `.answers` is done. A chunk with only `.intent` is either in the log as a whole or not at all: a batch of
the log is durable as one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from strongroom.adapters.files.safe_files import replace_atomically, sync_folder, write_private
from strongroom.encoding import canonical
from strongroom.errors import ConflictError, InvalidInputError, NotFoundError, TamperedError
from strongroom.serving.question import Values
from strongroom.vocabulary import quoted

HASH_BYTES: Final = 1 << 20
FOOTER_LIMIT: Final = 100_000
"""Columns, or row groups: a footer of more is refused before it is built in memory."""
ANSWERS: Final = pa.schema(
    [
        ("row", pa.int64()), ("subject", pa.string()), ("decision_id", pa.string()), ("score", pa.float32()),
        ("decision", pa.string()), ("model_version", pa.string()), ("release", pa.string()),
    ]
)  # fmt: skip
CODES: Final = pa.field("reason_codes", pa.list_(pa.string()))
REJECTS: Final = pa.schema([("row", pa.int64()), ("field", pa.string()), ("rule", pa.string())])
INTENT: Final = pa.schema([("row", pa.int64()), ("decision_id", pa.binary(16))])


class RowsFile:
    """A Parquet file that is scored; read as one and the same open file from the digest to the last row.

    Args:
        path: of the file.
        texts: columns that are kept as codes with a dictionary, so that one long text that many rows share is in
            memory once.

    Raises:
        NotFoundError: there is none.
        InvalidInputError: it is not Parquet, or has more than 100,000 columns or row groups.
    """

    def __init__(self, path: Path, texts: Sequence[str] = ()) -> None:
        self._name = path.name
        try:
            self._file: IO[bytes] = path.open("rb")
        except FileNotFoundError as error:
            raise NotFoundError(f"there is no file `{path.name}`") from error
        try:
            self._mark = self._look()
            digest = hashlib.sha256()
            while piece := self._file.read(HASH_BYTES):
                digest.update(piece)
            self.sha256: Final = digest.hexdigest()
            self._file.seek(0)
            self._parquet = pq.ParquetFile(self._file, thrift_container_size_limit=FOOTER_LIMIT)
            there = [name for name in texts if name in self._parquet.schema_arrow.names]
            if there:
                known = self._parquet.metadata
                self._parquet = pq.ParquetFile(self._file, metadata=known, read_dictionary=there)
        except (pa.ArrowException, ValueError, OSError) as error:
            self._file.close()
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise InvalidInputError(
                f"`{path.name}` is not a Parquet file of at most {FOOTER_LIMIT:,} columns and row groups", field="file",
                rule="parquet",
            ) from error  # fmt: skip
        self.rows: Final = int(self._parquet.metadata.num_rows)

    def demand_columns(self, features: Sequence[str], subject: str) -> None:
        """Hold the file's columns against what a model takes.

        Raises:
            InvalidInputError: a column is missing, there twice, or of a type that is no number (no text, for the
                subject).
        """
        schema = self._parquet.schema_arrow
        missing = [name for name in (*features, subject) if name not in schema.names]
        if missing:
            noun = "column" if len(missing) == 1 else "columns"
            raise InvalidInputError(f"`{self._name}` has no {noun} {quoted(missing)}", field=missing[0], rule="missing")
        for name in (*features, subject):
            found = schema.get_all_field_indices(name)
            if len(found) != 1:
                raise InvalidInputError(f"`{self._name}` has more than one column `{name}`", field=name, rule="twice")
            kind = schema.field(found[0]).type
            if pa.types.is_dictionary(kind):
                kind = kind.value_type
            number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
            text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)
            if not (text if name == subject else number or pa.types.is_decimal(kind)):
                wanted = "texts or whole numbers" if name == subject else "numbers"
                raise InvalidInputError(
                    f"column `{name}` of `{self._name}` does not hold {wanted}", field=name, rule="type"
                )

    def chunks(
        self, features: Sequence[str], subject: str, rows: int
    ) -> Iterator[tuple[int, Values, list[str | None]]]:
        """Number of the first row, values of shape [rows, features] and subjects, in the order of the file.

        Every chunk but the last has exactly `rows` rows, wherever row groups end.
        """
        for first, whole in self.tables(tuple(dict.fromkeys((*features, subject))), rows):
            yield first, _matrix(whole, features), _subjects(whole, subject, len(whole))

    def tables(self, columns: Sequence[str], rows: int) -> Iterator[tuple[int, pa.Table]]:
        """Number of the first row and a table of columns, as `chunks` has them."""
        held: list[pa.Table] = []
        count = first = 0
        for batch in self._batches(rows, columns):
            held.append(pa.Table.from_batches([batch]))
            count += len(batch)
            while count >= rows:
                whole = pa.concat_tables(held)
                yield first, whole.slice(0, rows)
                first, count = first + rows, count - rows
                held = [whole.slice(rows)] if count else []
        if count:
            yield first, pa.concat_tables(held)

    def _batches(self, rows: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        read = 0
        try:
            for batch in self._parquet.iter_batches(batch_size=rows, columns=list(columns), use_threads=False):
                read += len(batch)
                yield batch
        except (pa.ArrowException, ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise InvalidInputError(
                f"`{self._name}` is damaged: nothing after row {read - 1} can be read", field="file", rule="parquet",
                row=read,
            ) from error  # fmt: skip

    @property
    def schema(self) -> pa.Schema:
        """Columns and types."""
        return self._parquet.schema_arrow

    def demand_unchanged(self) -> None:
        """Raises ConflictError where somebody wrote to the file meanwhile."""
        if self._look() != self._mark:
            raise ConflictError(f"`{self._name}` was changed while it was scored; keep it still and score it again")

    def close(self) -> None:
        """Let go."""
        self._file.close()

    def _look(self) -> tuple[int, int]:
        found = os.fstat(self._file.fileno())
        return found.st_size, found.st_mtime_ns


def _matrix(table: pa.Table, features: Sequence[str]) -> Values:
    """Values in the contract's order; float32 where every column is that, since nothing is lost then."""
    columns = [table.column(name) for name in features]
    single = all(column.type == pa.float32() for column in columns)
    matrix = np.empty((len(table), len(columns)), np.float32 if single else np.float64)
    kind = pa.float32() if single else pa.float64()
    for place, column in enumerate(columns):
        if column.type != kind:
            if pa.types.is_dictionary(column.type):
                column = column.cast(column.type.value_type)
            if pa.types.is_boolean(column.type):
                column = column.cast(pa.uint8())
            column = column.cast(kind, safe=False)
        matrix[:, place] = column.to_numpy()
    return matrix


def _subjects(table: pa.Table, name: str, rows: int) -> list[str | None]:
    column = table.column(name).slice(0, rows)
    if column.type != pa.string():
        column = column.cast(pa.string())
    found: list[str | None] = column.to_pylist()
    return found


class RunFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`run.json`.

    Attributes:
        input_sha256: of the file that is scored.
        options: what was asked, and of which caller.
        origin: of the log.
        chunk_rows: rows of every chunk but the last.
    """

    input_sha256: str
    options: dict[str, Any]
    origin: str
    chunk_rows: int
    v: int = 1


@dataclass(frozen=True, slots=True)
class Intent:
    """What was about to be written to the log.

    Attributes:
        size: of the log before.
        rows: row in the file of each record, -1 for none.
        ids: decision id of each record.
        rejects: row, field and rule of rows that get no decision.
    """

    size: int
    rows: list[int]
    ids: list[bytes]
    rejects: list[tuple[int, str, str]]


class WorkFolder:
    """How far a run got. `step` is called with a word before and after every durable step, for tests that kill there.

    Args:
        path: of the folder.
        step: see above.
    """

    def __init__(self, path: Path, step: Callable[[str], None] = lambda _word: None) -> None:
        self.path = path
        self._step = step

    def begin(self, run: RunFile) -> RunFile:
        """Begin, or go on with, a run.

        Returns:
            The run as it was begun.

        Raises:
            ConflictError: another run was begun here.
        """
        file = self.path / "run.json"
        if file.exists():
            try:
                begun = msgspec.json.decode(file.read_bytes(), type=RunFile)
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                raise TamperedError(f"`{self.path.name}/run.json` cannot be read; see what happened to it") from error
            if msgspec.structs.replace(run, chunk_rows=begun.chunk_rows) != begun:
                raise ConflictError(
                    f"`{self.path.name}` is of a run with another input, other options, another caller or node; finish "
                    "that one, or choose another output"
                )
            return begun
        self.path.mkdir(mode=0o700, exist_ok=True)
        left = self.path.with_name(f"{self.path.name}.done")
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        write_private(file, canonical(run))
        sync_folder(self.path.parent)
        self._step("begun")
        return run

    def done(self, first_row: int) -> bool:
        """Whether a chunk is finished."""
        return self._file(first_row, "answers").exists()

    def intent(self, first_row: int) -> Intent | None:
        """What a chunk was about to write to the log, if it came so far."""
        file = self._file(first_row, "intent")
        if not file.exists():
            return None
        table = _read(file)
        about = table.schema.metadata or {}
        rejects = msgspec.json.decode(about[b"rejects"], type=list[tuple[int, str, str]])
        ids = table.column("decision_id").to_pylist()
        return Intent(int(about[b"size"]), table.column("row").to_pylist(), ids, rejects)

    def intend(self, first_row: int, intent: Intent) -> None:
        """Durable on return, before anything goes to the log."""
        about = {b"size": str(intent.size).encode(), b"rejects": msgspec.json.encode(intent.rejects)}
        schema = INTENT.with_metadata(about)
        self._write(first_row, "intent", pa.table([intent.rows, intent.ids], schema=schema))

    def finish(self, first_row: int, answers: pa.Table, rejects: pa.Table) -> None:
        """Durable on return: the chunk is done."""
        self._write(first_row, "rejects", rejects)
        self._write(first_row, "answers", answers)

    def parts(self, kind: str, first_rows: Iterable[int]) -> Iterator[pa.Table]:
        """What the chunks came to, in order."""
        for first_row in first_rows:
            yield _read(self._file(first_row, kind))

    def remove(self) -> None:
        """The run is done: first the name goes, or a kill half way would look like a run that has just begun."""
        gone = self.path.with_name(f"{self.path.name}.done")
        self.path.rename(gone)
        sync_folder(gone.parent)
        self._step("done")
        shutil.rmtree(gone)

    def _file(self, first_row: int, kind: str) -> Path:
        return self.path / f"{first_row:012d}.{kind}"

    def _write(self, first_row: int, kind: str, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        replace_atomically(self._file(first_row, kind), memoryview(sink.getvalue()), 0o600)
        self._step(kind)


def _read(file: Path) -> pa.Table:
    try:
        with pa.OSFile(str(file)) as source:
            return pa.ipc.open_file(source).read_all()
    except (pa.ArrowException, OSError) as error:
        raise TamperedError(f"`{file.parent.name}/{file.name}` cannot be read; see what happened to it") from error


def write_parquet(path: Path, schema: pa.Schema, parts: Iterable[pa.Table]) -> tuple[int, str]:
    """Write a Parquet file so that it is there whole or not at all; mode 600, since it is about persons.

    Returns:
        Rows, and SHA-256 of the file.
    """
    beside = path.with_name(f".{path.name}.new")
    rows = 0
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w+b") as file:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for part in parts:
                rows += len(part)
                writer.write_table(part.cast(schema))
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    beside.replace(path)
    sync_folder(path.parent)
    return rows, digest


def sorted_by_row(table: pa.Table) -> pa.Table:
    """In the order of the input."""
    rows = table.column("row")
    if len(rows) > 1 and not pc.all(pc.less(rows[:-1], rows[1:])).as_py():
        return table.sort_by("row")
    return table

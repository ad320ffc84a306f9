"""Portfolios as Parquet: columns in, checked; a row for each exposure out."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from strongroom.adapters.tables.score_files import HASH_BYTES, RowsFile
from strongroom.errors import InvalidInputError, TamperedError, TooLargeError
from strongroom.planning.classes import CLASSES, Floats
from strongroom.planning.portfolio import (
    COLUMNS,
    GIVEN,
    ROWS_LIMIT,
    TEXT_LIMIT,
    Column,
    Part,
    check,
    codes_of,
    demand_meant,
)
from strongroom.planning.standardised import Terms
from strongroom.planning.weighing import REASONS
from strongroom.vocabulary import one_line

PART_ROWS: Final = 65_536
FIGURES: Final = ("pd", "lgd", "ead")
ALIKE: Final = 0.88
"""From this likeness on, a name is taken for a misspelt one; shorter names than five letters only differ in form."""
ALIKE_LETTERS: Final = 5
ALIKE_COLUMNS: Final = 2_000
EXPOSURES: Final = pa.schema(
    [
        ("row", pa.int64()), ("exposure", pa.string()), ("group", pa.string()), ("class", pa.string()),
        ("treatment", pa.string()), ("pd", pa.float64()), ("lgd", pa.float64()), ("ead", pa.float64()),
        ("risk_weight", pa.float64()), ("rwa", pa.float64()), ("standardised_rwa", pa.float64()),
        ("expected_loss", pa.float64()), ("stage", pa.int8()), ("ecl_12m", pa.float64()),
        ("ecl_lifetime", pa.float64()), ("ecl", pa.float64()), ("pd_decision_id", pa.string()),
        ("lgd_decision_id", pa.string()), ("ead_decision_id", pa.string()),
    ]
)  # fmt: skip
_FIELDS: Final = {
    "drawn": "drawn", "turnover_m": "turnover_m", "maturity_years": "maturity_years",
    "collateral_share": "collateral_share", "ltv": "ltv", "days_past_due": "days_past_due", "elbe": "elbe",
    "provisions": "provisions", "origination_pd": "origination_pd", "eir": "eir", "months": "remaining_months",
    "classes": "class", "commitments": "commitment", "collateral": "collateral", "ratings": "rating",
    "amortisation": "amortisation", "slots": "slot", "dilution": "dilution",
}  # fmt: skip
"""Attributes of a part by the column that they are of."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Answers of a model for the rows of a portfolio.

    Attributes:
        score: shape [rows], NaN for a row without a decision.
        place: shape [rows], place of each row's answer, -1 for none.
        ids: decision ids, one an answer.
    """

    score: Floats
    place: NDArray[np.int64]
    ids: pa.ChunkedArray

    def ids_of(self, first: int, rows: int) -> pa.Array:
        """Decision ids of a part; null for a row without one."""
        places = self.place[first : first + rows]
        found = self.ids.take(pa.array(places, pa.int64(), mask=places < 0))
        return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def read_answers(path: Path, sha256: str, rows: int) -> Scored:
    """The answers of `strongroom score --node`, held against the digest that its proof names.

    Args:
        path: of the answers.
        sha256: as the proof has it.
        rows: of the portfolio.

    Raises:
        TamperedError: these are not the bytes that the proof is about.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(HASH_BYTES):
            digest.update(piece)
        if digest.hexdigest() != sha256:
            raise TamperedError(f"`{path.name}` is not the file that its proof is about; see what happened to it")
        file.seek(0)
        table = pq.read_table(file, columns=["row", "score", "decision_id"], use_threads=False)
    where = table.column("row").to_numpy()
    if len(where) and (where.min() < 0 or where.max() >= rows):
        raise TamperedError(f"`{path.name}` holds rows that the portfolio does not have; see what happened to it")
    score, place = np.full(rows, np.nan), np.full(rows, -1, np.int64)
    score[where] = table.column("score").cast(pa.float64()).to_numpy()
    place[where] = np.arange(len(where))
    return Scored(score, place, table.column("decision_id"))


class PortfolioFile:
    """A portfolio, read as one and the same open file from the digest to the last row.

    Args:
        path: of the file.
        given: column of each figure that is given with the portfolio.

    Raises:
        NotFoundError: there is none.
        InvalidInputError: not Parquet, or a column is missing, there twice or of a type that does not fit.
        TooLargeError: too many rows.
    """

    def __init__(self, path: Path, given: Mapping[Any, str]) -> None:
        self._name = path.name
        self._file = RowsFile(path, [column.name for column in COLUMNS if column.kind in ("text", "choice")])
        self.rows: Final = self._file.rows
        self.sha256: Final = self._file.sha256
        self._given = {figure: GIVEN[figure]._replace(name=name) for figure, name in given.items()}
        try:
            if not self.rows:
                raise InvalidInputError(
                    f"`{path.name}` has no rows; a portfolio has one for each exposure", field="file", rule="rows"
                )
            if self.rows > ROWS_LIMIT:
                raise TooLargeError(
                    f"`{path.name}` has {self.rows:,} rows, and a portfolio at most {ROWS_LIMIT:,}; plan it in parts",
                    field="file",
                    rule="rows",
                )
            self._demand_all()
            self._there = {column.name for column in COLUMNS if not self._empty(column) and self._demand(column)}
            for column in self._given.values():
                self._demand(column)
            self._refuse_misspelt()
        except InvalidInputError:
            self.close()
            raise

    def close(self) -> None:
        """Let go."""
        self._file.close()

    def demand_unchanged(self) -> None:
        """Raises ConflictError where somebody wrote to the file meanwhile."""
        self._file.demand_unchanged()

    def _demand_all(self) -> None:
        """Name every column that must be there and is not."""
        wanted = [*(column for column in COLUMNS if column.required), *self._given.values()]
        missing = [column for column in wanted if column.name not in self._file.schema.names]
        if missing:
            told = ", ".join(f"`{one_line(column.name[:80])}` ({column.words})" for column in missing)
            noun = "column" if len(missing) == 1 else "columns"
            raise InvalidInputError(f"`{self._name}` has no {noun} {told}", field=missing[0].name, rule="missing")

    def _empty(self, column: Column) -> bool:
        """Whether it holds nulls alone, and may: as much as a column that is not there."""
        found = self._file.schema.get_all_field_indices(column.name)
        return len(found) == 1 and not column.required and pa.types.is_null(self._file.schema.field(found[0]).type)

    @property
    def by_default(self) -> tuple[str, ...]:
        """Columns that are not there, each taken at its default."""
        return tuple(column.name for column in COLUMNS if column.name not in self._there)

    def _refuse_misspelt(self) -> None:
        """A `Limit` that is not read would leave the undrawn out, and nobody would know."""
        absent = {_plain(column.name): column for column in COLUMNS if column.name not in self._file.schema.names}
        known = {*(column.name for column in (*COLUMNS, *self._given.values()))}
        others = [name for name in self._file.schema.names if name not in known]
        long = [name for name in absent if len(name) >= ALIKE_LETTERS]
        for name in others:
            plain = _plain(name[:TEXT_LIMIT])
            alike = [plain] if plain in absent else []
            if not alike and len(plain) >= ALIKE_LETTERS and len(others) <= ALIKE_COLUMNS:
                alike = difflib.get_close_matches(plain, long, 1, ALIKE)
            if alike:
                meant, called = absent[alike[0]], one_line(name[:80])
                raise InvalidInputError(
                    f"`{self._name}` has a column `{called}` and none called `{meant.name}` ({meant.words}); "
                    f"rename it, or if it is something else add `{meant.name}` with nulls",
                    field=meant.name, rule="misspelt",
                )  # fmt: skip

    def _demand(self, column: Column) -> bool:
        schema = self._file.schema
        found = schema.get_all_field_indices(column.name)
        if not found:
            return False
        if len(found) != 1:
            raise InvalidInputError(
                f"`{self._name}` has more than one column `{column.name}` ({column.words})", field=column.name,
                rule="twice",
            )  # fmt: skip
        kind = schema.field(found[0]).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        whole, real = pa.types.is_integer(kind), pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        fits = {
            "text": text or whole, "choice": text, "flag": pa.types.is_boolean(kind), "number": whole or real,
            "whole": whole or real,
        }[column.kind]  # fmt: skip
        if not fits:
            wanted = {"text": "texts", "choice": "texts", "flag": "true and false"}.get(column.kind, "numbers")
            raise InvalidInputError(
                f"column `{column.name}` of `{self._name}` does not hold {wanted}", field=column.name, rule="type"
            )
        return True

    def check(self, look: Callable[[Part], None] = lambda _part: None) -> None:
        """Look at every value once, before anything is scored.

        Args:
            look: at each part, as it is without scores.

        Raises:
            InvalidInputError: a value breaks its column's rule, or an exposure is there twice.
        """
        for part, _ in self.parts({}, 90.0):
            look(part)
        if "segment" in self._there:
            for first, table in self._file.tables(("segment",), PART_ROWS):
                _refuse_long("segment", table.column("segment"), first)
        codes = _codes(self._whole("exposure"))
        order = np.argsort(codes, kind="stable")
        again = np.flatnonzero(codes[order[1:]] == codes[order[:-1]])
        if len(again):
            later = order[again + 1]
            place = int(np.argmin(later))
            raise InvalidInputError(
                f"column `exposure` names one exposure in rows {order[again[place]]} and {later[place]}; {len(again)} "
                "rows repeat an earlier one",
                field="exposure", rule="twice", row=int(later[place]),
            )  # fmt: skip

    def parts(
        self, scored: Mapping[str, Scored], default_days: float, *, factor: bool = False
    ) -> Iterator[tuple[Part, pa.Table]]:
        """The portfolio in parts, with the texts of each.

        Args:
            scored: answers by figure.
            default_days: more days past due than this are in default, whatever the flag says.
            factor: the EAD's figure is a conversion factor of the undrawn amount.

        Raises:
            InvalidInputError: a value breaks its column's rule.
        """
        columns = [name for name in self._there if name not in ("group", "segment", "exposure")]
        texts = [name for name in ("exposure", "group") if name in self._there]
        wanted = list(dict.fromkeys((*columns, *texts, *(one.name for one in self._given.values()))))
        for first, table in self._file.tables(wanted, PART_ROWS):
            yield self._part(first, table, scored, default_days, factor), self._texts(first, table)

    def _part(
        self, first: int, table: pa.Table, scored: Mapping[str, Scored], default_days: float, factor: bool
    ) -> Part:
        found: dict[str, Any] = {
            column.name: self._values(column, first, table) for column in COLUMNS if column.kind != "text"
        }
        for name in ("holding", "slot"):
            demand_meant(name, found[name], found["class"], first)
        figures: dict[str, Any] = {}
        for figure in FIGURES:
            column = self._given.get(figure, GIVEN[figure])
            if figure in self._given:
                values = _numbers(column.name, table.column(column.name), first)
            elif figure in scored:
                values = scored[figure].score[first : first + len(table)]
                column = column._replace(name=f"the model's {figure}")
            else:
                values = np.full(len(table), np.nan)
            if figure == "ead" and factor:
                column = column._replace(low=-10.0, high=10.0)
            elif figure == "lgd" and figure in scored:
                # a regression may say that more than all comes back; nothing below is planned with
                column = column._replace(low=-10.0)
            figures[figure] = check(column, values, first)
        drawn = found["drawn"]
        limit = np.where(np.isnan(found["limit"]), drawn, found["limit"])
        figures["lgd"] = np.maximum(figures["lgd"], 0.0)
        if factor:
            figures["ead"] = np.maximum(drawn + figures["ead"] * np.maximum(limit - drawn, 0.0), 0.0)
        return Part(
            first_row=first,
            standardised=found["approach"] == 1,
            limit=limit,
            large_financial=found["large_financial"] == 1,
            terms=Terms(
                short=found["short_term"] == 1,
                local=found["local_currency"] == 1,
                listed=found["listed"] == 1,
                subordinated=found["subordinated"] == 1,
                secured_by=found["property"],
                phase=found["phase"],
                holding=found["holding"],
                backer=found["backer_rating"],
            ),
            defaulted=(found["defaulted"] == 1) | (found["days_past_due"] > default_days),
            **{name: found[column] for name, column in _FIELDS.items()},
            **figures,
        )

    def _values(self, column: Column, first: int, table: pa.Table) -> Any:
        if column.name not in self._there:
            kind = np.int8 if column.kind == "choice" else np.float64
            return np.full(len(table), column.default, kind)
        values = table.column(column.name)
        if column.kind != "choice":
            return check(column, _numbers(column.name, values, first), first)
        _refuse_other_bytes(column.name, values, first)
        if not pa.types.is_dictionary(values.type):
            values = values.dictionary_encode()
        encoded = values.unify_dictionaries().combine_chunks()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = pa.concat_arrays(encoded.chunks)
        indices = encoded.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
        return codes_of(column, encoded.dictionary.to_pylist(), indices, first)

    def _texts(self, first: int, table: pa.Table) -> pa.Table:
        for column in ("exposure", "group"):
            if column in self._there:
                _refuse_long(column, table.column(column), first)
        names = table.column("exposure").cast(pa.string())
        if names.null_count:
            row = first + pc.index(names.is_null(), True).as_py()
            raise InvalidInputError(
                f"column `exposure` is empty, and may not be, first in row {row}",
                field="exposure",
                rule="missing",
                row=row,
            )
        groups = table.column("group").cast(pa.string()) if "group" in self._there else names
        groups = pc.coalesce(groups, names)
        return pa.table({"exposure": names, "group": groups})

    def groups(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Codes of the groups of connected clients and of the segments. Shape [rows] each."""
        clients = self._whole("group") if "group" in self._there else self._whole("exposure")
        if "group" in self._there and clients.null_count:
            clients = pc.coalesce(clients, self._whole("exposure"))
        segments = self._whole("segment") if "segment" in self._there else self._whole("class")
        if segments.null_count:
            segments = pc.coalesce(segments, self._whole("class"))
        return _codes(clients), _codes(segments)

    def _whole(self, name: str) -> pa.ChunkedArray:
        found = [table.column(name).cast(pa.string()) for _, table in self._file.tables((name,), PART_ROWS)]
        return pa.chunked_array([chunk for one in found for chunk in one.chunks])


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _codes(values: pa.ChunkedArray) -> NDArray[np.int64]:
    encoded = values.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = pa.concat_arrays(encoded.chunks)
    found: NDArray[np.int64] = encoded.indices.to_numpy().astype(np.int64)
    return found


def _refuse_other_bytes(column: str, values: pa.ChunkedArray, first: int) -> None:
    """Refuse bytes in a column of texts that are no UTF-8: Parquet's readers do not look."""
    at = first
    for chunk in values.chunks:
        held = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
        try:
            held.validate(full=True)
        except pa.ArrowInvalid as error:
            raise InvalidInputError(
                f"column `{column}` holds bytes that are no UTF-8, in rows {at} to {at + len(chunk) - 1}", field=column,
                rule="utf-8", row=at,
            ) from error  # fmt: skip
        at += len(chunk)


def _refuse_long(column: str, values: pa.ChunkedArray, first: int) -> None:
    """Refuse texts of more than 128 characters, before a dictionary is written out row by row."""
    if pa.types.is_integer(values.type):
        return
    _refuse_other_bytes(column, values, first)
    at = first
    for chunk in values.chunks:
        coded = pa.types.is_dictionary(chunk.type)
        long = pc.greater(pc.utf8_length(chunk.dictionary if coded else chunk), TEXT_LIMIT)
        found = long.take(chunk.indices) if coded else long
        if pc.any(found).as_py():
            row = at + pc.index(found, True).as_py()
            raise InvalidInputError(
                f"column `{column}` holds texts of at most {TEXT_LIMIT} characters, and a longer one in row {row}",
                field=column, rule="length", row=row,
            )  # fmt: skip
        at += len(chunk)


def _numbers(column: str, values: pa.ChunkedArray, first: int) -> Floats:
    """Numbers of a column, NaN for null.

    Raises:
        InvalidInputError: a NaN in the file: null says that nothing is known, NaN that something went wrong before.
    """
    if pa.types.is_floating(values.type) and pc.any(broken := pc.is_nan(values)).as_py():
        row = first + pc.index(broken, True).as_py()
        raise InvalidInputError(
            f"column `{column}` holds NaN, which is no number, first in row {row}; what is not known is null",
            field=column, rule="nan", row=row,
        )  # fmt: skip
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    found: Floats = values.cast(pa.float64(), safe=False).to_numpy()
    return found


def exposures_table(part: Part, texts: pa.Table, columns: Mapping[str, Any], scored: Mapping[str, Scored]) -> pa.Table:
    """The rows of a part as they are written.

    Args:
        part: of the portfolio.
        texts: of `PortfolioFile.parts`.
        columns: of `plan.rows_of`.
        scored: answers by figure.
    """
    rows = len(part)
    found: dict[str, Any] = {
        "row": pa.array(np.arange(part.first_row, part.first_row + rows)),
        "exposure": texts.column("exposure"),
        "group": texts.column("group"),
        "class": _words(CLASSES, part.classes),
        **{name: pa.array(values, from_pandas=True) for name, values in columns.items()},
        "treatment": _words(REASONS, columns["treatment"]),
    }
    for figure in FIGURES:
        ids = scored[figure].ids_of(part.first_row, rows) if figure in scored else pa.nulls(rows, pa.string())
        found[f"{figure}_decision_id"] = ids
    return pa.table([found[name] for name in EXPOSURES.names], names=EXPOSURES.names).cast(EXPOSURES)


def _words(words: Sequence[str], codes: NDArray[np.int8]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(words)).cast(pa.string())

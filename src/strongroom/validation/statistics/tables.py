"""Samples as bytes of Parquet, read into arrays in the contract's order. No value is ever quoted in a message."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from strongroom.errors import InvalidInputError
from strongroom.registry.contract import Feature, InputContract, ModelContract, bound
from strongroom.registry.kinds import CONTRACTS
from strongroom.validation.results import NotEvaluable
from strongroom.vocabulary import is_plain

Rows = npt.NDArray[np.float32]
PERIODS_LIMIT = 1_000_000
"""Periods of a time series lie between this and its negative."""
LARGEST = 1e18
"""No outcome, amount or weight of a sample lies beyond this or its negative: sums of squares of them stay finite."""
LABEL_LIMIT = 64
"""Characters of a group's name at most: it stands in sentences and tables of the report."""


def read_table(data: bytes, what: str) -> pa.Table:
    """Read a sample.

    Args:
        data: bytes of a Parquet file.
        what: its role, for messages.

    Raises:
        InvalidInputError: not Parquet, or without rows.
    """
    try:
        table = pq.read_table(pa.BufferReader(data), use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InvalidInputError(f"the {what} sample is not a Parquet file", field=what, rule="parquet") from error
    if table.num_rows == 0:
        raise InvalidInputError(f"the {what} sample has no rows", field=what, rule="rows")
    return table


def numbers(table: pa.Table, column: str, what: str) -> npt.NDArray[np.float64]:
    """A numeric column as float64; missing is NaN.

    Raises:
        InvalidInputError: absent, twice there, or not numeric.
    """
    if table.column_names.count(column) != 1:
        raise InvalidInputError(f"the {what} sample needs one column `{column}`", field=column, rule="column")
    values = table.column(column)
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_boolean(values.type)):
        raise InvalidInputError(f"column `{column}` of the {what} sample is not numeric", field=column, rule="type")
    # whole numbers beyond 2**53 are rounded, not refused: what a feature may be says the contract
    array: npt.NDArray[np.float64] = values.cast(pa.float64(), safe=False).to_numpy().astype(np.float64)
    return array


def feature_rows(table: pa.Table, contract: InputContract, what: str) -> Rows:
    """The features in the contract's order, float32, shape [rows, features]; missing is NaN."""
    columns = [numbers(table, feature.name, what) for feature in contract.features]
    with np.errstate(over="ignore"):  # beyond float32 is infinite, which no contract lets in
        return np.ascontiguousarray(np.column_stack(columns), dtype=np.float32)


def outcomes(table: pa.Table, column: str, what: str) -> npt.NDArray[np.int64]:
    """The outcome column: 1 default, 0 none.

    Raises:
        InvalidInputError: some row has neither.
    """
    values = numbers(table, column, what)
    if not np.isin(values, (0.0, 1.0)).all():
        raise InvalidInputError(f"outcome `{column}` of the {what} sample is not 0 or 1 in every row", field=column)
    return values.astype(np.int64)


def outcome_column(table: pa.Table, contract: ModelContract, what: str) -> npt.NDArray[Any]:
    """The outcome as the kind has it: 0 or 1 (int64), or a finite number within the contract's range (float64).

    Raises:
        InvalidInputError: absent, or some row is out of its form.
    """
    column = contract.samples.outcome
    if CONTRACTS[contract.kind].outcome == "event":
        return outcomes(table, column, what)
    values = numbers(table, column, what)
    low, high = contract.outcome_range
    if not ((np.abs(values) <= LARGEST) & (values >= low) & (values <= high)).all():
        raise InvalidInputError(
            f"outcome `{column}` of the {what} sample is not a number within the contract's range in every row",
            field=column, rule="outcome",
        )  # fmt: skip
    return values


def sample_columns(table: pa.Table, contract: ModelContract, what: str) -> dict[str, npt.NDArray[np.float64]]:
    """The further columns that the contract's `[outcome]` names, by what they hold.

    One that is optional for the kind may be absent, or hold anything that is a number.

    Raises:
        InvalidInputError: absent, not finite in every row, an exposure or weight not above 0, a limit or amount below
            0, a downturn mark other than 0 and 1, or an origin that is no number of a period.
    """
    found = {}
    for name, column in contract.sample_columns.items():
        if name in CONTRACTS[contract.kind].optional_columns:
            if column in table.column_names:
                found[name] = numbers(table, column, what)
            continue
        values = numbers(table, column, what)
        sound = np.abs(values) <= LARGEST
        if name == "exposure":
            sound &= values > 0.0
        elif name in ("limit", "amount"):
            sound &= values >= 0.0
        elif name == "weight":
            sound &= values > 0.0
        elif name == "origin":
            sound &= (np.rint(values) == values) & (np.abs(values) < PERIODS_LIMIT)
        elif name == "downturn":
            sound &= np.isin(values, (0.0, 1.0))
        if not sound.all():
            raise InvalidInputError(
                f"column `{column}` of the {what} sample holds a row that cannot be its {name}",
                field=column, rule=name,
            )  # fmt: skip
        found[name] = values
    return found


def labels(table: pa.Table, column: str, what: str) -> list[str]:
    """A column of groups as text; missing is a group of its own.

    Raises:
        InvalidInputError: absent, or a group's name is too long, or holds what would turn or hide the words around it.
    """
    if table.column_names.count(column) != 1:
        raise InvalidInputError(f"the {what} sample needs one column `{column}`", field=column, rule="column")
    found = ["missing" if value is None else _label(value) for value in table.column(column).to_pylist()]
    if not all(len(name) <= LABEL_LIMIT and is_plain(name) for name in set(found)):
        raise InvalidInputError(
            f"a group of `{column}` in the {what} sample has a name of more than {LABEL_LIMIT} characters or with "
            "control characters; give groups short plain names",
            field=column, rule="label",
        )  # fmt: skip
    return found


def _label(value: object) -> str:
    """A code that a table keeps as a float is a whole number to people: 2, not 2.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def subject_column(data: bytes, column: str, what: str) -> list[str | None] | NotEvaluable:
    """Whom each row is about, as text; None where a row names nobody. Nothing else of the sample is read.

    Args:
        data: bytes of a Parquet file that was read before.
        column: of whole numbers or texts.
        what: its role, for messages.
    """
    file = pq.ParquetFile(pa.BufferReader(data))
    if file.schema_arrow.names.count(column) != 1:
        return NotEvaluable(f"the {what} sample has no column `{column}` that tells whom a row is about")
    values = file.read([column], use_threads=False).column(0)
    if not (
        pa.types.is_integer(values.type) or pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
    ):
        return NotEvaluable(f"column `{column}` of the {what} sample holds neither whole numbers nor texts")
    try:
        found: list[str | None] = values.cast(pa.string()).to_pylist()
    except UnicodeDecodeError:
        return NotEvaluable(f"column `{column}` of the {what} sample holds texts that are no UTF-8")
    return found


def outside(rows: Rows, contract: InputContract) -> npt.NDArray[np.bool_]:
    """Rows that the gateway would refuse, shape [rows]."""
    refused = np.zeros(len(rows), dtype=np.bool_)
    for place, feature in enumerate(contract.features):
        refused |= _outside(rows[:, place].astype(np.float64), feature)
    return refused


def _outside(values: npt.NDArray[np.float64], feature: Feature) -> npt.NDArray[np.bool_]:
    missing = np.isnan(values)
    low, high = bound(feature.minimum), bound(feature.maximum)
    bad = np.isinf(values)
    bad |= values < (-math.inf if low is None else low)
    bad |= values > (math.inf if high is None else high)
    if feature.type != "float":
        whole = np.where(np.isfinite(values), values, 0.0)
        bad |= (whole != np.rint(whole)) | (np.abs(whole) > 2**24)
    if feature.allowed is not None:
        bad |= ~np.isin(values, np.asarray(feature.allowed, dtype=np.float64))
    return np.where(missing, feature.missing == "refuse", bad)

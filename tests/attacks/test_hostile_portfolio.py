"""Portfolio files that somebody made to break the reader: each is refused in words, before a model is asked or a folder
made."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strongroom.adapters.tables import score_files
from strongroom.errors import InvalidInputError
from strongroom.wiring.planning import plan
from tests.planning import house
from tests.planning.test_plan import job

ROWS = 210


def changed(**columns: Any) -> pa.Table:
    return pa.table({**house.columns(), **columns})


def raw_texts(values: list[bytes]) -> pa.Array:
    """Texts whose bytes nobody looked at, as a careless writer makes them."""
    return pa.Array.from_buffers(pa.string(), len(values), [None, *pa.array(values, pa.binary()).buffers()[1:]])


def damaged(file: Path) -> None:
    data = bytearray(file.read_bytes())
    where = pq.ParquetFile(file).metadata.row_group(0).column(2).data_page_offset
    data[where : where + 400] = b"\xff" * 400
    file.write_bytes(data)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-200])


HOSTILE: dict[str, tuple[pa.Table, str, str]] = {
    "lists for numbers": (changed(drawn=pa.array([[1.0]] * ROWS)), "drawn", "type"),
    "records for numbers": (changed(drawn=pa.array([{"a": 1.0}] * ROWS)), "drawn", "type"),
    "moments for numbers": (changed(eir=pa.array([0] * ROWS, pa.timestamp("us"))), "eir", "type"),
    "bytes for texts": (changed(exposure=pa.array([b"%d" % n for n in range(ROWS)])), "exposure", "type"),
    "nothing but null": (changed(drawn=pa.nulls(ROWS)), "drawn", "type"),
    "a number of 30 digits": (changed(drawn=pa.array(["9" * 30] * ROWS).cast(pa.decimal128(38))), "drawn", "range"),
    "the largest whole number": (changed(drawn=pa.array([2**64 - 1] * ROWS, pa.uint64())), "drawn", "range"),
    "an exposure's bytes that are no UTF-8": (
        changed(exposure=raw_texts([b"\xff%d" % n for n in range(ROWS)])), "exposure", "utf-8",
    ),
    "a class's bytes that are no UTF-8": (changed(**{"class": raw_texts([b"\xff"] * ROWS)}), "class", "utf-8"),
    "a class of a hundred thousand letters": (changed(**{"class": ["x" * 100_000] * ROWS}), "class", "choice"),
    "a column there twice": (
        pa.table([*changed().columns, changed()["drawn"]], names=[*changed().column_names, "drawn"]), "drawn", "twice",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_column_is_refused_with_its_name(case: str, tmp_path: Path) -> None:
    table, field, rule = HOSTILE[case]
    wanted = job(tmp_path)
    pq.write_table(table, wanted.portfolio)
    with pytest.raises(InvalidInputError, match=f"`{field}`") as refused:
        plan(wanted)
    assert (refused.value.details["field"], refused.value.details["rule"]) == (field, rule)
    assert len(refused.value.message) < 400
    assert not wanted.output.exists()


@pytest.mark.parametrize("change", [damaged, cut])
def test_a_damaged_file_is_refused_as_one(change: Callable[[Path], None], tmp_path: Path) -> None:
    wanted = job(tmp_path)
    change(wanted.portfolio)
    with pytest.raises(InvalidInputError, match=r"damaged|not a Parquet file"):
        plan(wanted)
    assert not wanted.output.exists()


def test_a_footer_of_too_many_columns_is_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_files, "FOOTER_LIMIT", 400)
    wanted = job(tmp_path)
    plan(wanted)
    wide = changed(**{f"c{n}": np.zeros(ROWS, np.int8) for n in range(500)})
    pq.write_table(wide, wanted.portfolio)
    with pytest.raises(InvalidInputError, match="at most 400 columns"):
        plan(job_again(wanted, tmp_path / "wide"))


def job_again(wanted: Any, output: Path) -> Any:
    return type(wanted)(**{name: getattr(wanted, name) for name in wanted.__slots__} | {"output": output})


def test_one_long_text_of_many_rows_is_in_memory_once(tmp_path: Path) -> None:
    """A dictionary of one text of 4 MB for 500 rows would be 2 GB written out."""
    rows = 500
    table = pa.table({**house.columns(rows), "group": pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(rows, np.int32)), pa.array(["x" * 4_000_000])
    )})  # fmt: skip
    wanted = job(tmp_path)
    pq.write_table(table, wanted.portfolio, dictionary_pagesize_limit=1 << 24)
    assert wanted.portfolio.stat().st_size < 6_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        InvalidInputError, match="`group` holds texts of at most 128 characters, and a longer one in row 0"
    ):
        plan(wanted)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000

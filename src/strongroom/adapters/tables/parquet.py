"""Parquet as bytes."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from strongroom.errors import InvalidInputError


def parquet_rows(data: bytes) -> int:
    """How many rows a Parquet file has, read from its footer.

    Raises:
        InvalidInputError: it is not Parquet.
    """
    try:
        return int(pq.read_metadata(io.BytesIO(data)).num_rows)
    except (pa.ArrowException, OSError) as error:
        raise InvalidInputError("the file is not Parquet", rule="parquet") from error

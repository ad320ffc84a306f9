"""The control plane's tables. Only types that SQLite and PostgreSQL share; times are microseconds, digests are text.

What is asked for stands in columns; the rest of a thing stands beside it as one JSON document, so that a new field of a
noun needs no migration.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table

REVISION = "0003"
"""The migration that makes exactly these tables; a test holds both together."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

outbox = Table(
    "outbox",
    metadata,
    # SQLite counts up only an INTEGER key; PostgreSQL gets a sequence
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("act_id", String(32), nullable=False, unique=True),
    Column("entry", LargeBinary, nullable=False),
    Column("origin", String(400), nullable=True),
    Column("entry_index", BigInteger, nullable=True),
    Index("ix_outbox_pending", "entry_index", "position"),
)

versions = Table(
    "versions",
    metadata,
    Column("model", String(63), primary_key=True),
    Column("manifest", String(64), primary_key=True),
    Column("submitted_us", BigInteger, nullable=False),
    Column("document", LargeBinary, nullable=False),
)

pointers = Table(
    "pointers",
    metadata,
    Column("model", String(63), primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("document", LargeBinary, nullable=False),
)

cases = Table(
    "cases",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("model", String(63), nullable=False),
    Column("manifest", String(64), nullable=False),
    Column("opened_us", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Index("ix_cases_version", "model", "manifest"),
)

grants = Table(
    "grants",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("document", LargeBinary, nullable=False),
)

nonces = Table(
    "nonces",
    metadata,
    Column("key_id", String(64), primary_key=True),
    Column("nonce", String(32), primary_key=True),
    Column("until_us", BigInteger, nullable=False, index=True),
)

erasures = Table(
    "erasures",
    metadata,
    Column("region", String(6), primary_key=True),
    Column("tag", String(64), primary_key=True),
    Column("requested_us", BigInteger, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False, index=True),
    Column("document", LargeBinary, nullable=False),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("model", String(63), primary_key=True),
    Column("decision_id", String(32), primary_key=True),
    Column("outcome", Integer, nullable=False),
    Column("observed_us", BigInteger, nullable=False),
)

realised = Table(
    "realised",
    metadata,
    Column("model", String(63), primary_key=True),
    Column("decision_id", String(32), primary_key=True),
    Column("amount", String(40), nullable=False),
    Column("observed_us", BigInteger, nullable=False),
)

"""The policies that are shipped, parsed once."""

from __future__ import annotations

from importlib.resources import files

import pytest

from strongroom.adapters.policies.cedar import CedarEngine

POLICIES = files("strongroom") / "policies"


@pytest.fixture(scope="session")
def shipped() -> tuple[bytes, bytes]:
    """The policies and their schema, as bytes."""
    return (POLICIES / "access.cedar").read_bytes(), (POLICIES / "access.cedarschema").read_bytes()


@pytest.fixture(scope="session")
def engine(shipped: tuple[bytes, bytes]) -> CedarEngine:
    return CedarEngine(*shipped)

"""The limits in the grants: absent unless used, whole numbers, each in its place."""

from __future__ import annotations

import json

import msgspec
import pytest

from strongroom.access.allowance import Allowance, NamedAllowance, SharedLimits
from strongroom.access.grants import Grants
from strongroom.encoding import canonical
from strongroom.errors import InvalidInputError
from tests.access.issuing import grants

LIMITS = {"concurrent": 8, "requests_per_s": 100, "weight": 3}


def document(**changes: object) -> bytes:
    plain = json.loads(grants().encode())
    return canonical(plain | changes)


def with_limits(limits: object) -> bytes:
    plain = json.loads(grants().encode())
    plain["systems"][0]["limits"] = limits
    return canonical(plain)


def test_a_document_without_limits_keeps_its_bytes() -> None:
    assert b'"limits"' not in grants().encode()


def test_limits_are_read_as_they_were_written() -> None:
    data = with_limits(LIMITS)
    read = Grants.decode(data)
    assert read.encode() == data
    assert read.systems[0].limits == Allowance(requests_per_s=100, concurrent=8, weight=3)
    shared = {
        "models": [{"limits": {"concurrent": 5}, "name": "pd-cards"}],
        "units": [{"limits": {"rows_per_s": 9}, "name": "retail"}],
    }
    data = document(limits=shared)
    units, models = Grants.decode(data).shared_limits
    assert units == {"retail": Allowance(rows_per_s=9)}
    assert models == {"pd-cards": Allowance(concurrent=5)}
    assert Grants.decode(data).encode() == data


@pytest.mark.parametrize(
    "limits",
    [
        {},
        None,
        {"requests_per_s": 0},
        {"requests_per_s": -1},
        {"requests_per_s": None},
        {"requests_per_s": True},
        {"requests_per_s": "100"},
        {"requests_per_s": 10**9 + 1},
        {"burst": 5},
        {"weight": 101},
        {"per_day": 4},
    ],
    ids=str,
)
def test_limits_of_a_system_that_are_refused(limits: object) -> None:
    with pytest.raises(InvalidInputError):
        Grants.decode(with_limits(limits))


@pytest.mark.parametrize(
    "shared",
    [
        {},
        None,
        {"units": []},
        {"units": [{"limits": {"weight": 2}, "name": "retail"}]},
        {"units": [{"limits": {}, "name": "retail"}]},
        {"units": [{"limits": {"rows": 2}, "name": "Not A Name"}]},
        {"models": [{"limits": {"rows": 2}, "name": "b"}, {"limits": {"rows": 2}, "name": "a"}]},
        {"models": [{"limits": {"rows": 2}, "name": "a"}, {"limits": {"rows": 3}, "name": "a"}]},
    ],
    ids=str,
)
def test_shared_limits_that_are_refused(shared: object) -> None:
    with pytest.raises(InvalidInputError):
        Grants.decode(document(limits=shared))


def test_nothing_is_limited_by_an_empty_section() -> None:
    with pytest.raises(InvalidInputError):
        SharedLimits()
    with pytest.raises(InvalidInputError):
        NamedAllowance(name="retail", limits=Allowance(weight=1))
    assert msgspec.to_builtins(Allowance(rows=1)) == {"rows": 1}

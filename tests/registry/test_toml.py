"""`model.toml`: what is read, what is refused, and with which words."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.adapters.packages.model_toml import write_contract
from strongroom.errors import InvalidInputError, TooLargeError
from strongroom.registry.packages import read_package
from strongroom.registry.toml import read_contract
from tests.registry.room import package_files

GOOD = package_files()["model.toml"].decode()


def test_round_trip() -> None:
    contract = read_package(package_files()).contract
    assert read_contract(write_contract(contract)) == contract
    assert contract.output.tensor == "probabilities"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("0.5", "0.5"),
        ("5e-1", "0.5"),
        ("0.50", "0.5"),
        ("1", "1"),
        ("1_000", "1000"),
        ('"0.50"', "0.50"),
        ("1e3", "1000.0"),
    ],
)
def test_numbers_become_text_in_one_way(written: str, read: str) -> None:
    text = GOOD.replace('minimum = "0"', f"minimum = {written}", 1)
    assert text != GOOD
    assert read_contract(text.encode()).input.features[0].minimum == read


def test_parameters_become_text() -> None:
    text = GOOD.replace("[lineage.parameters]", '[lineage.parameters]\n"eta" = 0.1\ndeep = true\nrounds = 10')
    parameters = read_contract(text.encode()).lineage.parameters
    assert (parameters["eta"], parameters["deep"], parameters["rounds"]) == ("0.1", "true", "10")


@pytest.mark.parametrize(
    ("old", "new", "field", "rule"),
    [
        ("v = 1", "v = 2", "v", "schema"),
        ("v = 1", "", "model.toml", "schema"),
        ("tier = 2", 'tier = "2"', "tier", "schema"),
        ("tier = 2", "tier = 2.0", "tier", "type"),
        ("tier = 2", "tier = 4", "tier", "schema"),
        ("tier = 2", "tier = 2\ncolour = 'red'", "model.toml", "schema"),
        ("tier = 2", "tier = 2\ntier = 2", "model.toml", "toml"),
        ("tier = 2", "tier = 2026-01-01", "tier", "type"),
        ('minimum = "18"', "minimum = inf", "model.toml", "finite"),
        ('minimum = "18"', "minimum = nan", "model.toml", "finite"),
        ('minimum = "18"', 'minimum = "NaN"', None, "bound"),
        ('minimum = "18"', "minimum = true", "input.features[1].minimum", "schema"),
        ('minimum = "18"', 'minimun = "18"', "input.features[1]", "schema"),
        ('minimum = "18"', 'minimum = "190"', "age", "range"),
        ('missing = "refuse"', 'missing = "zero"', "input.features[0].missing", "schema"),
        ('model = "model.onnx"', 'model = "../model.onnx"', "path", "path-segments"),
        ('model = "model.onnx"', 'model = "reference.parquet"', "samples", "unique"),
        ('outcome = "default"', 'outcome = "age"', "samples.outcome", "outcome"),
        ('protected = ["sex"]', "protected = []", "samples.protected", "protected"),
        ('jurisdictions = ["EU", "US-NY"]', "jurisdictions = []", "purposes", "labels"),
        ('jurisdictions = ["EU", "US-NY"]', 'jurisdictions = ["Europe"]', "jurisdiction", "jurisdiction"),
        ('name = "pd-small"', 'name = "PD small"', "model name", "name"),
        ("[lineage]", '[lineage]\nparent = "abc"', None, "digest"),
    ],
)
def test_refusals_name_the_place_and_the_rule(old: str, new: str, field: str | None, rule: str) -> None:
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    with pytest.raises(InvalidInputError) as caught:
        read_contract(text.encode())
    assert caught.value.details["rule"] == rule
    assert caught.value.details.get("field") == field


def test_limits() -> None:
    with pytest.raises(TooLargeError):
        read_contract(b"#" * (256 * 1024 + 1))
    with pytest.raises(InvalidInputError):
        read_contract(b"\xff")
    hostile = [
        "a" + ".a" * 60_000 + " = 1",
        "a = " + "[" * 100_000,
        "[" + "a." * 100_000 + "a]",
        "\n".join(f"[a.b{n}]" for n in range(20_000)),
        "a = " + "9" * 200_000,
        "a = {" * 30_000,
        "x" * 200_000,
    ]
    for text in hostile:
        start = time.process_time()
        with pytest.raises(InvalidInputError):
            read_contract(text.encode())
        assert time.process_time() - start < 2.0


@given(st.text(max_size=60))
def test_any_text_is_refused_cleanly(text: str) -> None:
    with pytest.raises(InvalidInputError):
        read_contract(text.encode("utf-8", "surrogatepass"))


@given(st.integers(0, len(GOOD) - 1), st.text(max_size=3))
def test_any_edit_is_read_or_refused_cleanly(at: int, text: str) -> None:
    edited: Any = (GOOD[:at] + text + GOOD[at + 1 :]).encode("utf-8", "surrogatepass")
    with contextlib.suppress(InvalidInputError):
        assert read_contract(edited).kind == "pd"

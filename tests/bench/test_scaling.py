"""The scaling study: shares against the small nodes around it, a plot without scripts, policies that load."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

import pytest
from bench.scaling import SIZES, SMALL, Size, plot, policies, shares, words, write_script

from strongroom.adapters.cedar import CedarEngine
from tests.serving.house import engine_files


def point(size: Size, rate: float, cost: float) -> dict[str, Any]:
    return asdict(size) | {"requests_per_s": rate, "worker_cpu_us": cost}


DOCUMENT = {"points": [point(SMALL, 900, 90), point(Size(models=200), 950, 125), point(SMALL, 1100, 110)]}


def test_a_size_counts_against_the_mean_of_the_small_nodes() -> None:
    assert words(Size(models=200, asked=20)) == "200 models, 20 of them asked"
    assert shares(DOCUMENT)[1] == ("200 models", 0.95, 0.8)
    with pytest.raises(ValueError, match="no small node"):
        shares({"points": DOCUMENT["points"][1:2]})


def test_the_last_size_but_one_is_the_largest_in_everything() -> None:
    largest = SIZES[-2]
    for name in ("models", "policies", "principals", "entries"):
        assert getattr(largest, name) == max(getattr(size, name) for size in SIZES)
    assert words(largest) == "all of the largest"
    assert SIZES[0] == SIZES[-1] == SMALL
    assert all(size.entries % 256 == 0 for size in SIZES)


def test_the_plot_is_plain_and_says_what_is_simulated() -> None:
    drawn = plot(DOCUMENT)
    ElementTree.fromstring(drawn)  # noqa: S314 - our own
    assert "<script" not in drawn
    assert "200 models" in drawn
    assert "0.95 (0.80)" in drawn
    assert "simulated" in drawn


def test_more_policies_load_beside_those_that_ship() -> None:
    shipped, schema = engine_files()
    made = policies(shipped, 60)
    assert made.count(b"@id(") == 60
    CedarEngine(made, schema)


def test_a_script_holds_no_credential_but_names_their_file(tmp_path: Any) -> None:
    script = tmp_path / "load.lua"
    write_script(script, ["Bearer one", "Bearer two"], Size(models=2))
    assert "Bearer one" not in script.read_text()
    assert (tmp_path / "load.txt").read_text() == "Bearer one\nBearer two\n"

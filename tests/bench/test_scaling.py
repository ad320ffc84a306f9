"""The scaling study: shares against a small node, a plot without scripts, policies that load."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

from bench.scaling import SIZES, SMALL, Size, plot, policies, shares, words, write_script

from strongroom.adapters.policies.cedar import CedarEngine
from tests.serving.house import engine_files


def point(size: Size, share: float, by_cpu: float) -> dict[str, Any]:
    return asdict(size) | {"share": share, "share_by_cpu": by_cpu}


DOCUMENT = {"points": [point(SMALL, 1.01, 0.99), point(Size(models=200), 0.95, 0.8)]}


def test_a_size_counts_against_the_small_node_that_was_asked_in_turn_with_it() -> None:
    assert words(Size(models=200, asked=20)) == "200 models, 20 asked"
    assert words(Size(models=200, asked=200)) == "200 models, all asked"
    assert shares(DOCUMENT) == [("small", 1.01, 0.99), ("200 models", 0.95, 0.8)]


def test_the_last_size_is_the_largest_in_everything() -> None:
    largest = SIZES[-1]
    for name in ("models", "policies", "principals", "entries"):
        assert getattr(largest, name) == max(getattr(size, name) for size in SIZES)
    assert words(largest) == "all of the largest"
    assert SIZES[0] == SMALL
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
    assert (tmp_path / "load.txt").read_text() == "Bearer oneBearer two"

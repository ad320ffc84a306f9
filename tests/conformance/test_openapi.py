"""The OpenAPI document: what stands in the documentation is what is served, and it is what the gateway does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from strongroom.errors import StrongroomError
from strongroom.web.openapi import ERRORS, document
from strongroom.web.requests import STATUS_LINES
from strongroom.web.routes import ROUTES
from strongroom.web.statuses import STATUSES

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs/reference/openapi.json"
DOCUMENT = json.loads(document())
LATER = {410, 422}
"""Statuses of errors that belong to the control plane: erasure and the sandbox."""


def test_the_file_is_what_is_served(desk):
    status, headers, body = desk.raw("GET", "/openapi.json")
    assert (status, headers[b"content-type"]) == (200, b"application/json")
    assert body == FILE.read_bytes(), "run tools/write_openapi.py"
    assert desk.raw("GET", "/openapi.json", headers={"Authorization": ""})[0] == 401


def test_every_route_is_described_and_nothing_else():
    described = {(path, verb.upper()) for path, verbs in DOCUMENT["paths"].items() for verb in verbs}
    assert described == {(route.path, route.method.decode()) for route in ROUTES}
    for route in ROUTES:
        operation = DOCUMENT["paths"][route.path][route.method.decode().lower()]
        assert operation["security"] == ([] if route.open else [{"bearer": []}])
        marks = set(re.findall(r"{(\w+)}", route.path))
        assert marks == {one["name"] for one in operation["parameters"] if one["in"] == "path"}
    identities = [operation["operationId"] for verbs in DOCUMENT["paths"].values() for operation in verbs.values()]
    assert len(set(identities)) == len(identities)


def test_every_status_that_can_be_answered_is_described():
    assert {status for kind, status in STATUSES if kind is not StrongroomError} - LATER <= set(ERRORS)
    assert set(STATUS_LINES) - LATER - {200, 501} == set(ERRORS)
    assert {int(status) for status in DOCUMENT["components"]["responses"]} == set(ERRORS)


def test_the_example_is_answered(desk):
    (example,) = DOCUMENT["components"]["schemas"]["inference_request"]["examples"]
    assert desk.ask(example)[0] == 200


def test_every_request_parameter_is_known_and_no_other(desk):
    known = DOCUMENT["components"]["schemas"]["request_parameters"]["properties"]
    (example,) = DOCUMENT["components"]["schemas"]["inference_request"]["examples"]
    for name in known:
        _, answer = desk.ask(example | {"parameters": {name: 1.5}})
        assert answer["rule"] != "unknown", name


def run(desk, folder, schema, *arguments):
    """Schemathesis against a real gateway; every check that it has, positive and negative data."""
    command = [
        str(Path(sys.executable).parent / "schemathesis"),
        "--config-file", str(Path(__file__).parent / "schemathesis.toml"), "run", str(schema),
        "--url", f"http://127.0.0.1:{desk.port}", "--header", f"Authorization: {desk.bearer}",
        "--suppress-health-check", "all", "--checks", "all", *arguments,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    found = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert found, done.stdout[-2000:]
    assert not desk.broken
    return int(found[1])


def test_schemathesis_finds_nothing(desk, tmp_path):
    before = dict(desk.tally.codes)
    # routes with a version are those without one again; the slow run has them
    arguments = (
        "--phases",
        "examples,coverage",
        "--seed",
        "1",
        "--workers",
        "2",
        "--exclude-path-regex",
        "versions|/$",
    )
    assert run(desk, tmp_path, FILE, *arguments) > 200
    for code in ("invalid-input", "not-authenticated", "method-not-allowed", "unsupported"):
        assert desk.tally.codes[code] > before.get(code, 0), code


def test_the_reference_page_and_the_document_name_the_same_parameters_and_routes():
    page = (ROOT / "docs/reference/http-api.md").read_text()
    table = page.partition("**Parameters**")[2].partition("\n\n|")[2].partition("\n\n")[0]
    named = set(re.findall(r"^\|? ?`(\w+)` \|", table, re.MULTILINE))
    assert named == set(DOCUMENT["components"]["schemas"]["request_parameters"]["properties"])
    for route in ROUTES:
        path = route.path.replace("/versions/{version}", "[/versions/{version}]")
        assert any(f"`{one}`" in page for one in (path, path.replace("{name}", "{name}[/versions/{version}]"))) or (
            route.what == "unload"
        ), route.path


@pytest.mark.slow
@pytest.mark.study
def test_schemathesis_finds_nothing_for_long(desk, tmp_path):
    arguments = ("--phases", "examples,coverage,fuzzing", "--max-time", "150", "--no-shrink")
    assert run(desk, tmp_path, FILE, *arguments) > 1000


def test_schemathesis_would_find_something(desk, tmp_path):
    """The same run over a document that is wrong in one place fails."""
    wrong = json.loads(FILE.read_text())
    wrong["components"]["schemas"]["live"]["properties"]["live"] = {"const": False}
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(wrong))
    with pytest.raises(AssertionError, match="violates schema"):
        run(desk, tmp_path, path, "--phases", "coverage", "--include-path", "/v2/health/live")

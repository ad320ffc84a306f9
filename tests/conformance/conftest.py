"""The server that the conformance suite asks: a gateway of ours, or any other that the environment names.

    OIP_URL=http://host:8000 OIP_MODEL=name OIP_HEADERS='{"authorization": "Bearer ..."}' \
    OIP_REQUEST='{"inputs": [...], "parameters": {...}}' \
    python -m pytest tests/conformance/test_open_inference_protocol.py

`OIP_REQUEST` is one good request of one row with numbers in a flat list.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import urllib3

from tests.web.gateways import Desk, gateway, question


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class Target:
    """A server, the credential for it, one of its models and a good request to it."""

    url: str
    model: str
    request: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    pool: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False))

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        given = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        found = self.pool.request(method, self.url + path, body=body, headers=given, decode_content=False, timeout=60)
        return Answer(found.status, {name.lower(): value for name, value in found.headers.items()}, found.data)

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def infer(self, document: Any = None, path: str | None = None, **headers: str) -> Answer:
        body = document if isinstance(document, bytes) else json.dumps(document or self.request).encode()
        headers.setdefault("content_type", "application/json")
        return self.ask("POST", path or f"/v2/models/{self.model}/infer", body, **headers)

    def changed(self, **first_input: Any) -> dict[str, Any]:
        """The good request with changes to its first input; what is changed to None is left out."""
        first = {name: value for name, value in (self.request["inputs"][0] | first_input).items() if value is not None}
        return self.request | {"inputs": [first, *self.request["inputs"][1:]]}

    def extensions(self) -> list[str]:
        found: list[str] = self.get("/v2").document["extensions"]
        return found


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with gateway(doorkeeper_limit=100_000) as one:
        yield one


@pytest.fixture(scope="module")
def target(request: pytest.FixtureRequest) -> Target:
    if url := os.environ.get("OIP_URL"):
        return Target(
            url.rstrip("/"), os.environ["OIP_MODEL"], json.loads(os.environ["OIP_REQUEST"]),
            json.loads(os.environ.get("OIP_HEADERS", "{}")),
        )  # fmt: skip
    ours: Desk = request.getfixturevalue("desk")
    return Target(f"http://127.0.0.1:{ours.port}", "pd-cards", question(), {"authorization": ours.bearer})

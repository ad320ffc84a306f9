"""The identity provider of these tests: a real one, in a process of its own."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

AUDIENCE = "https://gateway.bank.example"
ROOT = Path(__file__).parents[2]
MODULES = ROOT / ".oidc-provider" / "node_modules"
SCRIPT = Path(__file__).with_name("provider.mjs")


def why_not() -> str | None:
    """Why the provider cannot run here; None when it can."""
    if shutil.which("node") is None:
        return "node is not installed"
    if not (MODULES / "oidc-provider").is_dir():
        return "npm's oidc-provider is not installed; `make setup` does it where npm is"
    return None


class Provider:
    """The running provider."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["node", str(SCRIPT), str(MODULES), AUDIENCE],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.issuer: str = self._read()["issuer"]

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the provider ended"
        found: dict[str, Any] = json.loads(line)
        return found

    def tell(self, **what: Any) -> dict[str, int]:
        """Change its ways; returns how often each of its addresses was asked."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        counts: dict[str, int] = self._read()["counts"]
        return counts

    def keys(self, *named: tuple[str, str]) -> None:
        """Sign with the first of these (kid, algorithm), publish all."""
        self.tell(keys=[{"kid": kid, "alg": alg} for kid, alg in named])

    def token(self, client: str = "loans-client", certificate: bytes | None = None, resource: str = AUDIENCE) -> str:
        """An access token by the client-credentials grant."""
        connection = http.client.HTTPConnection(urlsplit(self.issuer).netloc, timeout=60)
        secret = base64.b64encode(f"{client}:correct-horse-battery-staple-000".encode()).decode()
        headers = {"Authorization": f"Basic {secret}", "Content-Type": "application/x-www-form-urlencoded"}
        if certificate is not None:
            headers["X-Test-Client-Cert"] = base64.b64encode(certificate).decode()
        form = {"grant_type": "client_credentials", "scope": "score", "resource": resource}
        connection.request("POST", "/token", urlencode(form), headers)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
        assert answer.status == 200, body
        found: str = body["access_token"]
        return found

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

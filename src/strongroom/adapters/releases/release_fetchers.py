"""How release repositories are reached: a folder, or a web server that serves it as static files.

Nothing that a fetcher returns is trusted; limits on size and time are all that it enforces.
"""

from __future__ import annotations

import http.client
import re
import ssl
import time
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError
from tuf.ngclient import FetcherInterface

from strongroom.adapters.files.safe_files import open_regular
from strongroom.adapters.network.guarded_fetch import resolve
from strongroom.adapters.network.watched_line import WatchedLine
from strongroom.errors import InvalidInputError, NotFoundError, TamperedError, UnavailableError

BASE = "release://repository/"
"""What TUF takes for the address; the fetcher knows where the repository really is."""

CHUNK_BYTES = 65_536
_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*\Z")


class ReleaseFetcher(FetcherInterface):
    """A repository by relative paths. Subclasses give `_stream`."""

    @abstractmethod
    def _stream(self, path: str) -> Iterator[bytes]:
        """Chunks of a file.

        Raises:
            DownloadHTTPError: 404 when it is not there.
            DownloadError: it cannot be reached.
        """

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = url.removeprefix(BASE)
        # No `..`, no empty part, nothing hidden, no escapes: also when signed metadata names it.
        if not _PATH.match(path) or len(path) > 512:
            raise DownloadHTTPError(f"no file of a release repository is called `{path[:80]}`", 404)
        return self._stream(path)

    def get(self, path: str, limit_bytes: int) -> bytes:
        """A file that is not under TUF: evidence and sealed files, which the caller verifies by digest.

        Raises:
            NotFoundError: it is not there.
            TamperedError: it is larger than `limit_bytes`.
            UnavailableError: it cannot be reached.
        """
        try:
            return self.download_bytes(BASE + path, limit_bytes)
        except DownloadLengthMismatchError as error:
            raise TamperedError(f"`{path}` is larger than {limit_bytes} bytes") from error
        except DownloadHTTPError as error:
            if error.status_code in (403, 404):
                raise NotFoundError(f"the release repository has no `{path}`") from error
            raise UnavailableError(f"the release repository answers {error.status_code} for `{path}`") from error
        except (DownloadError, OSError) as error:
            raise UnavailableError(f"the release repository does not give `{path}`") from error


class FolderFetcher(ReleaseFetcher):
    """A repository in a folder, mounted or copied."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _stream(self, path: str) -> Iterator[bytes]:
        try:
            file = open_regular(self._folder / path)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise DownloadHTTPError(f"`{path}` is not in the folder", 404) from error
        except OSError as error:
            raise DownloadError(f"`{path}` cannot be read: {error.strerror}") from error
        return _chunks_of(file)


class HttpFetcher(ReleaseFetcher):
    """A repository behind a web server. Redirects are refused, one connection a file, a deadline for each.

    Args:
        url: where the folder is served, `https://...` or `http://...`.
        tls: for https; None takes the system's certificate authorities.
        deadline_s: longest time for one file, from the first attempt to connect to the last byte. What the system's
            resolver of names takes is its own.

    Raises:
        InvalidInputError: the address is neither, or carries a query or credentials.
    """

    def __init__(self, url: str, tls: ssl.SSLContext | None = None, deadline_s: float = 60.0) -> None:
        parts = urlsplit(url)
        odd = parts.query or parts.fragment or parts.username or parts.password
        if parts.scheme not in ("http", "https") or not parts.hostname or odd:
            raise InvalidInputError("a release repository has a plain http or https address", field="repository")
        self._host, self._port = parts.hostname, parts.port
        self._prefix = parts.path.rstrip("/") + "/"
        self._tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
        self._deadline_s = deadline_s

    def _stream(self, path: str) -> Iterator[bytes]:
        line = WatchedLine(time.monotonic() + self._deadline_s, min(self._deadline_s, 30.0))
        secure = self._tls is not None
        port = self._port or (443 if secure else 80)
        # the host header names the port where it is not the scheme's own
        shown = http.client.HTTP_PORT if port == (443 if secure else 80) else port
        connection = http.client.HTTPConnection(self._host, shown)
        try:
            connection.sock = line.connect(resolve(self._host, port), port, self._tls, self._host)
            headers = {"Accept-Encoding": "identity", "Connection": "close"}
            connection.request("GET", self._prefix + path, headers=headers)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            line.close()
            raise DownloadError(f"`{self._host}` does not answer for `{path}`") from error
        if response.status != 200:
            response.close()
            line.close()
            raise DownloadHTTPError(f"`{self._host}` answers {response.status} for `{path}`", response.status)
        return self._body(line, response, path)

    def _body(self, line: WatchedLine, response: http.client.HTTPResponse, path: str) -> Iterator[bytes]:
        try:
            while chunk := response.read1(CHUNK_BYTES):
                self._demand_time(line, path)
                yield chunk
            self._demand_time(line, path)
            if response.length:
                raise DownloadError(f"`{path}` broke off")
        except (OSError, http.client.HTTPException) as error:
            self._demand_time(line, path)
            raise DownloadError(f"`{path}` broke off") from error
        finally:
            response.close()
            line.close()

    def _demand_time(self, line: WatchedLine, path: str) -> None:
        if line.over:
            raise DownloadError(f"`{path}` took longer than {self._deadline_s:g} s")


def _chunks_of(file: BinaryIO) -> Iterator[bytes]:
    with file as source:
        while chunk := source.read(CHUNK_BYTES):
            yield chunk

"""Carrying a worker's published log to a store that others read, beside the answers and never before them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from strongroom.adapters.log.shard_reader import FolderView
from strongroom.errors import ConflictError, InvalidInputError, StrongroomError, TamperedError
from strongroom.ledger.checkpoint import VerifierKey
from strongroom.ledger.publication import TileStore, push

log = logging.getLogger(__name__)

EVERY_S: Final = 2.0

SCHEMES: Final = {
    "files": ("file",),
    "objects": ("s3", "gs", "az", "memory"),
    "postgres": ("postgresql",),
}


class PublicationSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[publication]`: a second place for the public form of the logs.

    Attributes:
        kind: `files` (a folder), `objects` (extra `object-store`), `postgres` (extra `postgres`).
        url: `file:///folder`, `s3://bucket/prefix`, `postgresql://host/database`. Without user or password: these come
            from the environment, as each library names them (AWS_ACCESS_KEY_ID, PGUSER, PGPASSFILE).
        alarm_after_s: how old the newest entry that is not there yet may grow before the log says `alarm`; 5 to 86400.
    """

    kind: Literal["files", "objects", "postgres"]
    url: str
    alarm_after_s: float = 60.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in SCHEMES[self.kind]:
            wanted = ", ".join(SCHEMES[self.kind])
            raise InvalidInputError(f"a store of kind `{self.kind}` has an address with {wanted}", field="publication")
        if "@" in parts.netloc or parts.query:
            raise InvalidInputError(
                "the address of a store has no user, password or options; credentials come from the environment",
                field="publication",
            )
        if not 5 <= self.alarm_after_s <= 86_400:
            raise InvalidInputError("alarm_after_s is 5 to 86400", field="publication", rule="range")


def open_store(settings: PublicationSettings, origin: str) -> TileStore:
    """The store of one log: below its origin, so that many share a bucket or table.

    Raises:
        UnavailableError: the store cannot be reached.
        InvalidInputError: its extra is not installed.
    """
    try:
        if settings.kind == "objects":
            from obstore.store import from_url

            from strongroom.adapters.log.tile_objects import ObjectTiles

            return ObjectTiles(from_url(f"{settings.url.rstrip('/')}/{origin}"))
        if settings.kind == "postgres":
            import psycopg  # noqa: F401  # the driver that the address names; its absence is said here
            from sqlalchemy import create_engine

            from strongroom.adapters.log.tile_tables import TableTiles

            address = settings.url.replace("postgresql://", "postgresql+psycopg://", 1)
            return TableTiles(create_engine(address, pool_size=1, pool_pre_ping=True), origin)
    except ImportError as error:
        extra = {"objects": "object-store", "postgres": "postgres"}[settings.kind]
        raise InvalidInputError(f"this kind is not installed; install strongroom[{extra}]", field="kind") from error
    from strongroom.adapters.log.tile_files import FileTiles

    folder = Path(urlsplit(settings.url).path, *origin.split("/"))
    folder.mkdir(parents=True, exist_ok=True)
    return FileTiles(folder)


class Publication:
    """Pushes one log now and again. Its failures delay the publication, and are told once and when they end.

    Args:
        folder: of the log.
        verifier: its key.
        settings: of the node.
        open_store: for tests.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        folder: Path,
        verifier: VerifierKey,
        settings: PublicationSettings,
        open_store: Callable[[PublicationSettings, str], TileStore] = open_store,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._view = FolderView(folder)
        self._verifier = verifier
        self._settings = settings
        self._open = open_store
        self._clock = clock
        self._store: TileStore | None = None
        self._late_since: float | None = None
        self._told = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def lag_s(self) -> float:
        """How long the store has been behind; 0 when the last push succeeded."""
        return 0.0 if self._late_since is None else self._clock() - self._late_since

    def once(self) -> None:
        """One push. What fails is logged, an alarm once the lag is too long.

        Raises:
            TamperedError: the store shows another history of this log.
        """
        began = self._clock()
        try:
            if self._store is None:
                self._store = self._open(self._settings, self._verifier.name)
            push(self._view.published, self._verifier, self._store)
        except TamperedError:
            raise
        except StrongroomError as error:
            if self._late_since is None:
                self._late_since = began
                log.warning("the store of `%s` is behind: %s", self._verifier.name, error.message)
            if self.lag_s > self._settings.alarm_after_s and not self._told:
                self._told = True
                kind = "another writer is ahead" if isinstance(error, ConflictError) else "it cannot be reached"
                log.critical("alarm: the store of `%s` is %.0f s behind: %s", self._verifier.name, self.lag_s, kind)
            return
        if self._late_since is not None:
            log.warning("the store of `%s` is up to date again after %.0f s", self._verifier.name, self.lag_s)
        self._late_since, self._told = None, False

    def start(self, alarm: Callable[[TamperedError], None], every_s: float = EVERY_S) -> None:
        """Push on a thread of its own until `stop`. `alarm` is called once, on that thread, for another history."""

        def work() -> None:
            while not self._stop.wait(every_s):
                try:
                    self.once()
                except TamperedError as error:
                    alarm(error)
                    return
                except Exception:
                    # a defect here must not end the publishing unseen; answers do not depend on it
                    log.exception("publishing `%s` failed", self._verifier.name)

        self._thread = threading.Thread(target=work, name="push", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a push that has begun comes to its end."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

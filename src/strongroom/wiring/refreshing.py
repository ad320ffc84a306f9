"""The data plane, plugged together on a node's folder: the refresher's and the keeper's side.

The supervisor runs these; they need no model, no runtime and no policy engine, and do not load them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from strongroom.adapters.keystore.keeper_client import KeeperProcess
from strongroom.adapters.releases.release_fetchers import FolderFetcher, HttpFetcher, ReleaseFetcher
from strongroom.adapters.releases.release_mirror import ReleaseShelf, sync
from strongroom.adapters.releases.time_floor import TimeFloor
from strongroom.adapters.releases.trusted_state_files import read_state, says_the_same, write_state
from strongroom.adapters.releases.tuf_client import ReleaseClient
from strongroom.adapters.releases.tuf_repository import TIMESTAMP_LIFE
from strongroom.errors import StrongroomError
from strongroom.serving.admission_ports import TrustedState
from strongroom.wiring.node import NodeLayout, now
from strongroom.wiring.node_settings import NodeSettings

log = logging.getLogger(__name__)

KEEP_ALIVE = timedelta(minutes=1)
"""How old the moment in an otherwise unchanged state may grow before it is written again."""

RENEWAL_ALARM = TIMESTAMP_LIFE / 2
"""A timestamp that is renewed in time never gets so old; what lives longer is not renewed so late either."""


def fetcher_for(repository: str) -> ReleaseFetcher:
    """A folder, or an http(s) address."""
    if repository.startswith(("http://", "https://")):
        return HttpFetcher(repository)
    return FolderFetcher(Path(repository))


class Refresher:
    """Fetches and verifies the release repository for all workers of a node. One for each node.

    Args:
        layout, settings: of the node.
        fetcher: where the repository is; by the settings when None.
        clock: time.
    """

    def __init__(
        self,
        layout: NodeLayout,
        settings: NodeSettings,
        fetcher: ReleaseFetcher | None = None,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._layout = layout
        self._fetcher = fetcher or fetcher_for(settings.repository)
        root = (layout.trust / "root.json").read_bytes()
        floor = TimeFloor(layout.time_floor)
        self._client = ReleaseClient(self._fetcher, layout.metadata, root, floor)
        self._mirror = ReleaseShelf(layout.mirror)
        self._clock = clock
        self._written_at: datetime | None = None
        self._last: TrustedState | None = None
        self._mirrored = False
        self._expires: datetime | None = None
        self._alarmed = False

    def late(self) -> datetime | None:
        """When the releases expire, told once as less than half of a timestamp's life is left; otherwise None."""
        if self._expires is None:
            try:
                self._expires = read_state(self._layout.trusted_state).expires
            except StrongroomError:
                return None
        near = self._expires - self._clock() < RENEWAL_ALARM
        told, self._alarmed = self._alarmed, near
        return self._expires if near and not told else None

    def refresh(self) -> None:
        """One look: verify the metadata, mirror what released versions need, hand the state to the workers.

        Raises:
            StrongroomError: nothing new was handed on; what the workers have stays in force until it expires.
        """
        state = self._client.refresh(self._clock())
        recent = self._written_at is not None and state.at - self._written_at <= KEEP_ALIVE
        known = recent and self._last is not None and says_the_same(self._last, state)
        if not (known and self._mirrored):
            # every approved version is looked at: not with each look at a repository that stands still
            trouble = sync(state, self._fetcher, self._mirror)
            self._mirrored = not trouble
            for model, error in trouble.items():
                log.warning("model `%s` could not be mirrored: %s", model, error)
        self._expires = state.expires
        if not known:
            self._last = None
            write_state(self._layout.trusted_state, state)
            self._written_at = state.at
        self._last = state


def keeper(layout: NodeLayout, settings: NodeSettings) -> KeeperProcess:
    """The process that owns the key store of a node; ends with its parent."""
    return KeeperProcess(layout.keystore, layout.backups, layout.backup_keys, settings.region)

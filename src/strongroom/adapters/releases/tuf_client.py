"""The gateway's side of the release repository: `tuf.ngclient`, and a mirror of what lies beside the metadata.

The metadata folder must persist: a client that starts with an empty one accepts an old repository until its timestamp
expires.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    RepositoryError,
)
from tuf.ngclient import Updater

from strongroom.adapters.releases.release_fetchers import BASE, ReleaseFetcher
from strongroom.adapters.releases.time_floor import TimeFloor
from strongroom.approval.role_metadata import (
    EXPIRES_FORMAT,
    HALTS_ROLE,
    MODEL_ROLE,
    OPERATIONS_ROLE,
    RoleMetadata,
    read_delegations,
    read_role,
)
from strongroom.approval.trust_policy import GRANTS_PATH
from strongroom.errors import ExpiredError, StrongroomError, TamperedError, UnavailableError
from strongroom.serving.admission_ports import TrustedState
from strongroom.vocabulary import Digest, parse_digest, parse_name

WHOLE_LOOK: Final = timedelta(minutes=1)
"""How long the roles that an unchanged snapshot names are not loaded and verified again."""

_PINS: Final = ("root", "snapshot", "targets")


@dataclass(frozen=True, slots=True)
class _Look:
    """What a whole look found, and what it holds for.

    Attributes:
        at: when it was.
        pins: root, snapshot and targets as they were. The snapshot names the version of every role below, and a client
            takes no second file of one version.
        until: when the first of the roles below expires.
        expires: the same of everything that the whole repository hangs on, but for the timestamp.
        state: what was handed on; nothing failed in it.
    """

    at: datetime
    pins: tuple[bytes, ...] = field(repr=False)
    until: datetime
    expires: datetime
    state: TrustedState = field(repr=False)


class ReleaseClient:
    """`serving.admission_ports.ReleaseSource` over TUF. One process per metadata folder.

    Args:
        fetcher: where the repository is.
        metadata_folder: trusted metadata, kept between runs, and `content/` with targets.
        bootstrap_root: the root this node was given out of band; later roots must follow from it.
        floor: the time that never goes back.
    """

    def __init__(self, fetcher: ReleaseFetcher, metadata_folder: Path, bootstrap_root: bytes, floor: TimeFloor) -> None:
        self._fetcher = fetcher
        self._folder = metadata_folder
        self._root = bootstrap_root
        self._floor = floor
        self._last: _Look | None = None

    def refresh(self, now: datetime) -> TrustedState:
        """See `ReleaseSource.refresh`.

        1. time is raised to the floor;
        2. root, timestamp, snapshot, targets by the TUF client workflow;
        3. every top-level target; a missing one refuses everything;
        4. the roles of operators and halts with their targets, if they were ever published;
        5. each model's role with its release documents; trouble there is that model's alone.

        Where root, snapshot and targets are what they were, steps 3 to 5 would find again what they found: they are
        done again only every `WHOLE_LOOK`, after trouble, or once a role has expired. With 200 models they take half a
        second of a processor.
        """
        # 1
        at = self._floor.raised_to(now)
        content = self._folder / "content"
        with _errors("the release repository"):
            content.mkdir(parents=True, exist_ok=True)
            # An Updater refreshes once and fixes its clock: a new one each time.
            updater = Updater(
                str(self._folder),
                BASE + "metadata/",
                str(content),
                BASE + "targets/",
                self._fetcher,
                bootstrap=self._root,
            )
            # ngclient has no public way to say what time it is. Its tests set this same attribute.
            updater._trusted_set.reference_time = at
            # 2
            updater.refresh()
        pins = tuple(self._metadata(name) for name in _PINS)
        timestamp = _expires(self._metadata("timestamp"))
        last = self._last
        if last is not None and last.pins == pins and at < last.until and at - last.at < WHOLE_LOOK:
            return replace(last.state, at=at, expires=min(last.expires, timestamp))
        self._last = None
        root, snapshot_data, targets = pins
        top = read_role(targets)
        # 3
        files = self._targets(updater, top)
        # 4
        snapshot = set(json.loads(snapshot_data)["signed"]["meta"])
        operations = self._role(updater, OPERATIONS_ROLE, f"pointers/{_NOBODY}.json", snapshot)
        halts = self._role(updater, HALTS_ROLE, f"halts/{_NOBODY}.json", snapshot)
        pointed = self._targets(updater, operations[1]) if operations else {}
        halted = self._targets(updater, halts[1]) if halts else {}
        # 5
        roles: dict[str, bytes] = {}
        releases: dict[str, Mapping[Digest, bytes]] = {}
        failures: dict[str, StrongroomError] = {}
        ends = [role[1].expires for role in (operations, halts) if role]
        expires = min([*(_expires(data) for data in pins), *ends])
        for name in read_delegations(targets):
            if not name.startswith(MODEL_ROLE):
                continue
            model = name.removeprefix(MODEL_ROLE)
            try:
                parse_name(model, "model name")
                role = self._role(updater, name, f"models/{model}/{_NOBODY}.json", snapshot)
                if role is not None:
                    roles[model] = role[0]
                    ends.append(role[1].expires)
                    found = self._targets(updater, role[1])
                    releases[model] = {_manifest_of(path): data for path, data in found.items()}
            except StrongroomError as error:
                failures[model] = error
        state = TrustedState(
            at=at,
            expires=min(expires, timestamp),
            root_version=int(json.loads(root)["signed"]["version"]),
            targets=targets,
            files=files,
            operations=operations[0] if operations else None,
            pointers={_model_of(path): data for path, data in pointed.items() if path != GRANTS_PATH},
            grants=pointed.get(GRANTS_PATH),
            halts={_model_of(path): data for path, data in halted.items()},
            roles=roles,
            releases=releases,
            failures=failures,
        )
        if not failures:
            self._last = _Look(at, pins, min(ends, default=expires), expires, state)
        return state

    def _role(self, updater: Updater, name: str, probe: str, snapshot: set[str]) -> tuple[bytes, RoleMetadata] | None:
        """Load a delegated role by asking for a target that it would hold; None if it was never published."""
        if f"{name}.json" not in snapshot:
            return None
        with _errors(f"role `{name}`"):
            updater.get_targetinfo(probe)
        data = self._metadata(name)
        return data, read_role(data)

    def _targets(self, updater: Updater, role: RoleMetadata) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for path, entry in role.targets.items():
            with _errors(f"target `{path}`"):
                info = updater.get_targetinfo(path)
                if info is None or info.length != entry.length or info.hashes.get("sha256") != entry.sha256:
                    # Another role spoke for this path: the one that lists it is not the one that is asked.
                    raise TamperedError(f"`{path}` is not what the role that lists it says")
                local = self._folder / "content" / entry.sha256
                kept = updater.find_cached_target(info, str(local)) or updater.download_target(info, str(local))
                found[path] = Path(kept).read_bytes()
        return found

    def _metadata(self, role: str) -> bytes:
        """What ngclient has just verified and kept."""
        try:
            return (self._folder / f"{quote(role, '')}.json").read_bytes()
        except OSError as error:
            raise UnavailableError(f"metadata `{role}` cannot be read: {error.strerror}") from error


_NOBODY = "none"
"""A target that nobody publishes: asking for it loads the role that would hold it."""


def _manifest_of(path: str) -> Digest:
    return parse_digest(path.rpartition("/")[2].removesuffix(".json"))


def _model_of(path: str) -> str:
    return parse_name(path.rpartition("/")[2].removesuffix(".json"), "model name")


def _expires(data: bytes) -> datetime:
    return datetime.strptime(json.loads(data)["signed"]["expires"], EXPIRES_FORMAT).replace(tzinfo=UTC)


@contextmanager
def _errors(what: str) -> Iterator[None]:
    """Sort what TUF raises into our three families.

    Raises:
        ExpiredError: frozen or forgotten metadata.
        TamperedError: signatures, versions, digests, sizes or form are wrong.
        UnavailableError: the repository or the disk does not answer.
    """
    try:
        yield
    except StrongroomError:
        raise
    except ExpiredMetadataError as error:
        raise ExpiredError(f"{what}: {error}") from error
    except DownloadLengthMismatchError as error:
        raise TamperedError(f"{what}: a file is larger than its metadata says") from error
    except DownloadHTTPError as error:
        raise UnavailableError(f"{what}: a file that metadata names is not there ({error.status_code})") from error
    except DownloadError as error:
        raise UnavailableError(f"{what} does not answer: {error}") from error
    except RepositoryError as error:
        raise TamperedError(f"{what}: {error}") from error
    except OSError as error:
        raise UnavailableError(f"{what}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise TamperedError(f"{what}: metadata has not the form of TUF metadata") from error

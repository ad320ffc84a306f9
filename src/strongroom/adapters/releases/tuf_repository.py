"""The release repository as the control plane keeps it: TUF metadata and targets in a folder.

Custodians (2 of 3 or more) sign `root` and `targets`, approvers their model's role, operators `operations`; all of them
elsewhere, with keys that never come here. What waits for their signatures lies in `staged/`. The control plane's own
key signs `snapshot`, `timestamp` and `halts` only.

Files are written so that a reader at any moment finds one whole repository: targets and versioned metadata first,
under names never used before, `timestamp.json` last, by rename.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from securesystemslib.signer import Key, Signature
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.metadata import Role as TufRole

from strongroom.adapters.files.safe_files import locked
from strongroom.adapters.releases.tuf_files import OnlineSigner, TufFiles, public_key, tuf_key, whole_second, write
from strongroom.approval.pointers import Pointer
from strongroom.approval.release import Release
from strongroom.approval.role_metadata import (
    DRAFTS_FIELD,
    HALTS_ROLE,
    OPERATIONS_ROLE,
    halts_path,
    model_role,
    pointer_path,
    release_path,
)
from strongroom.approval.trust_policy import GRANTS_PATH
from strongroom.encoding import canonical, parse_as
from strongroom.errors import ConflictError, FourEyesError, NotFoundError, NotPermittedError, TamperedError
from strongroom.sealing.keys import PublicKey, Signer
from strongroom.vocabulary import Digest, KeyId, digest_of, instant, parse_name

S = TypeVar("S", Root, Snapshot, Targets, Timestamp)

ROOT_LIFE = timedelta(days=365)
TARGETS_LIFE = timedelta(days=180)
OPERATIONS_LIFE = timedelta(days=90)
SNAPSHOT_LIFE = timedelta(days=7)
TIMESTAMP_LIFE = timedelta(hours=1)
QUORUM_FLOOR = 2


@dataclass(frozen=True, slots=True)
class TufRepository:
    """See the module. Drafts are one process's at a time: the caller holds the room's lock. Publications of several
    wait for each other: timestamps are renewed, and custodians sign, while somebody else has the room open.

    Attributes:
        files: the published folder and the drafts.
        online: the control plane's key for snapshot, timestamp and halts.
        timestamp_life: how long a gateway goes on without hearing from us.
    """

    files: TufFiles
    online: Signer = field(repr=False)
    timestamp_life: timedelta = TIMESTAMP_LIFE

    # custodians ------------------------------------------------------------------------------------------------

    def stage_root(self, custodians: Sequence[PublicKey], threshold: int, at: datetime) -> bytes:
        """Draft the first or next root: who the custodians are and how many must sign.

        Args:
            custodians: keys for both `root` and `targets`.
            threshold: how many of them; at least 2.
            at: now.

        Returns:
            The signed part. The next root needs the old quorum as well as the new one.

        Raises:
            FourEyesError: fewer than two signatures, or fewer distinct keys than needed.
        """
        ids = {key.key_id for key in custodians}
        if threshold < QUORUM_FLOOR or len(ids) < threshold or len(ids) != len(custodians):
            raise FourEyesError(
                f"root needs at least {QUORUM_FLOOR} custodians with distinct keys, and as many signatures"
            )
        before = self.files.published(Root, "root")
        keys: dict[str, Key] = {key.key_id: tuf_key(key) for key in (*custodians, self.online.public)}
        people = [str(key.key_id) for key in custodians]
        machine = [str(self.online.public.key_id)]
        root = Root(
            version=before.signed.version + 1 if before else 1,
            expires=whole_second(at + ROOT_LIFE),
            keys=keys,
            roles={
                "root": TufRole(list(people), threshold),
                "targets": TufRole(list(people), threshold),
                "snapshot": TufRole(list(machine), 1),
                "timestamp": TufRole(list(machine), 1),
            },
            consistent_snapshot=True,
        )
        return self.files.stage("root", root)

    def stage_targets(
        self,
        at: datetime,
        *,
        files: Mapping[str, bytes] | None = None,
        models: Mapping[str, Sequence[PublicKey]] | None = None,
        operators: Sequence[PublicKey] | None = None,
    ) -> bytes:
        """Draft the next top-level targets: register, policies, process, and who may sign for what.

        What is not named stays as it is in the waiting draft, else as published. A draft that changes loses its
        signatures.

        Args:
            at: now.
            files: content by target path, such as `people.json`.
            models: approvers' keys by model name; replaces that model's keys.
            operators: keys that may sign pointers and grants.

        Returns:
            The signed part.

        Raises:
            FourEyesError: a model with fewer than two distinct keys.
        """
        draft = self.files.waiting(Targets, "targets")
        before = self.files.published(Targets, "targets")
        targets = draft.signed if draft else before.signed if before else Targets()
        targets.version = self.files.newest("targets") + 1
        targets.expires = whole_second(at + TARGETS_LIFE)
        if targets.delegations is None:
            targets.delegations = Delegations({}, {})
            self._delegate(targets, HALTS_ROLE, [self.online.public], 1, ["halts/*"])
        for path, content in (files or {}).items():
            self.files.keep(content)
            targets.targets[path] = TargetFile.from_data(path, content, ["sha256"])
        if operators is not None:
            self._delegate(targets, OPERATIONS_ROLE, operators, 1, ["pointers/*", GRANTS_PATH])
        for model, keys in (models or {}).items():
            parse_name(model, "model name")
            if len({key.key_id for key in keys}) < QUORUM_FLOOR:
                raise FourEyesError(f"model `{model}` needs the keys of at least {QUORUM_FLOOR} approvers")
            self._delegate(targets, model_role(model), keys, QUORUM_FLOOR, [f"models/{model}/*"])
        return self.files.stage("targets", targets)

    # approvers, operators, halts -----------------------------------------------------------------------------

    def stage_release(self, release: Release) -> bytes:
        """See `approval.ports.ReleasePublisher`. The draft follows from the releases alone, not from the time."""
        role = model_role(release.model)
        self._delegation(role)
        content = canonical(release)
        path = release_path(release.model, release.manifest)
        waiting = self.files.waiting(Targets, role)
        if waiting is not None:
            entry = waiting.signed.targets.get(path)
            if entry is not None and entry.hashes.get("sha256") == digest_of(content):
                return waiting.signed_bytes
            raise ConflictError(f"another draft of `{role}` waits for signatures; publish or discard it first")
        before = self.files.published(Targets, role)
        targets = before.signed if before else Targets()
        if before is not None:
            earlier = list(targets.unrecognized_fields.get(DRAFTS_FIELD, []))
            targets.unrecognized_fields[DRAFTS_FIELD] = [*earlier, digest_of(before.signed_bytes)]
        targets.version = self.files.newest(role) + 1
        entry = TargetFile.from_data(path, content, ["sha256"])
        entry.unrecognized_fields["custom"] = json.loads(content)
        targets.targets[path] = entry
        # The newest review date: each version's own date is enforced one by one at the gateway.
        due = max(item.unrecognized_fields["custom"]["review_due_us"] for item in targets.targets.values())
        targets.expires = whole_second(instant(due))
        self.files.keep(content)
        return self.files.stage(role, targets)

    def stage_pointer(self, pointer: Pointer, at: datetime) -> bytes:
        """See `approval.ports.ReleasePublisher`."""
        return self.stage_operations({pointer_path(pointer.model): canonical(pointer)}, at)

    def stage_operations(self, files: Mapping[str, bytes], at: datetime) -> bytes:
        """Draft the next `operations`: pointers and grants. Adds to a draft that waits already.

        Returns:
            The signed part, for one operator to sign.
        """
        self._delegation(OPERATIONS_ROLE)
        draft, before = self.files.waiting(Targets, OPERATIONS_ROLE), self.files.published(Targets, OPERATIONS_ROLE)
        targets = draft.signed if draft else before.signed if before else Targets()
        targets.version = self.files.newest(OPERATIONS_ROLE) + 1
        targets.expires = whole_second(at + OPERATIONS_LIFE)
        for path, content in files.items():
            if path != GRANTS_PATH and not path.startswith("pointers/"):
                raise NotPermittedError(f"operators may not sign `{path}`")
            self.files.keep(content)
            targets.targets[path] = TargetFile.from_data(path, content, ["sha256"])
        return self.files.stage(OPERATIONS_ROLE, targets)

    def publish_halts(self, model: str, envelopes: Sequence[bytes], at: datetime) -> None:
        """See `approval.ports.ReleasePublisher`."""
        with self._alone():
            content = canonical({"envelopes": [envelope.decode() for envelope in envelopes], "model": model, "v": 1})
            before = self.files.published(Targets, HALTS_ROLE)
            targets = before.signed if before else Targets()
            targets.version = self.files.newest(HALTS_ROLE) + 1
            targets.expires = whole_second(at + OPERATIONS_LIFE)
            self.files.keep(content)
            path = halts_path(parse_name(model, "model name"))
            targets.targets[path] = TargetFile.from_data(path, content, ["sha256"])
            metadata = Metadata(targets)
            metadata.sign(OnlineSigner(self.online))
            self.files.publish(HALTS_ROLE, metadata)
            self._renew(at, {HALTS_ROLE})

    # drafts ------------------------------------------------------------------------------------------------------

    def draft(self, role: str) -> bytes:
        """The signed part of a waiting draft. Raises NotFoundError."""
        return self.files.draft(role).signed_bytes

    def waiting(self) -> dict[str, tuple[list[KeyId], int]]:
        """Roles with a draft: key ids that signed, and how many signatures are still missing."""
        found = {}
        for role in self.files.waiting_roles():
            metadata = self.files.draft(role)
            found[role] = ([KeyId(key_id) for key_id in metadata.signatures], self._missing(role, metadata))
        return found

    def sign(self, role: str, key_id: KeyId, signature: bytes) -> None:
        """See `approval.ports.ReleasePublisher`."""
        metadata = self.files.draft(role)
        key = self._keys_for(role, metadata).get(key_id)
        if key is None:
            raise NotPermittedError(f"key {key_id[:12]} has no say in `{role}`")
        try:
            public_key(key).verify(signature, metadata.signed_bytes)
        except TamperedError as error:
            raise TamperedError(f"the signature of {key_id[:12]} is not over the draft of `{role}`") from error
        metadata.signatures[key_id] = Signature(key_id, signature.hex())
        write(self.files.staged_path(role), metadata.to_bytes())

    def discard(self, role: str) -> None:
        """See `approval.ports.ReleasePublisher`."""
        self.files.staged_path(role).unlink(missing_ok=True)

    def publish(self, role: str, at: datetime) -> None:
        """See `approval.ports.ReleasePublisher`."""
        with self._alone():
            metadata = self.files.draft(role)
            missing = self._missing(role, metadata)
            if missing:
                raise FourEyesError(f"the draft of `{role}` lacks {missing} more signature(s)")
            changed = {role}
            if role == "root":
                changed = self._targets_under(metadata.signed)
                self.files.publish("root", metadata)
                write(self.files.metadata / "root.json", metadata.to_bytes())
            elif self.files.published(Root, "root") is None:
                raise ConflictError("publish `root` first: nothing can be verified without it")
            else:
                self.files.publish(role, metadata)
            if self.files.published(Targets, "targets") is not None:
                self._renew(at, changed, renew_snapshot=True)
            for done in changed | {role}:
                self.discard(done)

    def renew(self, at: datetime) -> None:
        """Sign a fresh timestamp, and a fresh snapshot when the old one is in its second half."""
        with self._alone():
            if self.files.published(Snapshot, "snapshot") is None:
                raise ConflictError("nothing is published yet: publish `root` and `targets` first")
            halts = self.files.published(Targets, HALTS_ROLE)
            if halts is not None and halts.signed.expires - at < OPERATIONS_LIFE / 2:
                halts.signed.version += 1
                halts.signed.expires = whole_second(at + OPERATIONS_LIFE)
                halts.sign(OnlineSigner(self.online))
                self.files.publish(HALTS_ROLE, halts)
                self._renew(at, {HALTS_ROLE})
                return
            self._renew(at, set())

    # what is published -------------------------------------------------------------------------------------------

    def custodians(self) -> tuple[list[KeyId], int]:
        """Keys of the published root and how many of them must sign. Raises NotFoundError before the first."""
        root = self.files.published(Root, "root")
        if root is None:
            raise NotFoundError("no root is published yet")
        role = root.signed.roles["root"]
        return [KeyId(key_id) for key_id in role.keyids], int(role.threshold)

    def expiries(self) -> dict[str, datetime]:
        """When the newest metadata of each role with versioned files expires, sorted by role."""
        names = {path.name.split(".", 1)[1].removesuffix(".json") for path in self.files.metadata.glob("*.*.json")}
        found: dict[str, datetime] = {}
        for role in sorted(names):
            data = self.files.published_bytes(role)
            if data is not None:
                found[role] = Metadata.from_bytes(data).signed.expires
        return found

    def releases(self, model: str) -> Sequence[Release]:
        """See `approval.ports.ReleasePublisher`."""
        metadata = self.files.published(Targets, model_role(parse_name(model, "model name")))
        entries = metadata.signed.targets.values() if metadata else ()
        found = [parse_as(canonical(entry.unrecognized_fields["custom"]), Release) for entry in entries]
        return sorted(found, key=lambda release: (release.not_before_us, release.manifest))

    def role_metadata(self, model: str) -> bytes | None:
        """The model role's metadata as published, for approvers to hold a draft against; None before the first."""
        return self.files.published_bytes(model_role(parse_name(model, "model name")))

    def target(self, path: str) -> bytes | None:
        """Published content of a target of `targets`, `operations` or `halts`, or None."""
        for role in ("targets", OPERATIONS_ROLE, HALTS_ROLE):
            metadata = self.files.published(Targets, role)
            entry = metadata.signed.targets.get(path) if metadata else None
            if entry is not None:
                return self.files.target_path(path, Digest(entry.hashes["sha256"])).read_bytes()
        return None

    def pointer(self, model: str) -> Pointer | None:
        """See `approval.ports.ReleasePublisher`."""
        content = self.target(pointer_path(parse_name(model, "model name")))
        return parse_as(content, Pointer) if content is not None else None

    def halts(self, model: str) -> Sequence[bytes]:
        """See `approval.ports.ReleasePublisher`."""
        content = self.target(halts_path(parse_name(model, "model name")))
        return [] if content is None else [item.encode() for item in json.loads(content)["envelopes"]]

    # inside --------------------------------------------------------------------------------------------------------

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Snapshot and timestamp count up from what is there: two who do it at once would take one back."""
        self.files.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.files.folder):
            yield

    def _left_behind(self, snapshot: Snapshot) -> set[str]:
        """Roles whose newest metadata no snapshot lists: a publication ended after its file was written."""
        names = {path.name.split(".", 1)[1].removesuffix(".json") for path in self.files.metadata.glob("*.*.json")}
        found = set()
        for name in names - {"root", "snapshot"}:
            listed = snapshot.meta.get(f"{name}.json")
            if listed is None or listed.version != self.files.newest(name):
                found.add(name)
        return found

    def _delegation(self, role: str) -> DelegatedRole:
        targets = self.files.published(Targets, "targets")
        roles = targets.signed.delegations.roles if targets and targets.signed.delegations else None
        if not roles or role not in roles:
            raise NotFoundError(f"the custodians have not delegated `{role}` yet")
        return roles[role]

    def _delegate(
        self, targets: Targets, role: str, keys: Sequence[PublicKey], threshold: int, paths: list[str]
    ) -> None:
        delegations = targets.delegations
        if delegations is None or delegations.roles is None:
            raise ConflictError("the top-level targets have no delegations to extend")
        delegations.roles[role] = DelegatedRole(role, [], threshold, True, paths=list(paths))
        for key in keys:
            targets.add_key(tuf_key(key), role)
        used = {key_id for entry in delegations.roles.values() for key_id in entry.keyids}
        for key_id in set(delegations.keys) - used:
            del delegations.keys[key_id]

    def _keys_for(self, role: str, metadata: Metadata[Any]) -> dict[str, Key]:
        if role == "root":
            before = self.files.published(Root, "root")
            rooms = [metadata.signed] + ([before.signed] if before else [])
            return {key_id: root.keys[key_id] for root in rooms for key_id in root.roles["root"].keyids}
        if role == "targets":
            # In the first ceremony, and when custodians change, root and targets are signed in one sitting.
            roots = [found for found in (self.files.published(Root, "root"), self.files.waiting(Root, "root")) if found]
            return {
                key_id: root.signed.keys[key_id] for root in roots for key_id in root.signed.roles["targets"].keyids
            }
        targets = self.files.published(Targets, "targets")
        keys: dict[str, Key] = targets.signed.delegations.keys if targets and targets.signed.delegations else {}
        return {key_id: keys[key_id] for key_id in self._delegation(role).keyids}

    def _missing(self, role: str, metadata: Metadata[Any]) -> int:
        """How many signatures are missing before `publish` goes ahead."""
        signed, signatures = metadata.signed_bytes, metadata.signatures
        if role == "root":
            before = self.files.published(Root, "root")
            both = metadata.signed.get_root_verification_result(before.signed if before else None, signed, signatures)
            return int(max(both.first.missing, both.second.missing))
        if role == "targets":
            # under a root that waits as well: neither order of publication may leave targets without their quorum
            roots = [found for found in (self.files.published(Root, "root"), self.files.waiting(Root, "root")) if found]
            results = [root.signed.get_verification_result(role, signed, signatures) for root in roots]
            return max((int(result.missing) for result in results), default=QUORUM_FLOOR)
        targets = self.files.published(Targets, "targets")
        delegator = targets.signed if targets else None
        return delegator.get_verification_result(role, signed, signatures).missing if delegator else QUORUM_FLOOR

    def _targets_under(self, root: Root) -> set[str]:
        """Publish the waiting targets too when the published ones would not stand under a new root."""
        published = self.files.published(Targets, "targets")
        if published is None or root.get_verification_result("targets", published.signed_bytes, published.signatures):
            return set()
        waiting = self.files.waiting(Targets, "targets")
        if waiting is None or not root.get_verification_result("targets", waiting.signed_bytes, waiting.signatures):
            raise FourEyesError("the custodians of the new root must first sign a draft of `targets` as well")
        self.files.publish("targets", waiting)
        return {"targets"}

    def _renew(self, at: datetime, changed: set[str], renew_snapshot: bool = False) -> None:
        """A new snapshot if anything changed or the old one ages, then a new timestamp, renamed into place last."""
        before = self.files.published(Snapshot, "snapshot")
        changed = changed | (self._left_behind(before.signed) if before else set())
        aged = before is None or before.signed.expires - at < SNAPSHOT_LIFE / 2
        if before is None or changed or aged or renew_snapshot:
            snapshot = before.signed if before else Snapshot(meta={})
            for role in changed or {"targets"}:
                data = self.files.published_bytes(role)
                if data is not None:
                    snapshot.meta[f"{role}.json"] = MetaFile.from_data(self.files.newest(role), data, ["sha256"])
            snapshot.version = self.files.newest("snapshot") + 1
            snapshot.expires = whole_second(at + SNAPSHOT_LIFE)
            signed = Metadata(snapshot)
            signed.sign(OnlineSigner(self.online))
            write(self.files.metadata / f"{snapshot.version}.snapshot.json", signed.to_bytes())
        version = self.files.newest("snapshot")
        data = (self.files.metadata / f"{version}.snapshot.json").read_bytes()
        path = self.files.metadata / "timestamp.json"
        last: Metadata[Timestamp] | None = Metadata.from_bytes(path.read_bytes()) if path.exists() else None
        timestamp = Metadata(
            Timestamp(
                version=last.signed.version + 1 if last else 1,
                expires=whole_second(at + self.timestamp_life),
                snapshot_meta=MetaFile.from_data(version, data, ["sha256"]),
            )
        )
        timestamp.sign(OnlineSigner(self.online))
        write(path, timestamp.to_bytes())

"""What a custodian reads before signing: a draft of root or targets in lines, and what is new in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from strongroom.access.people import PeopleRegister, Person, PersonKey
from strongroom.adapters.releases.tuf_files import TufFiles
from strongroom.approval.trust_policy import PEOPLE_PATH
from strongroom.errors import NotFoundError, TamperedError
from strongroom.vocabulary import Digest, digest_of, instant, rfc3339


def describe_draft(files: TufFiles, role: str, draft: bytes) -> Iterator[str]:
    """A draft of `root` or `targets` in lines; what differs from what is published is marked `+`, `-` or `~`.

    Args:
        files: of the repository; targets of a draft are read from its staged content and held against the digests in
            `draft`, so that the lines are about the very bytes that are signed.
        role: `root` or `targets`.
        draft: the signed part.

    Raises:
        TamperedError: a staged file is not the one that the draft names.
        NotFoundError: a staged file is gone.
    """
    # OLPC canonical JSON leaves line breaks of PEM keys as they are
    said = json.loads(draft, strict=False)
    yield f"{role}, version {said['version']}, expires {said['expires']}, digest {digest_of(draft)}"
    yield from _root_lines(files, said) if role == "root" else _targets_lines(files, said)


def register_of(files: TufFiles, said: Mapping[str, Any]) -> PeopleRegister | None:
    """The people register that a targets document names, or None."""
    entry = said.get("targets", {}).get(PEOPLE_PATH)
    if entry is None:
        return None
    return PeopleRegister.decode(_content(files, PEOPLE_PATH, Digest(entry["hashes"]["sha256"])))


def _root_lines(files: TufFiles, said: Mapping[str, Any]) -> Iterator[str]:
    owners = _owners(files)
    published = files.published_bytes("root")
    before = json.loads(published)["signed"]["roles"] if published else {}
    for name, role in sorted(said["roles"].items()):
        keys = role["keyids"]
        yield f"  {name}: {role['threshold']} of {len(keys)} key(s): {_named(keys, owners)}"
        old = before.get(name, {}).get("keyids", []) if published else keys
        for mark, changed in (("+", set(keys) - set(old)), ("-", set(old) - set(keys))):
            if changed:
                yield f"  {mark} {name}: {_named(sorted(changed), owners)}"


def _owners(files: TufFiles) -> dict[str, str]:
    """Whose keys these are: by the register that waits beside the draft, else by the one in force."""
    for data in (_staged_bytes(files), files.published_bytes("targets")):
        register = register_of(files, json.loads(data)["signed"]) if data is not None else None
        if register is not None:
            return {str(key.id): person.person_id for person in register.people for key in person.keys}
    return {}


def _staged_bytes(files: TufFiles) -> bytes | None:
    path = files.staged_path("targets")
    return path.read_bytes() if path.exists() else None


def _targets_lines(files: TufFiles, said: Mapping[str, Any]) -> Iterator[str]:
    published = files.published_bytes("targets")
    before = json.loads(published)["signed"] if published else {}
    old, new = before.get("targets", {}), said["targets"]
    for path in sorted({*old, *new}):
        was, now = (one.get(path, {}).get("hashes", {}).get("sha256") for one in (old, new))
        if was != now:
            yield f"  {_mark(was, now)} {path}  {str(now or was)[:16]}"
    register = register_of(files, said)
    if register is not None:
        yield from _register_lines(register_of(files, before), register)
    owners = {str(key.id): p.person_id for p in register.people for key in p.keys} if register else {}
    had, has = _delegations(before), _delegations(said)
    for name in sorted({*had, *has}):
        if had.get(name) != has.get(name):
            threshold, keys = has.get(name) or had[name]
            who = ", ".join(sorted(owners.get(key, key[:12]) for key in keys))
            yield f"  {_mark(had.get(name), has.get(name))} {name}: {threshold} of {who}"


def _register_lines(before: PeopleRegister | None, after: PeopleRegister) -> Iterator[str]:
    old = {person.person_id: person for person in before.people} if before else {}
    new = {person.person_id: person for person in after.people}
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield f"  {_mark(old.get(name), new.get(name))} {_person_line(new.get(name) or old[name])}"


def _person_line(person: Person) -> str:
    keys = ", ".join(_key_text(key) for key in person.keys)
    return f"{person.kind.lower()} {person.person_id}: {', '.join(person.roles) or 'no role'}; key {keys}"


def _key_text(key: PersonKey) -> str:
    return key.id[:12] + (f" until {rfc3339(instant(key.until_us))} ({key.reason})" if key.until_us is not None else "")


def _delegations(said: Mapping[str, Any]) -> dict[str, tuple[int, tuple[str, ...]]]:
    roles = (said.get("delegations") or {}).get("roles", [])
    return {role["name"]: (role["threshold"], tuple(sorted(role["keyids"]))) for role in roles}


def _content(files: TufFiles, path: str, digest: Digest) -> bytes:
    for place in (files.staged / "content" / digest, files.target_path(path, digest)):
        if place.exists():
            content = place.read_bytes()
            if digest_of(content) != digest:
                raise TamperedError(f"the staged `{path}` is not the one that the draft names")
            return content
    raise NotFoundError(f"the draft names a `{path}` that is not there")


def _mark(was: object, now: object) -> str:
    return "~" if was and now else "+" if now else "-"


def _named(keys: Sequence[str], owners: Mapping[str, str]) -> str:
    return ", ".join(f"{owners[key]} {key[:12]}" if key in owners else key[:12] for key in keys)

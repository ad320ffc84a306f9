"""The registry's books in memory. Rules are the port's, to the letter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from strongroom.errors import ConflictError, NotFoundError
from strongroom.registry.versions import PointerChange, Version
from strongroom.vocabulary import ModelRef


class MemoryVersions:
    """`registry.ports.Versions`."""

    def __init__(self) -> None:
        self._versions: dict[ModelRef, Version] = {}

    def add(self, version: Version) -> None:
        if version.ref in self._versions:
            raise ConflictError(f"version {version.ref} is registered already")
        self._versions[version.ref] = version

    def save(self, version: Version) -> None:
        if _fixed(self.get(version.ref)) != _fixed(version):
            raise ConflictError(f"version {version.ref} is immutable; submit a new one")
        self._versions[version.ref] = version

    def get(self, ref: ModelRef) -> Version:
        try:
            return self._versions[ref]
        except KeyError as error:
            raise NotFoundError(f"no version {ref} is registered") from error

    def of_model(self, name: str) -> Sequence[Version]:
        found = [version for version in self._versions.values() if version.ref.name == name]
        return sorted(found, key=lambda version: (version.submitted_at, version.ref.manifest))

    def models(self) -> Sequence[str]:
        return sorted({ref.name for ref in self._versions})


class MemoryPointers:
    """`registry.ports.Pointers`."""

    def __init__(self) -> None:
        self._changes: dict[str, list[PointerChange]] = {}

    def add(self, change: PointerChange) -> None:
        changes = self._changes.setdefault(change.model, [])
        if change.sequence != len(changes) + 1 or (changes and change.at < changes[-1].at):
            raise ConflictError(f"pointer change {change.sequence} of `{change.model}` does not follow the last one")
        changes.append(change)

    def history(self, name: str) -> Sequence[PointerChange]:
        return tuple(self._changes.get(name, ()))


def _fixed(version: Version) -> Version:
    """What must not change, with everything that may set to one value."""
    sealed = replace(version.sealed, wrapped=version.sealed.manifest)
    return replace(version, state="submitted", sample=None, evidence={}, papers=(), sealed=sealed)

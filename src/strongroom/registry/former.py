"""The model that a hardened package was made from: read from `before/`, and held against the digest that names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError
from strongroom.registry.contract import MODEL_SUFFIX, ModelContract
from strongroom.registry.hardening import CONTRACT, MANIFEST, FileLine
from strongroom.registry.toml import FILE, read_contract
from strongroom.sealing.manifest import FileEntry, Manifest
from strongroom.vocabulary import digest_of


@dataclass(frozen=True, slots=True)
class FormerModel:
    """A former model that is the one its digest names. Made by `read_former` alone.

    Attributes:
        contract: of the former package, as it was.
        model: bytes of its model file.
    """

    contract: ModelContract
    model: bytes


def manifest_lines(manifest: Manifest) -> bytes:
    """`before/manifest.json`: the files of a package, as canonical JSON."""
    lines = [
        FileLine(path=one.path, role=one.role, size_bytes=one.size_bytes, sha256=one.sha256) for one in manifest.files
    ]
    return canonical(lines)


def read_former(contract: ModelContract, files: Mapping[str, bytes]) -> FormerModel | None:
    """The former model of a hardened package; None where the package is no hardened one.

    Args:
        contract: of the hardened package.
        files: of the same package, by path; those that `hardening` names are there.

    Raises:
        InvalidInputError: the files below `before/` are not those of the package that `hardening` names, or that
            package is of another model, has other features, or other samples.
    """
    told = contract.hardening
    if isinstance(told, msgspec.UnsetType):
        return None
    lines = parse_as(files[MANIFEST], tuple[FileLine, ...])
    manifest = Manifest(tuple(FileEntry(one.path, one.role, one.size_bytes, one.sha256) for one in lines))
    if manifest.digest != told.package:
        raise _wrong(f"{MANIFEST} is not that of package {told.package[:12]}", "package")
    former = read_contract(files[CONTRACT])
    held = {
        FILE: digest_of(files[CONTRACT]),
        former.samples.model: digest_of(files[told.model]),
        # what trained and what is compared are the same rows
        former.samples.development: digest_of(files[contract.samples.development]),
        former.samples.reference: digest_of(files[contract.samples.reference]),
    }
    for path, digest in held.items():
        if manifest.entry(path).sha256 != digest:
            raise _wrong(f"`{path}` is not as it was in package {told.package[:12]}", "digest")
    if not told.model.endswith(MODEL_SUFFIX[former.engine]):
        raise _wrong(f"`{told.model}` ends in {MODEL_SUFFIX[former.engine]}", "suffix")
    same = (former.name, former.kind, former.input.features, former.samples.outcome) == (
        contract.name, contract.kind, contract.input.features, contract.samples.outcome,
    )  # fmt: skip
    if not same:
        raise _wrong("keeps the name, kind, features and outcome of the former package", "same")
    return FormerModel(former, files[told.model])


def _wrong(what: str, rule: str) -> InvalidInputError:
    return InvalidInputError(
        f"a hardened package: {what}; harden the former package anew", field="hardening", rule=rule
    )

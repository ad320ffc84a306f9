"""What a package may hold: `model.toml`, one model file and the Parquet samples that `model.toml` names. Nothing else.

The model is ONNX, or XGBoost's UBJSON where `model.toml` says that its native library runs it.

A model that was converted from a saved one has that beside it, and the statement of its conversion, where `model.toml`
has a `[source]`. Source files are the one role without a form: nothing but a job in the sandbox reads them. A hardened
model has the one that it was made from beside it, below `before/`, where `model.toml` has a `[hardening]`. Where it
has a `[training]`, its code is there, which nothing but a job in the sandbox runs.

An allow-list by name, suffix and first bytes. What a pickle, archive or link would do is never found out, because
nothing of that kind gets in under another role than `source`, which nobody opens. Deeper checks
(operators, external data) are the scan's, in the sandbox.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from strongroom.errors import InvalidInputError, TooLargeError, UnsafeArtifactError
from strongroom.registry.contract import MODEL_SUFFIX, ModelContract, RuntimeName
from strongroom.registry.former import read_former
from strongroom.registry.hardening import CONTRACT, MANIFEST
from strongroom.registry.source import CONVERSION_FILE, SOURCE_LIMIT
from strongroom.registry.toml import FILE, read_contract
from strongroom.registry.training import CODE_FILES_LIMIT, SCRIPT_LIMIT, SUFFIX
from strongroom.sealing.manifest import Manifest, build_manifest, check_path
from strongroom.vocabulary import ModelRef

FILES_LIMIT = 16 + CODE_FILES_LIMIT
MODEL_LIMIT = 512 * 1024 * 1024
SAMPLE_LIMIT = 512 * 1024 * 1024
PACKAGE_LIMIT = 1024 * 1024 * 1024

_SUFFIX: Final = {
    "contract": ".toml",
    "development": ".parquet",
    "reference": ".parquet",
    "predictions": ".parquet",
    "protected": ".parquet",
    "validation": ".parquet",
    "source": "",
    "conversion": ".json",
    "former-contract": ".toml",
    "former-manifest": ".json",
    "training": SUFFIX,
}
_MODEL_START: Final = {"onnxruntime": b"\x08", "xgboost": b"{L", "onedal": b"\x08"}
"""What every writer puts first: ONNX its field 1, ir_version; XGBoost an object with a key of 64-bit length. Pickles,
archives and compressed files start otherwise."""
_PARQUET: Final = b"PAR1"


@dataclass(frozen=True, slots=True)
class Package:
    """A package that keeps the rules. Made by `read_package` alone."""

    contract: ModelContract
    manifest: Manifest
    files: Mapping[str, bytes] = field(repr=False)

    @property
    def ref(self) -> ModelRef:
        """Name and manifest digest: the identity that the author signs."""
        return ModelRef(self.contract.name, self.manifest.digest)


def read_package(files: Mapping[str, bytes]) -> Package:
    """Check the files of a package and build its manifest.

    Args:
        files: content by path.

    Raises:
        UnsafeArtifactError: a file that `model.toml` does not name, a hidden file, a wrong suffix or first bytes.
        InvalidInputError: `model.toml` is missing or breaks a rule, a named file is missing, a path breaks a rule.
        TooLargeError: too many or too large files.
    """
    check_size(files)
    for path in files:
        check_path(path)
        if any(part.startswith(".") for part in path.split("/")):
            raise UnsafeArtifactError("a package has no hidden files; remove those that start with a dot")
    if FILE not in files:
        raise InvalidInputError(f"a package has a {FILE} at its top", field=FILE, rule="missing")
    contract = read_contract(files[FILE])
    roles = roles_of(contract)
    missing = sorted(roles.keys() - files.keys())
    if missing:
        raise InvalidInputError(f"{FILE} names `{missing[0]}`, which is not there", field="samples", rule="missing")
    extra = len(files.keys() - roles.keys())
    if extra:
        raise UnsafeArtifactError(
            f"the package holds {extra} files that {FILE} does not name; take them out, only {FILE}, one model "
            "file and Parquet samples may be in it"
        )
    for path, role in roles.items():
        check_file(path, role, files[path], contract.engine if role == "model" else _engine_of(path))
    read_former(contract, files)
    return Package(contract, build_manifest(files, roles), files)


def roles_of(contract: ModelContract) -> dict[str, str]:
    """The role of every file that a package with this contract has, by path."""
    samples = contract.samples
    roles = {
        FILE: "contract",
        samples.model: "model",
        samples.development: "development",
        samples.reference: "reference",
        samples.predictions: "predictions",
    }
    if samples.protected is not None:
        roles[samples.protected] = "protected"
    if not isinstance(contract.source, msgspec.UnsetType):
        roles |= dict.fromkeys(contract.source.files, "source")
        roles[CONVERSION_FILE] = "conversion"
    if not isinstance(contract.hardening, msgspec.UnsetType):
        roles |= {contract.hardening.model: "former-model", CONTRACT: "former-contract", MANIFEST: "former-manifest"}
    if not isinstance(contract.training, msgspec.UnsetType):
        roles |= dict.fromkeys(contract.training.code, "training")
    return roles


def _engine_of(path: str) -> RuntimeName:
    """What runs a former model, by its suffix; its own contract says the same, or `read_former` refuses."""
    return "xgboost" if path.endswith(MODEL_SUFFIX["xgboost"]) else "onnxruntime"


def check_size(files: Mapping[str, bytes]) -> None:
    """Raises TooLargeError for too many or too large files."""
    if len(files) > FILES_LIMIT:
        raise TooLargeError(f"a package has at most {FILES_LIMIT} files", field="files", rule="count")
    if sum(map(len, files.values())) > PACKAGE_LIMIT:
        raise TooLargeError(f"a package has at most {PACKAGE_LIMIT} bytes", field="files", rule="size")


def check_file(path: str, role: str, content: bytes, engine: RuntimeName = "onnxruntime") -> None:
    """Check one file against what its role may be.

    Raises:
        UnsafeArtifactError: wrong suffix or first bytes.
        TooLargeError: larger than its role allows.
    """
    is_model = role in ("model", "former-model")
    suffix = MODEL_SUFFIX[engine] if is_model else _SUFFIX[role]
    if not path.endswith(suffix):
        raise UnsafeArtifactError(f"the file of role `{role}` ends in {suffix}")
    limits = {"source": SOURCE_LIMIT, "training": SCRIPT_LIMIT}
    if len(content) > (MODEL_LIMIT if is_model else limits.get(role, SAMPLE_LIMIT)):
        raise TooLargeError(f"the file of role `{role}` is too large", field=role, rule="size")
    if is_model and not content.startswith(_MODEL_START[engine]):
        if engine == "xgboost":
            raise UnsafeArtifactError("the model file is not XGBoost's UBJSON; save it as `.ubj`")
        raise UnsafeArtifactError("the model file is not ONNX: it does not begin with an ir_version")
    parquet = len(content) >= 12 and content.startswith(_PARQUET) and content.endswith(_PARQUET)
    if suffix == ".parquet" and not parquet:
        raise UnsafeArtifactError(f"the file of role `{role}` is not Parquet")

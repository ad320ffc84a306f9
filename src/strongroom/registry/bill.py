"""The bill of materials of a version: CycloneDX 1.6 JSON with the model, its datasets and its libraries.

Made from the record alone, so the same version and licences give the same bytes. The scan stores it, and what the scan
service signs names its digest. Source: https://cyclonedx.org/docs/1.6/json/.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any, Final

from msgspec import UnsetType

from strongroom.registry.versions import Version
from strongroom.vocabulary import rfc3339

SPECIFICATION: Final = "1.6"
_NAMESPACE: Final = uuid.UUID("7d0d5c1e-5e0e-5b7e-9b43-6f2f3f3c9a52")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_TASK: Final = {"event": "classification", "number": "regression"}


def bill_of_materials(version: Version, outcome: str, licences: Mapping[str, str] | None = None) -> bytes:
    """The bill of one version.

    Args:
        version: as registered.
        outcome: what the kind's outcome is: `event` or `number`.
        licences: SPDX expressions by package name as indexes compare it, where they are known.

    Returns:
        JSON in ASCII, keys sorted, indented by two, ending with a line feed.
    """
    contract, ref = version.contract, version.ref
    model = f"model:{ref.manifest}"
    datasets = [_dataset(name, digest) for name, digest in sorted(contract.lineage.data.items())]
    told = licences or {}
    libraries = [_library(name, number, told) for name, number in sorted(contract.lineage.environment.items())]
    properties = [
        {"name": f"strongroom:{name}", "value": value}
        for name, value in (
            ("kind", contract.kind),
            ("tier", str(contract.tier)),
            ("runtime", contract.engine),
            ("code-commit", contract.lineage.code_commit),
            *((f"parameter:{name}", value) for name, value in sorted(contract.lineage.parameters.items())),
        )
    ]
    if not isinstance(contract.source, UnsetType):
        properties.append({"name": "strongroom:converted-from", "value": contract.source.format})
    if not isinstance(contract.hardening, UnsetType):
        properties.append({"name": "strongroom:hardened-from", "value": contract.hardening.package})
        properties.append({"name": "strongroom:hardened-by", "value": ", ".join(contract.hardening.measures)})
    component: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": model,
        "name": ref.name,
        "version": ref.manifest,
        "description": contract.description or contract.title,
        # the manifest lists every file with its own digest; the author signs it
        "hashes": [{"alg": "SHA-256", "content": ref.manifest}],
        "properties": properties,
        "modelCard": {
            "modelParameters": {
                "task": _TASK[outcome],
                "datasets": [{"ref": one["bom-ref"]} for one in datasets],
                "inputs": [{"format": f"{f.name}: {f.type}, {f.unit}"} for f in contract.input.features],
                "outputs": [{"format": f"{contract.output.name}: float32, {contract.output.unit}"}],
            },
            "considerations": {"useCases": list(contract.purposes)},
        },
    }
    document = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, ref.manifest)}",
        "version": 1,
        "metadata": {"timestamp": rfc3339(version.submitted_at), "component": component},
        "components": [*datasets, *libraries],
        "dependencies": [{"ref": model, "dependsOn": [one["bom-ref"] for one in (*datasets, *libraries)]}],
    }
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def _dataset(name: str, digest: str) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "data", "bom-ref": f"data:{name}", "name": name, "data": [{"type": "dataset"}]}
    if _DIGEST.match(digest):
        made["hashes"] = [{"alg": "SHA-256", "content": digest}]
    else:
        made["version"] = digest
    return made


def _library(name: str, number: str, licences: Mapping[str, str]) -> dict[str, Any]:
    expression = licences.get(re.sub(r"[-_.]+", "-", name).lower())
    licence = {} if expression is None else {"licenses": [{"acknowledgement": "declared", "expression": expression}]}
    return licence | {
        "type": "library",
        "bom-ref": f"library:{name}",
        "name": name,
        "version": number,
        "purl": f"pkg:pypi/{re.sub(r'[^a-z0-9.]+', '-', name.lower())}@{re.sub(r'[^A-Za-z0-9.+!-]', '', number)}",
    }

"""The model card: Hugging Face front matter and Markdown, from records alone. Nobody writes it, so it cannot drift."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import UnsetType

from strongroom.registry.contract import Feature, ModelContract
from strongroom.registry.versions import PointerChange, Version
from strongroom.vocabulary import rfc3339


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure of the validation report, as it stands there.

    Attributes:
        name: for example `AUC`.
        value: decimal string.
        interval: the report's words for its uncertainty, or empty.
        verdict: `pass`, `fail` or `info`.
    """

    name: str
    value: str
    interval: str
    verdict: str


def model_card(version: Version, changes: Sequence[PointerChange] = (), figures: Sequence[Figure] = ()) -> str:
    """The card of one version.

    Args:
        version: as registered.
        changes: pointer history of the model.
        figures: from the signed validation results; the caller has verified them.

    Returns:
        Front matter (JSON values, which are YAML) and Markdown; the same text for the same records.
    """
    contract = version.contract
    sections = [
        f"# {_inline(contract.title)}",
        _inline(contract.description) or "No description was given.",
        _table(
            ("", ""),
            [
                ("model", f"`{contract.name}`"),
                ("version", f"`{version.ref.manifest}`"),
                ("kind and tier", f"{contract.kind.upper()}, tier {contract.tier}"),
                ("state", version.state),
                ("author", version.author),
                ("submitted", rfc3339(version.submitted_at)),
                ("owner", contract.owner),
                ("product", contract.product),
                ("process", contract.process),
                ("parent", f"`{version.parent}`" if version.parent else "none"),
            ],
        ),
        "## Intended use",
        f"For {_list(contract.purposes)}, in {_list(contract.jurisdictions)}, on {_list(contract.environments)}. "
        "The gateway refuses any other purpose, jurisdiction or environment.",
        "## Input",
        _table(
            ("feature", "type", "unit", "range", "missing", "purpose", "legal basis"),
            [(f.name, f.type, f.unit, _range(f), f.missing, f.purpose, f.legal_basis) for f in contract.input.features],
        ),
        "## Output",
        f"`{_inline(contract.output.name)}` ({_inline(contract.output.unit)}), from {contract.output.minimum} to "
        f"{contract.output.maximum}; anything else is not answered.",
        *_decides(contract),
        "## Fairness",
        "Protected attributes are no features and are kept apart, for tests only: "
        + (_list(contract.protected) if contract.protected else "none was given")
        + ".",
        "## Validation",
        _table(
            ("figure", "value", "uncertainty", "verdict"), [(f.name, f.value, f.interval, f.verdict) for f in figures]
        )
        if figures
        else "Not validated yet.",
        "## Lineage",
        _table(
            ("what", "value"),
            [
                ("code", contract.lineage.code_commit),
                *_hardened(contract),
                *((f"data `{name}`", value) for name, value in sorted(contract.lineage.data.items())),
                *((f"parameter `{name}`", value) for name, value in sorted(contract.lineage.parameters.items())),
                *((f"package `{name}`", value) for name, value in sorted(contract.lineage.environment.items())),
            ],
        ),
        "## Evidence",
        _table(
            ("type", "sha256"),
            [("submission", version.bundle), *sorted((kind, value) for kind, value in version.evidence.items())],
        ),
        "## History",
        _table(
            ("from", "by", "champion", "challenger", "reason"),
            [
                (
                    rfc3339(change.at),
                    change.by,
                    "halted" if change.halted else (change.champion or "none")[:12],
                    f"{change.challenger[:12]} ({change.canary_percent} %)" if change.challenger else "none",
                    change.reason,
                )
                for change in changes
            ],
        )
        if changes
        else "Never live.",
    ]
    return f"---\n{_front_matter(version, figures)}---\n\n" + "\n\n".join(sections) + "\n"


def _hardened(contract: ModelContract) -> list[tuple[str, str]]:
    told = contract.hardening
    if isinstance(told, UnsetType):
        return []
    return [("hardened from package", f"`{told.package}`"), ("hardened by", ", ".join(told.measures))]


def _front_matter(version: Version, figures: Sequence[Figure]) -> str:
    contract = version.contract
    fields: dict[str, Any] = {
        "library_name": "xgboost" if contract.engine == "xgboost" else "onnx",
        "license": "other",
        "license_name": "internal",
        "pipeline_tag": "tabular-classification",
        "tags": [contract.kind, f"tier-{contract.tier}", "strongroom"],
        "strongroom": {
            "name": contract.name,
            "manifest": version.ref.manifest,
            "state": version.state,
            "purposes": list(contract.purposes),
            "jurisdictions": list(contract.jurisdictions),
        },
    }
    numbers = [figure for figure in figures if _is_number(figure.value)]
    if numbers:
        # The names of task and data set are what the Hugging Face schema demands of every result.
        fields["model-index"] = [
            {
                "name": contract.name,
                "results": [
                    {
                        "task": {"type": "tabular-classification"},
                        "dataset": {"name": "validation sample", "type": "private"},
                        "metrics": [
                            {"name": f.name, "type": f.name.lower().replace(" ", "-"), "value": float(f.value)}
                            for f in numbers
                        ],
                    }
                ],
            }
        ]
    # JSON is YAML: quoting every text keeps a title such as `no` or `a: b` what it is.
    return "".join(f"{name}: {json.dumps(value, ensure_ascii=True)}\n" for name, value in fields.items())


def _decides(contract: ModelContract) -> list[str]:
    cuts = [(cut.decision, cut.below or "no bound") for cut in contract.cut_offs]
    parts = [_table(("decision", "score below"), cuts) if cuts else "Nothing is decided by it alone."]
    if not isinstance(contract.outcome, UnsetType):
        parts += [
            "## Outcome",
            f"`{_inline(contract.samples.outcome)}`: {_inline(contract.outcome.meaning)}. "
            f"Observed {_inline(contract.outcome.window)}.",
        ]
    return parts


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _range(feature: Feature) -> str:
    if feature.allowed is not None:
        return "one of " + ", ".join(map(str, feature.allowed))
    return f"{feature.minimum or 'no bound'} to {feature.maximum or 'no bound'}"


def _list(labels: Iterable[str]) -> str:
    return ", ".join(_inline(label) for label in labels)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_inline(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _inline(text: str) -> str:
    """One line that cannot start Markdown or HTML of its own: the words come from a package, not from us."""
    return " ".join(text.split()).replace("<", "&lt;").replace("[", "\\[").replace("![", "\\![")

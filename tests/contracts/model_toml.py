"""A small model contract, for shelves that must keep one unchanged."""

from __future__ import annotations

from strongroom.registry.contract import (
    CutOff,
    Feature,
    InputContract,
    Lineage,
    ModelContract,
    OutputContract,
    Samples,
)


def contract(name: str) -> ModelContract:
    feature = Feature(
        name="age", type="integer", unit="years", purpose="risk", legal_basis="GDPR Art. 6(1)(b)", minimum="18"
    )
    late = Feature(
        name="late", type="category", unit="code", purpose="risk", legal_basis="GDPR Art. 6(1)(b)", allowed=(0, 1)
    )
    return ModelContract(
        v=1,
        name=name,
        kind="pd",
        tier=2,
        title="Cards",
        owner="ann",
        product="cards",
        process="granting",
        purposes=("credit-decision",),
        jurisdictions=("EU", "US-NY"),
        environments=("production",),
        input=InputContract(tensor="x", features=(feature, late)),
        output=OutputContract(tensor="p", name="pd", unit="probability", minimum="0", maximum="1"),
        cut_offs=(CutOff(decision="accept", below="0.2"), CutOff(decision="refuse")),
        samples=Samples(model="m.onnx", development="d", reference="r", predictions="p", outcome="y"),
        lineage=Lineage(data={"a": "1" * 64}, code_commit="unversioned", environment={"b": "2"}, parameters={}),
    )

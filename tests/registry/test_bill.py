"""The bill of materials holds the public schema and names everything that the record names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from strongroom.registry.bill import bill_of_materials
from tests.registry.room import AT, package_files


def version(**environment: str) -> Any:
    from types import SimpleNamespace

    import msgspec

    from strongroom.registry.packages import read_package

    package = read_package(package_files())
    lineage = msgspec.structs.replace(package.contract.lineage, environment=environment or {"numpy": "2.4.6"})
    return SimpleNamespace(
        ref=package.ref, contract=msgspec.structs.replace(package.contract, lineage=lineage), submitted_at=AT
    )


def test_it_validates_against_the_public_schema() -> None:
    json_validation = pytest.importorskip("cyclonedx.validation.json")
    from cyclonedx.schema import SchemaVersion

    check = json_validation.JsonStrictValidator(SchemaVersion.V1_6)
    bill = bill_of_materials(version(numpy="2.4.6", Odd_Name="1.0+local"), "event")
    assert check.validate_str(bill.decode()) is None
    spoilt = json.loads(bill) | {"bomFormat": "Other"}
    assert check.validate_str(json.dumps(spoilt)) is not None


def test_it_names_model_datasets_and_libraries() -> None:
    one = version(numpy="2.4.6", lightgbm="4.7.0")
    bill = json.loads(bill_of_materials(one, "event"))
    model = bill["metadata"]["component"]
    assert model["hashes"] == [{"alg": "SHA-256", "content": one.ref.manifest}]
    assert model["modelCard"]["modelParameters"]["task"] == "classification"
    found = {entry["name"]: entry for entry in bill["components"]}
    assert set(found) == {*one.contract.lineage.data, "numpy", "lightgbm"}
    assert found["development"]["hashes"][0]["content"] == one.contract.lineage.data["development"]
    assert found["lightgbm"]["purl"] == "pkg:pypi/lightgbm@4.7.0"
    assert bill_of_materials(one, "event") == bill_of_materials(version(numpy="2.4.6", lightgbm="4.7.0"), "event")

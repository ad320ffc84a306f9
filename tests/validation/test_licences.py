"""Licences of what a model needs: read from metadata, judged by the policy, told in the scan and in the bill."""

from __future__ import annotations

from email.message import Message
from importlib import metadata
from typing import Any

import msgspec
import pytest

from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError, SandboxError, UnsafeArtifactError
from strongroom.registry.source import Source
from strongroom.validation.jobs import scan as job
from strongroom.validation.jobs.licence_reading import Judge, judge, needed
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.scans.licences import LicenceRules, normal
from strongroom.validation.scans.scan import ScanResult
from strongroom.vocabulary import Digest, digest_of
from tests.validation import packages
from tests.validation.test_scan_verb import Answers, house
from tests.validation.worked import POLICY

RULES = LicenceRules(
    allowed=("MIT", "BSD-3-Clause", "Apache-2.0", "0BSD", "Zlib", "CC0-1.0"), denied=("AGPL-3.0-only",), unknown="note"
)
DEFAULT = ValidationPolicy.decode(POLICY.read_bytes())


@pytest.mark.parametrize(
    ("expression", "standing"),
    [
        ("MIT", "allowed"),
        ("mit", "allowed"),
        ("AGPL-3.0-only", "denied"),
        ("MIT OR AGPL-3.0-only", "allowed"),
        ("MIT AND AGPL-3.0-only", "denied"),
        ("(MIT OR AGPL-3.0-only) AND GPL-2.0-only", "unknown"),
        ("MIT OR GPL-2.0-only", "allowed"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "unknown"),
        ("BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0", "allowed"),
    ],
)
def test_of_a_choice_the_better_counts_and_of_a_sum_the_worse(expression: str, standing: str) -> None:
    assert Judge(RULES).standing(expression) == standing


@pytest.mark.parametrize("text", ["", "BSD", "MIT AND", "foo", "MIT\nAND BSD", "(" * 300, "M" * 1000])
def test_what_is_no_expression_is_not_guessed(text: str) -> None:
    assert Judge(RULES).read(text) is None
    with pytest.raises(InvalidInputError):
        Judge(RULES).standing(text)


@pytest.mark.parametrize(
    ("told", "expression", "by"),
    [
        ({"License-Expression": "MIT OR Apache-2.0", "License": "GPL"}, "MIT OR Apache-2.0", "metadata"),
        ({"License": "Apache License v2.0"}, "Apache-2.0", "words"),
        ({"License": "BSD-3-Clause"}, "BSD-3-Clause", "words"),
        ({"Classifier": "License :: OSI Approved :: BSD License"}, "BSD-2-Clause AND BSD-3-Clause", "words"),
        ({"Classifier": "License :: OSI Approved"}, None, "nobody"),
        ({"License": "Copyright (c) all of us\nand more"}, None, "nobody"),
        ({}, None, "nobody"),
    ],
)
def test_what_metadata_say(monkeypatch: pytest.MonkeyPatch, told: dict[str, str], expression: Any, by: str) -> None:
    message = Message()
    message["Version"] = "1.0"
    for name, value in told.items():
        message[name] = value
    monkeypatch.setattr(metadata, "metadata", lambda name: message)
    found = Judge(RULES).licence("thing", "1.0")
    assert (found.expression, found.told_by, found.installed) == (expression, by, "1.0")


def test_the_house_states_what_metadata_do_not() -> None:
    rules = msgspec.structs.replace(RULES, stated={"not-there": "MIT", "numpy": "AGPL-3.0-only"})
    numpy, absent, stated = (
        judge({"numpy": "1", "gone": "2", "not-there": ""}, rules).packages[1],
        *(judge({"gone": "2", "not-there": ""}, rules).packages),
    )
    assert (numpy.package, numpy.told_by) == ("not-there", "house")
    assert (absent.standing, absent.expression, absent.installed) == ("unknown", None, "")
    assert (stated.standing, stated.told_by) == ("allowed", "house")
    (known,) = judge({"numpy": "1"}, rules).packages
    assert (known.told_by, known.installed) == ("metadata", metadata.version("numpy")), "an expression is not overruled"


def test_requirements_are_a_list_of_names() -> None:
    asked = b"Scikit_Learn==1.8.0  # comment\n\nnumpy>=2\n-r other.txt\nevil @ https://evil.example/x.whl\n../local\n"
    found, odd = needed({"numpy": "2.4.6", "onnx": "1"}, asked)
    assert found == {"numpy": "2.4.6", "onnx": "1", "scikit-learn": "1.8.0", "evil": ""}
    assert odd == ["-r other.txt", "evil @ https://evil.example/x.whl", "../local"]
    assert normal("Scikit_.Learn") == "scikit-learn"
    with pytest.raises(InvalidInputError):
        judge({f"p{n}": "" for n in range(501)}, RULES)


@pytest.mark.parametrize(
    "change",
    [
        {"allowed": ("MIT", "AGPL-3.0-only")},
        {"allowed": ("MIT or worse",)},
        {"stated": {"Not_Normal": "MIT"}},
        {"stated": {"a": ""}},
    ],
)
def test_rules_that_make_no_sense_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        msgspec.structs.replace(RULES, **change)


def test_the_default_rules_name_licences_that_exist() -> None:
    assert not isinstance(DEFAULT.licences, msgspec.UnsetType)
    reader = Judge(DEFAULT.licences)
    for one in (*DEFAULT.licences.allowed, *DEFAULT.licences.denied, *DEFAULT.licences.stated.values()):
        assert reader.read(one) == one


def scanned(rules: LicenceRules | None, environment: dict[str, str], **files: bytes) -> ScanResult:
    contract = packages.contract()
    contract = msgspec.structs.replace(
        contract, lineage=msgspec.structs.replace(contract.lineage, environment=environment)
    )
    paths = {f"source/{name.replace('_', '.')}": data for name, data in files.items()}
    if paths:
        contract = msgspec.structs.replace(contract, source=Source(format="mlflow", files=("source/MLmodel", *paths)))
    whole = packages.files() | paths
    inputs = {f"file-{n}": data for n, data in enumerate(whole.values())} | {"contract.json": canonical(contract)}
    if rules is not None:
        inputs["licences.json"] = canonical(rules)
    told = job.run(inputs, {"files": [[f"file-{n}", path, "x"] for n, path in enumerate(whole)]})
    return parse_as(told["scan.json"], ScanResult)


def lines(result: ScanResult) -> list[tuple[str, str]]:
    return [(one.severity, one.message) for one in result.findings if one.rule == "licence"]


def test_findings_of_the_scan() -> None:
    clean = scanned(RULES, {"numpy": "2.4.6"})
    assert lines(clean) == []
    assert not isinstance(clean.licences, msgspec.UnsetType)
    assert [(one.package, one.standing) for one in clean.licences.packages] == [("numpy", "allowed")]
    ((severity, message),) = lines(scanned(RULES, {"no-such-thing": "1"}))
    assert severity == "note"
    assert "the licence of `no-such-thing` is not known" in message
    denied = msgspec.structs.replace(RULES, stated={"thing": "AGPL-3.0-only"})
    ((severity, message),) = lines(scanned(denied, {"thing": "1"}))
    assert severity == "refuse"
    assert "AGPL-3.0-only, which the policy denies" in message
    strict = msgspec.structs.replace(RULES, unknown="refuse")
    assert [one[0] for one in lines(scanned(strict, {"no-such-thing": "1"}))] == ["refuse"]
    assert scanned(None, {"no-such-thing": "1"}).licences is msgspec.UNSET


def test_what_an_mlflow_folder_asks_for_is_judged_and_not_fetched() -> None:
    found = scanned(RULES, {}, requirements_txt=b"numpy==2.4.6\ngit+https://evil.example/x\n")
    assert not isinstance(found.licences, msgspec.UnsetType)
    assert [(one.package, one.wanted) for one in found.licences.packages] == [("numpy", "2.4.6")]
    assert any("no package by name" in message for _, message in lines(found))


def test_a_denied_licence_keeps_a_version_where_it_was() -> None:
    rules = msgspec.structs.replace(RULES, stated={"thing": "AGPL-3.0-only"})
    policy = msgspec.structs.replace(DEFAULT, licences=rules).encode()
    told = {"scan.json": canonical(scanned(rules, {"thing": "1"}))}
    home = house("logistic")
    with pytest.raises(SandboxError, match="other rules"):
        home.scan(Answers(told))  # judged by rules that the policy in force does not have
    with pytest.raises(UnsafeArtifactError, match="which the policy denies") as caught:
        home.scan(Answers(told), policy)
    assert home.state == "submitted"
    predicate = home.predicate(Digest(str(caught.value.details["evidence"])))
    assert (predicate.verdict, predicate.policy_sha256) == ("fail", digest_of(policy))
    assert not isinstance(predicate.bill, msgspec.UnsetType)
    assert home.vault.blobs.get(predicate.bill)

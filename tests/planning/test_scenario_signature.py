"""Who answers for a scenario: the author's signature over its very bytes, on the days on which it counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from strongroom.access.people import Person, person_key
from strongroom.adapters.keys.homes import Home
from strongroom.approval.evidence import Register
from strongroom.approval.policy_signature import POLICY_TYPE
from strongroom.cli import app
from strongroom.errors import EvidenceError, ExpiredError, InvalidInputError, NotPermittedError, TamperedError
from strongroom.planning.scenario_signature import SCENARIO_TYPE, read_signed_scenario, sign_scenario
from strongroom.sealing.dsse import join_signatures, pae, sign_envelope
from strongroom.vocabulary import PersonId, digest_of
from strongroom.wiring.planning import plan
from tests import simulator
from tests.journeys.bank import each_key_derived_once
from tests.planning import house
from tests.planning.test_plan import job

TEXT = house.SCENARIO.encode()
RITA = Person(
    person_id=PersonId("rita"), kind="Person", keys=(person_key(simulator.signer("rita").public.spki, 0),),
    roles=("risk",),
)  # fmt: skip
BY_RITA = TEXT.replace(b'author = "val"', b'author = "rita"')


def register(*more: Person) -> Register:
    return Register.read(simulator.register({person.person_id: person for person in more}).encode())


def ended(name: str, reason: str) -> Person:
    key = msgspec.structs.replace(person_key(simulator.signer(name).public.spki, 0), until_us=1, reason=reason)
    return Person(person_id=PersonId(name), kind="Person", keys=(key,), roles=("validator",))


def test_a_document_of_its_author_is_read() -> None:
    envelope = house.signed(house.SCENARIO)
    found = read_signed_scenario(TEXT, envelope, register())
    assert (found.author, found.key_id) == ("val", simulator.signer("val").public.key_id)
    assert (found.sha256, found.signature_sha256) == (digest_of(TEXT), digest_of(envelope))


def test_it_counts_on_its_days() -> None:
    found = read_signed_scenario(TEXT, house.signed(house.SCENARIO), register())
    for day in (date(2026, 1, 1), date(2027, 12, 31)):
        assert found.on(day).name == "budget"
    for day in (date(2025, 12, 31), date(2028, 1, 1)):
        with pytest.raises(ExpiredError, match=f"not on {day}; have `val` sign one"):
            found.on(day)


def test_where_there_is_a_risk_function_one_of_them_signs() -> None:
    of_rita = sign_scenario(BY_RITA, simulator.signer("rita"), RITA.person_id)
    assert read_signed_scenario(BY_RITA, of_rita, register(RITA)).author == "rita"
    with pytest.raises(EvidenceError, match="its author signs it, and that is one of rita"):
        read_signed_scenario(TEXT, house.signed(house.SCENARIO), register(RITA))


def test_who_leaves_takes_no_scenario_along_and_a_key_that_leaked_counts_no_more() -> None:
    envelope = house.signed(house.SCENARIO)
    assert read_signed_scenario(TEXT, envelope, register(ended("val", "left"))).author == "val"
    with pytest.raises(EvidenceError, match="key of `val` under the scenario document leaked"):
        read_signed_scenario(TEXT, envelope, register(ended("val", "compromised")))


def two() -> bytes:
    signers = [simulator.signer(name) for name in ("val", "ann")]
    signed = {one.public.key_id: one.sign(pae(SCENARIO_TYPE, TEXT)) for one in signers}
    return join_signatures(TEXT, signed, payload_type=SCENARIO_TYPE)


FORGED: dict[str, tuple[Callable[[], bytes | None], type[Exception], str]] = {
    "unsigned": (lambda: None, EvidenceError, "`strongroom scenario sign`"),
    "of another document": (lambda: house.signed(house.SCENARIO + "#"), TamperedError, "strongroom scenario sign"),
    "by another person": (
        lambda: sign_envelope(TEXT, simulator.signer("ann"), payload_type=SCENARIO_TYPE), EvidenceError,
        "of `val` is signed by `ann`",
    ),
    "by a stranger": (
        lambda: sign_envelope(TEXT, simulator.signer("mallory"), payload_type=SCENARIO_TYPE), EvidenceError,
        "exactly one person of the register",
    ),
    "by two": (two, EvidenceError, "exactly one person of the register"),
    "as another kind of document": (
        lambda: sign_envelope(TEXT, simulator.signer("val"), payload_type=POLICY_TYPE), TamperedError,
        "does not hold `application/vnd.strongroom.scenario.v1\\+toml`",
    ),
    "with a signature over something else": (
        lambda: join_signatures(
            TEXT, {simulator.signer("val").public.key_id: simulator.signer("val").sign(b"x")},
            payload_type=SCENARIO_TYPE,
        ),
        TamperedError, "signature",
    ),
    "in no envelope": (lambda: b"{}", TamperedError, "envelope"),
}  # fmt: skip


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_one_is_refused(case: str) -> None:
    make, kind, words = FORGED[case]
    with pytest.raises(kind, match=words):
        read_signed_scenario(TEXT, make(), register())


def test_a_service_signs_no_scenario() -> None:
    text = TEXT.replace(b'"val"', b'"validation"')
    envelope = sign_scenario(text, simulator.signer("validation"), PersonId("validation"))
    with pytest.raises(EvidenceError, match="signed by `validation`"):
        read_signed_scenario(text, envelope, register())


def test_nobody_signs_for_somebody_else_or_what_is_no_scenario() -> None:
    with pytest.raises(NotPermittedError, match="names `val` as its author"):
        sign_scenario(TEXT, simulator.signer("ann"), PersonId("ann"))
    with pytest.raises(InvalidInputError):
        sign_scenario(b"v = 1", simulator.signer("val"), PersonId("val"))


def test_a_plan_is_made_of_no_other_scenario_and_names_who_signed(tmp_path: Path) -> None:
    wanted = job(tmp_path)
    document = tmp_path / "scenario.toml"
    document.write_bytes(TEXT.replace(b"weight = 0.3", b"weight = 0.6").replace(b"weight = 0.2", b"weight = -0.1"))
    with pytest.raises(TamperedError, match="not the one that was signed"):
        plan(wanted)
    document.write_bytes(TEXT.replace(b"[8.6, 8.0]", b"[5.6, 5.0]"))
    with pytest.raises(TamperedError, match="not the one that was signed"):
        plan(wanted)
    document.write_bytes(TEXT)
    with pytest.raises(ExpiredError):
        plan(replace(wanted, as_of=date(2028, 1, 1)))
    envelope = (tmp_path / "scenario.dsse").rename(tmp_path / "elsewhere.dsse")
    with pytest.raises(EvidenceError, match="is not signed"):
        plan(wanted)
    assert not wanted.output.exists()
    found = plan(replace(wanted, signature=envelope))[0].inputs
    assert found.scenario_signed == msgspec.structs.replace(
        found.scenario_signed, author="val", key_id=simulator.signer("val").public.key_id,
        signature_sha256=digest_of(envelope.read_bytes()), effective_from="2026-01-01",
        register_sha256=digest_of((tmp_path / "people.json").read_bytes()), effective_until="2028-01-01",
    )  # fmt: skip
    assert found.scenario_sha256 == digest_of(TEXT)


def test_somebody_says_whose_signature_counts(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="--people"):
        job(tmp_path, people=None)
    with pytest.raises(InvalidInputError, match="and not both"):
        job(tmp_path, trust=tmp_path)


def test_the_command_signs(tmp_path: Path) -> None:
    secret, home = tmp_path / "secret", tmp_path / "home"
    secret.write_bytes(b"correct horse battery")
    secret.chmod(0o600)
    document = tmp_path / "scenario.toml"
    document.write_bytes(BY_RITA)
    with each_key_derived_once():
        public = Home.create(home, "rita", b"correct horse battery")
        words = ["scenario", "sign", str(document), "--home", str(home), "--passphrase-file", str(secret)]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        document.write_bytes(TEXT)
        assert CliRunner().invoke(app, words).exit_code == 3
    person = msgspec.structs.replace(RITA, keys=(person_key(public.spki, 0),))
    found = read_signed_scenario(BY_RITA, (tmp_path / "scenario.dsse").read_bytes(), register(person))
    assert found.key_id == public.key_id

"""CWE-674, CWE-400, CWE-1284: JSON that is deep, long, repeated or full of numbers that are none.

Every reader of JSON that somebody outside can reach ends in a refusal of its own family, and never in a crash. A body
with many keys, the last of them twice, took quadratic time before: a megabyte held a worker for minutes.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from strongroom.adapters.releases.halt_files import HaltFiles
from strongroom.errors import InvalidInputError
from tests.access import issuing
from tests.fuzz.harnesses import HARNESSES
from tests.serving.house import House
from tests.web.gateways import gateway, question

READERS = [name for name, one in HARNESSES.items() if one.json]
DEEP = {
    "lists": b"[" * 200_000,
    "objects": b'{"a":' * 200_000,
    "closed lists": b"[" * 100_000 + b"]" * 100_000,
    "deep under a known name": b'{"v":' + b"[" * 5000 + b"]" * 5000 + b"}",
}
NUMBERS = {
    "digits": b"1" * 5000,
    "negative digits": b"-" + b"1" * 5000,
    "exponent": b"1e9999999",
    "fraction": b"1." + b"0" * 5000 + b"1",
    "NaN": b"NaN",
    "infinity": b"-Infinity",
    "leading zero": b"007",
    "hexadecimal": b"0x10",
    "two to the 64": str(2**64).encode(),
    "below a double": b"1e-99999",
    "minus": b"-",
    "minus zero": b"-0",
    "full width": "\uff11".encode(),
}


@pytest.mark.parametrize("name", READERS)
def test_depth_is_refused(name: str) -> None:
    for attack, data in DEEP.items():
        assert HARNESSES[name].try_on(data) is False, attack


@pytest.mark.parametrize("name", READERS)
def test_numbers_that_are_none_are_refused(name: str) -> None:
    """In place of the first number of a good document, or of the whole."""
    harness = HARNESSES[name]
    for seed in harness.seeds()[:2]:
        at = next((i for i, c in enumerate(seed) if i and seed[i - 1 : i] in (b":", b"[") and 48 <= c <= 57), None)
        for number in NUMBERS.values():
            harness.try_on(number)
            if at is not None:
                harness.try_on(seed[:at] + number + seed[at + 1 :])


@pytest.mark.parametrize("name", READERS)
def test_keys_that_repeat_or_are_many_are_no_second_reading(name: str) -> None:
    harness = HARNESSES[name]
    many = b"{" + b",".join(b'"k%d":1' % n for n in range(50_000)) + b',"k49999":2}'
    assert harness.try_on(many) is False
    for seed in harness.seeds()[:2]:
        if seed.startswith(b"{"):
            assert harness.try_on(seed[:1] + seed[1:-1] + b"," + seed[1:]) is False


HALF = b"\\ud800"
PLACES = 150


@pytest.mark.parametrize("name", READERS)
def test_half_a_character_in_any_text_or_key_is_no_crash(name: str) -> None:
    """JSON can escape one half of a pair of surrogates (RFC 8259, section 8.2), which no encoder of UTF-8 can write."""
    harness = HARNESSES[name]
    seed = min(harness.seeds(), key=len)
    quotes = [at for at, byte in enumerate(seed) if byte == ord('"')]
    for at in quotes[:: max(1, len(quotes) // PLACES)]:
        harness.try_on(seed[: at + 1] + HALF + seed[at + 1 :])
    harness.try_on(b'{"' + HALF + b'":1}')
    harness.try_on(seed.rstrip()[:-1] + b',"' + HALF + b'":"' + HALF + b'"}')


def test_a_token_with_deep_claims_is_refused() -> None:
    deep = base64.urlsafe_b64encode(b"[" * 3000).rstrip(b"=")
    head = issuing.token().partition(".")[0].encode()
    for token in (deep + b"." + deep + b".x", head + b"." + deep + b".x"):
        assert HARNESSES["credential"].try_on(token) is False


def test_deep_halt_files_stop_every_model(tmp_path: Path) -> None:
    files = HaltFiles(tmp_path / "seen", tmp_path / "halt")
    for number, data in enumerate((b"[" * 100_000, b'{"payload":"%b"}' % base64.b64encode(b"[" * 100_000))):
        (tmp_path / "halt" / f"{number}.json").write_bytes(data)
        assert files.remembered("pd-cards")[-1] == data


def test_a_gateway_takes_a_body_of_many_keys_as_any_other_and_goes_on() -> None:
    """2 MB of keys, one of them twice: this ends, where it took a quarter of an hour."""
    with gateway(House()) as desk:
        keys = ",".join(f'"k{n}":1' for n in range(150_000))
        status, answer = desk.ask(f'{{"inputs":[],"parameters":{{{keys},"k149999":1}}}}'.encode())
        assert (status, answer["rule"], answer["field"]) == (400, "unique", "k149999")
        status, answer = desk.ask(b'{"inputs":' + b"[" * 500_000 + b"}")
        assert (status, answer["rule"]) == (400, "depth")
        assert desk.ask(question())[0] == 200


def test_control_a_good_document_of_each_kind_is_read() -> None:
    assert len(READERS) > 15
    for name in READERS:
        if name != "receipt":
            assert HARNESSES[name].try_on(HARNESSES[name].seeds()[0]), name
    with pytest.raises(InvalidInputError):
        HARNESSES["v2 json"].run(json.dumps({"inputs": 1}).encode())

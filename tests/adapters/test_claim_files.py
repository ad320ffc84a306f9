"""Claims of long work: respected while their process lives and their hour lasts, and not a moment longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from strongroom.adapters.files.claim_files import ClaimFiles
from strongroom.errors import ConflictError, InvalidInputError, TamperedError, UnavailableError
from strongroom.office.claims import Claim


def a_claim(who: str = "omar", verb: str = "scan", at_us: int = 10, until_us: int = 20) -> Claim:
    return Claim(who=who, verb=verb, on="pd-cards@0123456789ab", at_us=at_us, until_us=until_us)


def test_a_claim_is_respected_by_others_until_it_is_dropped(tmp_path: Path) -> None:
    claims = ClaimFiles(tmp_path / "claims")
    held = claims.take(a_claim())
    held.check(19)
    with pytest.raises(ConflictError, match="`omar` has been running `scan` on pd-cards@0123456789ab since"):
        claims.take(a_claim("olga"))
    other = claims.take(a_claim("olga", "validate"))
    held.drop(remove=True)
    held.drop(remove=True)
    claims.take(a_claim("olga")).drop(remove=True)
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "claims").iterdir()] == [0o600]
    other.drop(remove=True)
    assert not list((tmp_path / "claims").iterdir())


def test_what_nobody_holds_means_nothing(tmp_path: Path) -> None:
    claims = ClaimFiles(tmp_path)
    claims.take(a_claim()).drop(remove=False)
    (left,) = tmp_path.iterdir()
    left.write_bytes(b"cut off")
    claims.take(a_claim("olga")).check(11)


def test_a_claim_that_ended_is_taken_over_and_its_holder_hears_of_it(tmp_path: Path) -> None:
    claims = ClaimFiles(tmp_path)
    first = claims.take(a_claim())
    second = claims.take(a_claim("olga", at_us=20, until_us=30))
    with pytest.raises(ConflictError, match="somebody else took over"):
        first.check(19)
    with pytest.raises(ConflictError, match="when its claim ended"):
        first.check(20)
    first.drop(remove=True)
    second.check(29)
    assert len(list(tmp_path.iterdir())) == 1, "it took away nothing of hers"


def test_a_held_file_that_is_no_claim_is_not_taken_over(tmp_path: Path) -> None:
    claims = ClaimFiles(tmp_path)
    claims.take(a_claim())  # stays held
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"{}")
    with pytest.raises(TamperedError):
        claims.take(a_claim("olga", at_us=99, until_us=100))


def test_where_nothing_can_be_written_nothing_is_claimed(tmp_path: Path) -> None:
    (tmp_path / "claims").write_bytes(b"")
    with pytest.raises(UnavailableError):
        ClaimFiles(tmp_path / "claims").take(a_claim())
    with pytest.raises(InvalidInputError):
        a_claim(until_us=10)

"""A report of any kind's results, drawn twice: the same bytes on screen and in print, and nothing that runs."""

from __future__ import annotations

import re

import pytest

from strongroom.adapters.typst_pdf import can_print, print_report
from strongroom.encoding import parse_as
from strongroom.planning.impact import capital_impact
from strongroom.registry.contract import ModelContract
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.reporting.chapters import draw_up
from strongroom.validation.reporting.dossier import Dossier
from strongroom.validation.reporting.report import render
from strongroom.validation.reporting.report_page import page_of
from strongroom.validation.results import BatteryResults
from strongroom.vocabulary import KeyId, ModelRef, PersonId, digest_of
from tests.validation.worked import POLICY


def dossier_of(contract: ModelContract, results: bytes) -> Dossier:
    """What a room would know right after the validation."""
    found, policy = BatteryResults.decode(results), POLICY.read_bytes()
    return Dossier(
        ref=ModelRef(found.model, found.manifest), contract=contract, author=PersonId("ann"),
        author_key=KeyId("a" * 64), submitted_us=1, as_of_us=2, policy=ValidationPolicy.decode(policy),
        policy_sha256=digest_of(policy), results=found, results_sha256=digest_of(results),
        capital=capital_impact(contract, found),
    )  # fmt: skip


def drawn_twice(contract: bytes, results: bytes) -> str:
    """The page of twenty sections, after holding it and its print against a second drawing."""
    read = parse_as(contract, ModelContract)
    page = page_of(draw_up(dossier_of(read, results)))
    assert page == page_of(draw_up(dossier_of(read, results)))
    assert render(results) == render(results)
    for text in (page.decode(), render(results).decode()):
        assert not re.search(r"<(script|iframe|object|embed|link|img)\b|javascript:|\bon[a-z]+=\"", text)
        assert not re.search(r"""(src|href)=["'](?!#)""", text), "nothing is loaded from elsewhere"
        assert "url(" not in text
        assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    if can_print():
        once, again = (print_report(draw_up(dossier_of(read, results))) for _ in range(2))
        assert once == again
        assert once.startswith(b"%PDF-")
    else:
        pytest.skip("the page is the same; typst, which prints it, is not installed")
    return page.decode()

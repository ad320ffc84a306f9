"""The first page in a few lines: who has judged, what does not hold, what is open, what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from strongroom.validation.findings import SEVERITIES
from strongroom.validation.reporting.blocks import Fact
from strongroom.validation.reporting.dossier import Dossier
from strongroom.validation.reporting.proof_chapters import when
from strongroom.validation.sections import TITLES, SectionKey

DECIDED = {"approve": "approved", "reject": "rejected"}


def at_a_glance(d: Dossier, incomplete: Sequence[SectionKey]) -> Iterable[Fact]:
    """Lines for somebody who reads no further.

    Args:
        d: the dossier.
        incomplete: sections in which the policy misses something, in their order.
    """
    failed = _titles(d, "fail")
    if failed:
        yield Fact("Not passed", failed)
    yield Fact("Validator's opinion", _opinion(d))
    yield Fact("Approvers", "; ".join(_decisions(d)) or "nobody has decided yet")
    for name, titles in (("Without an answer", _titles(d, "not-evaluable")), ("Warnings", _titles(d, "amber"))):
        if titles:
            yield Fact(name, titles)
    yield Fact("Open findings", _open(d))
    if incomplete:
        places = [f"{list(TITLES).index(key) + 1} ({TITLES[key]})" for key in incomplete]
        yield Fact("Incomplete", f"section{'s' if len(places) > 1 else ''} {', '.join(places)}")
    if d.terms is not None:
        yield Fact("Next review due", when(d.terms.review_due_us)[:10])


def _opinion(d: Dossier) -> str:
    return f"{d.opinion.opinion}, by {_by(d.opinion.person, d.opinion.at_us)}" if d.opinion else "none yet"


def _titles(d: Dossier, verdict: str) -> str:
    """Tests that the policy asks for and that ended so; what one test says of several parts stands together."""
    tests = d.results.tests if d.results else ()
    parts: dict[str, list[str]] = {}
    for test in tests:
        if test.role != "information" and test.verdict == verdict:
            title, _, part = test.title.partition(": ")
            parts.setdefault(title, []).append(part)
    return "; ".join(
        f"{title}: {', '.join(dict.fromkeys(filter(None, named)))}" if any(named) else title
        for title, named in parts.items()
    )


def _by(person: str, at_us: int) -> str:
    return f"{person} on {when(at_us)[:10]}"


def _decisions(d: Dossier) -> Iterable[str]:
    for one in d.decisions:
        number = len(one.conditions)
        under = f", under {number} condition{'s' if number > 1 else ''}" if number else ""
        yield f"{DECIDED.get(one.decision, one.decision)} by {_by(one.person, one.at_us)}{under}"


def _open(d: Dossier) -> str:
    """Findings that nobody has closed, here or in earlier versions, the most severe first."""
    found = [one for one in (*d.findings, *(one for _, one in d.inherited)) if one.status(d.as_of_us) != "closed"]
    counts = Counter(one.raised.severity for one in found)
    told = [f"{counts[level]} {level}" for level in reversed(SEVERITIES) if counts[level]]
    late = sum(one.overdue(d.as_of_us) for one in found)
    if not told:
        return "none in the register"
    return ", ".join(told) + (f"; {late} overdue" if late else "")

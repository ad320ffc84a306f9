"""What another policy says of stored results: figures stay, cut-offs change, nothing runs again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from strongroom.errors import EvidenceError
from strongroom.validation.battery_rules import conclude, judge
from strongroom.validation.findings import blocking
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.reporting.chapters import lacking
from strongroom.validation.reporting.dossier import Dossier

JUDGING = frozenset(
    [
        "v",
        "version",
        "effective_from_us",
        "effective_until_us",
        "batteries",
        "drift",
        "explanation",
        "findings",
        "local",
        "tiering",
        "licences",
    ]
)
"""Parts of a policy that no figure depends on. Where any other differs, only a new run gives the policy's figures."""


@dataclass(frozen=True, slots=True)
class Rejudged:
    """One version under another policy.

    Attributes:
        before: the battery's verdict as it was signed.
        after: `pass`, `amber` or `fail` under the other policy, its findings and its sections too.
        reasons: for anything but a pass.
        rerun: parts of the policy by which figures would be computed otherwise: the verdict is by the old figures.
    """

    before: str
    after: str
    reasons: tuple[str, ...]
    rerun: tuple[str, ...]


def rejudge(dossier: Dossier, policy: bytes, held_up: Sequence[str] | None = None) -> Rejudged:
    """Judge what a dossier holds by another policy.

    Args:
        dossier: with the policy that judged it.
        policy: canonical bytes of the other.
        held_up: why findings hold the version up under it; None: those of the dossier's own register say.

    Raises:
        EvidenceError: the version was never validated.
        InvalidInputError: it is no validation policy.
    """
    new, results = ValidationPolicy.decode(policy), dossier.results
    if results is None:
        raise EvidenceError(f"version {dossier.ref} was never validated")
    contract = dossier.contract
    try:
        battery = new.battery(contract.kind, contract.tier, contract.jurisdictions).asked_of(contract)
    except EvidenceError as error:
        return Rejudged(results.verdict, "fail", (error.message,), ())
    rules = {rule.test: rule for rule in battery.rules}
    verdict, reasons = conclude(battery, [judge(test, rules.get(test.rule)) for test in results.tests])
    blocked = [
        *new.objections(contract),
        *(blocking(dossier.findings, new.finding_rule, dossier.as_of_us) if held_up is None else held_up),
        *lacking(replace(dossier, policy=new)),
    ]
    changed = tuple(
        name
        for name in new.__struct_fields__
        if name not in JUDGING and getattr(new, name) != getattr(dossier.policy, name)
    )
    return Rejudged(results.verdict, "fail" if blocked else verdict, (*reasons, *blocked), changed)

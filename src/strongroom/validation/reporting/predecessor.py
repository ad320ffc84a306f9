"""What changed from a version to the one that replaces it: contract and figures, side by side."""

from __future__ import annotations

from collections.abc import Iterable

from strongroom.registry.contract import ModelContract
from strongroom.validation.reporting import report
from strongroom.validation.reporting.blocks import Block, Grid, Note
from strongroom.validation.reporting.dossier import Before
from strongroom.validation.results import BatteryResults, TestResult

SAME = "as before"


def since(before: Before, contract: ModelContract, results: BatteryResults | None) -> Iterable[Block]:
    """The changes of contract and figures, as blocks.

    Args:
        before: the version that is replaced.
        contract, results: of the version that replaces it; no results where it was not validated.
    """
    rows = tuple((name, then, now) for name, then, now in _contracts(before.contract, contract) if then != now)
    heads = ("Part", f"Version {before.ref.manifest[:16]}", "This version")
    if rows:
        yield Grid("What changed in the contract", "", heads, (False, False, False), rows)
    else:
        yield Note(
            f"The contract promises the same as that of version `{before.ref.manifest[:16]}`, which it replaces."
        )
    if before.leaked is not None:
        yield Note(
            f"The validation of version `{before.ref.manifest[:16]}` is not trusted: the key that signed it, "
            f"`{before.leaked[:12]}`, is compromised. Its figures are left out."
        )
    if results is None or before.results is None:
        return
    old = {test.id: test for test in before.results.tests}
    lines = tuple(
        (test.title, _told(old[test.id]), _told(test))
        for test in results.tests
        if test.id in old and test.role == "gate" and (test.figure or old[test.id].figure)
    )
    same = {one.sha256 for one in results.samples if one.role == "validation"} & {
        one.sha256 for one in before.results.samples if one.role == "validation"
    }
    caption = "Both on the same validation sample." if same else "Each on the validation sample of its own time."
    if lines:
        heads = ("Test", heads[1], heads[2])
        yield Grid("What changed in the figures that decide", caption, heads, (False, True, True), lines)


def _told(test: TestResult) -> str:
    return f"{report.shown(test)} ({report.VERDICTS[test.verdict]})"


def _contracts(then: ModelContract, now: ModelContract) -> Iterable[tuple[str, str, str]]:
    for name in ("title", "kind", "tier", "owner", "product", "process"):
        yield name.capitalize(), str(getattr(then, name)), str(getattr(now, name))
    for name in ("purposes", "jurisdictions", "environments", "protected"):
        yield name.capitalize(), ", ".join(getattr(then, name)), ", ".join(getattr(now, name))
    was, has = ({feature.name: feature for feature in one.input.features} for one in (then, now))
    yield "Features left out", ", ".join(name for name in was if name not in has), ""
    yield "Features added", "", ", ".join(name for name in has if name not in was)
    moved = ", ".join(name for name, feature in has.items() if name in was and was[name] != feature)
    yield "Features with other bounds or grounds", SAME, moved or SAME
    cuts = [", ".join(f"{cut.decision} below {cut.below}" for cut in one.cut_offs if cut.below) for one in (then, now)]
    yield "Cut-offs", cuts[0], cuts[1]
    yield "Runtime", then.engine, now.engine
    yield "Training code", then.lineage.code_commit, now.lineage.code_commit

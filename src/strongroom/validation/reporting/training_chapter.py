"""What the report says of training a model again: part of its section on development."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UnsetType

from strongroom.registry.contract import ModelContract
from strongroom.validation.battery_rules import ReplicationDemand
from strongroom.validation.reporting import report
from strongroom.validation.reporting.blocks import Block, Fact, Facts, Item, Items, Note
from strongroom.validation.reporting.dossier import Dossier
from strongroom.validation.reporting.proof_chapters import when
from strongroom.validation.workshop.replication import ReplicationPredicate
from strongroom.vocabulary import ModelRef

_MARKS = {"same-bytes": "pass", "within-tolerance": "pass", "differs": "fail", "failed": "fail"}


def replication_words(said: ReplicationPredicate) -> str:
    """What came of training a model again, in one sentence."""
    if said.reason:
        start = "Not evaluable" if said.outcome == "not-evaluable" else "Failed"
        return f"{start}: {said.reason}."
    if isinstance(said.compared, UnsetType):
        return "The same bytes came out."
    one = said.compared
    alike = f"on {report.number(one.rows)} rows the answers differ by up to {one.largest} (tolerance {said.tolerance})"
    if said.outcome == "within-tolerance":
        return f"Other bytes came out that answer alike: {alike}."
    return (
        f"Another model came out: {alike}, {report.number(one.beyond)} rows beyond it, "
        f"{report.number(one.flips)} decisions differ."
    )


def replication_gap(
    ref: ModelRef, contract: ModelContract, demand: ReplicationDemand | UnsetType, said: ReplicationPredicate | None
) -> str | None:
    """Why what came of training the model again is not what the policy demands, with the verb that helps; or None.

    Args:
        ref: the version, for the command.
        contract: of the version.
        demand: of the policy; unset, nothing is demanded.
        said: the latest outcome, if there is one.
    """
    if isinstance(demand, UnsetType) or (said and said.outcome in ("same-bytes", demand)):
        return None
    wanted = "that gives its very bytes" if demand == "same-bytes" else "that gives its answers"
    if isinstance(contract.training, UnsetType):
        return (
            f"the policy demands training {wanted}, and the package has no code for it; submit one made with "
            "`--training`"
        )
    if said is None:
        return f"the policy demands training {wanted}, and nobody has repeated it; `strongroom replicate {ref}` does"
    if said.outcome == "not-evaluable":
        return (
            f"the policy demands training {wanted}, and the package does not hold its data; "
            f"`strongroom replicate {ref} --data ...` takes them"
        )
    came = {
        "failed": "it failed", "differs": "another model came out", "within-tolerance": "other bytes came out",
    }[said.outcome]  # fmt: skip
    return (
        f"the policy demands training {wanted}, and when it was repeated {came}; section 6 of `strongroom report "
        f"{ref}` says more; mend the code and submit anew"
    )


def replication(d: Dossier) -> Iterable[Block]:
    """The latest outcome, or why there is none."""
    said = d.replication
    if said is None:
        if isinstance(d.contract.training, UnsetType):
            yield Note("Training was not repeated: the package gives no training script.")
        elif d.replication_leaked:
            yield Note(
                "Training was repeated, and the key that signed what came of it is compromised: it counts for nothing. "
                f"`strongroom replicate {d.ref}` repeats it."
            )
        else:
            yield Note(f"Training was not repeated yet: `strongroom replicate {d.ref}` does.")
        return
    verdict = _MARKS.get(said.outcome, "not-evaluable")
    yield Items((Item(verdict, report.VERDICTS[verdict], f"Training repeated: {replication_words(said)}"),))
    facts = [("Training repeated", when(said.at_us)), ("Served model", said.artifact)]
    told = (
        ("Script", said.script),
        ("All code", said.code),
        ("Training data", said.data),
        ("Model that came out", said.replica),
    )
    facts += [(name, digest) for name, digest in told if not isinstance(digest, UnsetType)]
    if not isinstance(said.tools, UnsetType):
        facts.append(("Libraries", ", ".join(f"{name} {number}" for name, number in sorted(said.tools.items()))))
    if not isinstance(said.isolation, UnsetType):
        facts.append(("Isolation", said.isolation))
    yield Facts(tuple(Fact(name, text, len(text) == 64) for name, text in facts))

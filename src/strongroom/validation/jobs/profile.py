"""A sandbox job: under which conditions do the model's bits repeat, and what do the reference rows look like?

Inputs: `model.onnx` or `model.ubj`, `contract.json`, `policy.json`, `reference.parquet`.
Parameters: `isa`, the instruction-set class of this machine (the job itself sees no machine).
Outputs: `profile.json` (ProfileProof), `monitors.json` (the fields of format 6's Monitors).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError, NumericProfileError
from strongroom.registry.contract import InputContract, ModelContract, RuntimeName, bound
from strongroom.registry.explanation import Explanation, number
from strongroom.validation.batteries import traffic
from strongroom.validation.batteries.artifact import Predict, Rows, open_model, open_session, predictor, score
from strongroom.validation.batteries.guard_fit import fit_guard
from strongroom.validation.batteries.scored import Scored
from strongroom.validation.catalogue import Basis
from strongroom.validation.policy import ValidationPolicy
from strongroom.validation.results import MonitorBins, Profile, ProfileProof, Provider, ReferenceBins, decimal
from strongroom.validation.statistics.bins import count_bins, quantile_edges
from strongroom.validation.statistics.tables import feature_rows, outcome_column, outside, read_table, sample_columns
from strongroom.validation.trees.attribution import contributions
from strongroom.validation.trees.forests import forest_of
from strongroom.vocabulary import digest_of

Bits = npt.NDArray[np.uint32]
Places = npt.NDArray[np.int64]

REFERENCE_ROWS = 768
BOX_ROWS = 256
EVERY_SLOT = (2, 7, 64)
EVERY_SIZE = 130
"""All sizes up to here are tried: kernels change their path within the first few vector widths."""
LONG_BATCH = 4096
EXPLAINED_ROWS = 2000
MEANT_ROWS = 2000
MEANT_GAP = 1e-4
"""Of the largest score; onnxruntime adds up a thousand leaves in float32."""
SHIFTS = 64


def run(inputs: Mapping[str, bytes], parameters: dict[str, Any]) -> dict[str, bytes]:
    """See the module's docstring.

    Raises:
        NumericProfileError: the same row gives different bits in a fresh session: nothing can be replayed.
        InvalidInputError: the model or the sample breaks the contract.
    """
    contract = parse_as(inputs["contract.json"], ModelContract)
    policy = ValidationPolicy.decode(inputs["policy.json"])
    isa = parameters.get("isa")
    if not isinstance(isa, str) or not isa:
        raise InvalidInputError("the profile needs the instruction-set class of the machine", field="isa", rule="given")
    table = read_table(inputs["reference.parquet"], "reference")
    reference = feature_rows(table, contract.input, "reference")
    model = inputs[contract.model_input]
    (first, version, provider), (second, _, _) = (open_model(contract, model) for _ in range(2))
    rows = probe_rows(reference, contract.input)
    proof = prove(first, second, rows, contract.input.max_rows, Conditions(contract.engine, version, provider, isa))
    scores = score(first, reference, proof.profile)
    if contract.engine == "onedal":
        demand_meaning(contract, model, reference, scores)
    if not isinstance(contract.explanation, msgspec.UnsetType):
        demand_additive(contract, contract.explanation, model, reference, scores)
    if "weight" in contract.sample_columns:
        # what is watched live comes as the traffic does, and not enriched
        basis = Basis("reference", digest_of(inputs["reference.parquet"]), table.num_rows)
        outcome, columns = outcome_column(table, contract, "reference"), sample_columns(table, contract, "reference")
        seen = traffic.even(Scored(basis, reference, scores, outcome, columns))
        reference, scores = reference[seen], scores[seen]
    watched = monitors(reference, scores, contract.input, contract.output.name, policy)
    if contract.guard is not msgspec.UNSET:
        inside = reference[~outside(reference, contract.input)]
        watched = msgspec.structs.replace(watched, guard=fit_guard(inside, contract.input, contract.guard))
    return {"profile.json": canonical(proof), "monitors.json": canonical(watched)}


def demand_meaning(contract: ModelContract, model: bytes, reference: Rows, scores: Rows) -> None:
    """oneDAL gets what our reader found in the file; that this is what the file says, onnxruntime confirms.

    Raises:
        InvalidInputError: it answers otherwise, by more than sums of float32 explain.
    """
    kept = np.flatnonzero(~outside(reference, contract.input))[:MEANT_ROWS]
    told = predictor(open_session(model), contract.input, contract.output)(np.ascontiguousarray(reference[kept]))
    gap = float(np.abs(told.astype(np.float64) - scores[kept]).max(initial=0.0))
    largest = float(np.abs(scores[kept]).max(initial=0.0))
    # not `>`: a gap that is no number is none that is small
    if not gap <= MEANT_GAP * max(1.0, largest):
        raise InvalidInputError(
            f"onnxruntime answers the same file otherwise, by up to {gap:.2g}; leave `runtime` out",
            field="runtime",
            rule="meaning",
        )


def demand_additive(contract: ModelContract, wish: Explanation, model: bytes, reference: Rows, scores: Rows) -> None:
    """The explained function is the served one: on rows of the reference sample the contributions add up to the score.

    Raises:
        InvalidInputError: the model is no forest that can be explained, the contract takes none of the explanation's
            reference rows, or a gap is above the tolerance.
    """
    against = np.array(wish.rows(), np.float32)
    if len(against) and (foreign := np.flatnonzero(outside(against, contract.input))).size:
        raise InvalidInputError(
            f"row {int(foreign[0]) + 1} of the explanation's reference breaks the input contract, and nobody can be "
            "compared with what the gateway would refuse; take rows that the contract takes",
            field="explanation.reference",
            rule="contract",
        )
    forest = forest_of(contract, model)
    made = contributions(wish, forest)
    kept = np.flatnonzero(~outside(reference, contract.input))[:EXPLAINED_ROWS]
    told = forest.scores(made.base + made.values(reference[kept]).sum(axis=1))
    gap = float(np.abs(told - scores[kept].astype(np.float64)).max(initial=0.0))
    if gap > number(wish.tolerance):
        raise InvalidInputError(
            f"the contributions miss the score by up to {gap:.2g}, more than the tolerance of the explanation",
            field="explanation",
            rule="additivity",
        )


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the model was run with; `provider` is the runtime's own word for where it computes."""

    runtime: RuntimeName
    version: str
    provider: str
    isa: str


def prove(first: Predict, second: Predict, rows: Rows, max_batch: int, on: Conditions) -> ProfileProof:
    """Prove or refute batch invariance on the given rows.

    Each row's bits alone, and its bits in a pair with its own copy, are compared with its bits in batches of every
    size up to 130, around each power of two, and at the maximum; for 2, 7, 64 and the maximum, batches are shifted
    so that rows come to stand in every slot.

    Args:
        first, second: two sessions of the same file.
        rows: shape [rows, features].
        max_batch: the contract's largest request.
        on: runtime, version, provider and instruction-set class.

    Raises:
        NumericProfileError: two runs of the same bytes differ.
    """
    count = len(rows)
    alone = np.concatenate([_bits(first(rows[i : i + 1])) for i in range(count)])
    again = np.concatenate([_bits(second(rows[i : i + 1])) for i in range(count)])
    pairs = np.concatenate([_bits(first(np.repeat(rows[i : i + 1], 2, axis=0)))[:1] for i in range(count)])
    differ_session = int((alone != again).sum())
    whole = np.arange(min(count, max_batch))
    differ_session += int((_bits(first(rows[whole])) != _bits(second(rows[whole]))).sum())
    if differ_session:
        raise NumericProfileError("the model gives other bits in a fresh session: its answers could not be replayed")
    sizes = batch_sizes(max_batch)
    compared = off_alone = off_pairs = off_layout = 0
    for size in sizes:
        shifts = min(size, SHIFTS) if size in (*EVERY_SLOT, max_batch) else 1
        if size > LONG_BATCH:
            shifts = min(shifts, 4)
        lines = max(1, -(-count // size)) * size
        for shift in range(shifts):
            step = shift * max(1, size // shifts)
            order = (np.arange(lines) + step) % count
            for start in range(0, lines, size):
                places = order[start : start + size]
                found = _bits(first(rows[places]))
                compared += size
                off_alone += int((found != alone[places]).sum())
                off_pairs += int((found != pairs[places]).sum())
    for size in (2, 7, min(64, max_batch)):
        places = np.arange(min(size, max_batch, count))
        off_layout += int((_bits(first(np.asfortranarray(rows[places]))) != _bits(first(rows[places]))).sum())
    mode, proven, note = _mode(off_alone, off_pairs, max_batch)
    return ProfileProof(
        profile=Profile(
            runtime=on.runtime, version=on.version, provider=msgspec.convert(on.provider, Provider), threads=1,
            isa=on.isa, mode=mode, max_batch=proven,
        ),
        rows=count,
        sizes=sizes,
        comparisons=compared,
        differ_alone=off_alone,
        differ_padded=off_pairs,
        differ_layout=off_layout,
        differ_session=differ_session,
        note=note,
    )  # fmt: skip


def batch_sizes(max_batch: int) -> tuple[int, ...]:
    """Sizes to try: all up to 130, the neighbours of each power of two, and the maximum."""
    sizes = set(range(2, min(EVERY_SIZE, max_batch) + 1)) | {max_batch}
    power = 256
    while power <= max_batch:
        sizes |= {power - 1, power, power + 1}
        power *= 2
    return tuple(sorted(size for size in sizes if 2 <= size <= max_batch))


def probe_rows(reference: Rows, contract: InputContract) -> Rows:
    """Rows of the reference sample, evenly taken, and pseudo-random rows over the contract's box.

    Rows outside the contract are left out, since the gateway never scores one.
    """
    inside = reference[~outside(reference, contract)]
    if len(inside) == 0:
        raise InvalidInputError("no row of the reference sample is within the input contract", rule="contract")
    taken = inside[np.unique(np.linspace(0, len(inside) - 1, REFERENCE_ROWS).astype(int))]
    random = np.random.default_rng(20261121)
    columns = []
    for place, feature in enumerate(contract.features):
        seen = inside[:, place][~np.isnan(inside[:, place])]
        low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 1.0)
        low = low if feature.minimum is None else bound(feature.minimum) or 0.0
        high = high if feature.maximum is None else bound(feature.maximum) or 0.0
        values = random.uniform(low, max(low, high), BOX_ROWS)
        if feature.type == "integer":
            values = np.rint(values)
        if feature.allowed is not None:
            values = random.choice(np.asarray(feature.allowed, dtype=np.float64), BOX_ROWS)
        if feature.missing == "nan":
            values = np.where(random.random(BOX_ROWS) < 0.1, np.nan, values)
        columns.append(values)
    box = np.column_stack(columns).astype(np.float32)
    # rounding to float32 can step over a bound
    box = box[~outside(box, contract)]
    return np.ascontiguousarray(np.vstack([taken, box]))


def monitors(
    reference: Rows, scores: Rows, contract: InputContract, output: str, policy: ValidationPolicy
) -> MonitorBins:
    """Reference bins per feature and of the score: what format 6 calls Monitors."""
    return MonitorBins(
        features=tuple(
            _bins(feature.name, reference[:, place], policy.drift.bins)
            for place, feature in enumerate(contract.features)
        ),
        score=_bins(output, scores, policy.drift.bins),
        psi_alert=policy.drift.alert,
        psi_floor=policy.psi_floor,
        min_rows=policy.drift.min_rows,
    )


def _bins(name: str, values: npt.NDArray[np.float32], bins: int) -> ReferenceBins:
    edges = quantile_edges(values, bins)
    counts, missing = count_bins(values, edges)
    return ReferenceBins(
        name=name,
        edges=tuple(decimal(edge) for edge in edges),
        counts=tuple(int(count) for count in counts),
        missing=missing,
    )


def _mode(off_alone: int, off_pairs: int, max_batch: int) -> tuple[Any, int, str]:
    if max_batch == 1:
        return "by-row", 1, "the contract allows one row a request, so each row is run alone"
    if off_alone == 0:
        return "batch-invariant", max_batch, "a row has the same bits alone and in any batch that was tried"
    if off_pairs == 0:
        return "padded", max_batch, "a row has the same bits in any batch of two or more, and others alone"
    return "by-row", 1, "a row's bits hang on the batch it is in, so each row is run alone"


def _bits(answer: Rows) -> Bits:
    return np.ascontiguousarray(answer, dtype=np.float32).view(np.uint32)

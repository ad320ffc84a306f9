"""What reason codes cost: decisions of the whole decision path a second with and without them, and their ratio.

    python -m bench.explain [--seconds 2] [--rows 1] [--batch 64] [--explanation interventional|path-dependent|first]

Without `--explanation` both methods, which `bench/explain.json` keeps; the path-dependent one on native XGBoost, whose
file alone holds the training weights that it needs.

In one process, without HTTP: check, score, explain, document, seal, commit to a log in memory. 300 trees of depth 6, 23
features, 32 reference rows, native XGBoost's file or its ONNX (`--runtime`). `first` is what a release gets whose
explanation has `v` 1. Rounds alternate; processor time is measured, since others use the machine. So is
what reason codes add to the making ready of a release.
"""

from __future__ import annotations

import argparse
import time

import msgspec
import numpy as np
from tests.serving.house import House, admitted, engine, release_of
from tests.serving.test_replay import Kept

from bench.runtimes import FEATURES, train
from bench.studies import keep
from strongroom.adapters.runtimes.by_name import RUNTIMES
from strongroom.registry.contract import Feature
from strongroom.registry.explanation import Explanation, ReasonGroup
from strongroom.sealing.records import Labels
from strongroom.serving.asked import Asked
from strongroom.serving.decision import answer_of
from strongroom.serving.question import Question
from strongroom.serving.served import ServedModel, make_ready

NAMES = tuple(f"f{n}" for n in range(FEATURES))
LABELS = Labels(purpose="credit-decision", jurisdiction="EU", environment="production")
ROUNDS = 7


def ready(runtime: str, explanation: str) -> tuple[ServedModel, np.ndarray]:
    """A release with an explanation, made ready, and rows for it."""
    model, rows = train()
    features = tuple(
        Feature(name=name, type="float", unit="count", purpose="risk", legal_basis="test", missing="nan")
        for name in NAMES
    )
    release = release_of(features=features, mode="batch-invariant", max_rows=1000)
    along = explanation == "path-dependent"
    wish = Explanation(
        v=1 if explanation == "first" else 2, method="path-dependent" if along else "interventional", code_map="1",
        groups=tuple(ReasonGroup(code=f"R{n:02d}", features=(name,)) for n, name in enumerate(NAMES)),
        reference=() if along else tuple(tuple(repr(float(value)) for value in row) for row in rows[:32]),
    )  # fmt: skip
    machine = RUNTIMES[runtime]().machine
    if runtime == "xgboost":
        artifact = bytes(model.get_booster().save_raw("ubj"))
        output = msgspec.structs.replace(release.output, tensor="probability", column=0)
    else:
        import onnxmltools
        from onnxmltools.convert.common.data_types import FloatTensorType

        artifact = onnxmltools.convert_xgboost(
            model, initial_types=[("input", FloatTensorType([None, FEATURES]))], target_opset=15
        ).SerializeToString()
        output = release.output
    release = msgspec.structs.replace(
        release, explanation=wish, output=output, input=msgspec.structs.replace(release.input, tensor="input"),
        numeric_profile=msgspec.structs.replace(
            release.numeric_profile, runtime=runtime, version=machine.version, provider=machine.provider
        ),
    )  # fmt: skip
    plain = msgspec.structs.replace(release, explanation=msgspec.UNSET)
    taken = []
    for one in (plain, plain, release):  # the first imports what the others need too
        begin = time.process_time()
        made = make_ready(admitted(one, artifact), RUNTIMES[runtime]())
        taken.append(time.process_time() - begin)
    print(f"made ready in {taken[1]:.2f} s of processor time, with reason codes in {taken[2]:.2f} s")
    return made, rows


def measure(runtime: str, explanation: str, given: argparse.Namespace) -> dict[str, float | str]:
    """Microseconds of processor time a row with and without reason codes, and the ratio of the rates."""
    model, rows = ready(runtime, explanation)
    decider = House(model).decider()
    subjects = tuple(f"s-{n}" for n in range(given.rows))

    def decide(explain: bool) -> None:
        batch = []
        for place in range(given.batch):
            part = rows[place * given.rows : (place + 1) * given.rows].astype(np.float64)
            values = part[0].tolist() if given.rows == 1 else part
            question = Question(given.rows, values, subjects, "credit-decision", "EU", None, explain=explain)
            batch.append(Asked(Kept(), "desk", LABELS, engine().digest, model, question))
        predicted = decider.predict(batch)
        committed = decider.commit(predicted.outcomes, time.time_ns() // 1000)
        for outcome in predicted.outcomes:
            answer = answer_of(outcome, committed)
            assert (answer.explained is not None) == explain

    best = {True: float("inf"), False: float("inf")}
    for _ in range(ROUNDS):
        for explain in (False, True):
            decide(explain)
            count, begin = 0, time.process_time()
            while time.process_time() - begin < given.seconds / ROUNDS:
                decide(explain)
                count += 1
            best[explain] = min(best[explain], (time.process_time() - begin) / count / given.batch / given.rows)
    for explain, taken in sorted(best.items()):
        print(f"{'with' if explain else 'without'} reason codes: {taken * 1e6:.0f} us a row, {1 / taken:.0f} rows/s")
    ratio = best[False] / best[True]
    print(f"ratio: {ratio:.2f} ({runtime}, {explanation}, {given.batch} x {given.rows} rows)")
    return {
        "runtime": runtime,
        "without_us": round(best[False] * 1e6, 2), "with_us": round(best[True] * 1e6, 2), "ratio": round(ratio, 3),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rows", type=int, default=1, help="of a request")
    parser.add_argument("--batch", type=int, default=64, help="requests that board together")
    parser.add_argument("--runtime", default="onnxruntime", choices=sorted(RUNTIMES))
    parser.add_argument("--explanation", choices=["interventional", "path-dependent", "first"])
    given = parser.parse_args()
    if given.explanation is not None:
        measure(given.runtime, given.explanation, given)
        return
    found = {
        "interventional": measure(given.runtime, "interventional", given),
        "path-dependent": measure("xgboost", "path-dependent", given),
    }
    keep("explain", {"rows": given.rows, "batch": given.batch, **found})


if __name__ == "__main__":
    main()

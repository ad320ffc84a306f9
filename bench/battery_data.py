"""A made portfolio of any size for the battery's bench: 23 features, an XGBoost model as ONNX, samples, groups.

The risk is a fixed function of a few features, so that figures of two sizes tell the same story; nothing is personal.
The contract asks for all that a PD battery can answer: reason codes, gaps, a monotone feature, features that an
applicant can change, stress, strata, grades, cohorts, stages, losses, times, subjects and two protected attributes.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from strongroom.encoding import canonical
from strongroom.registry.contract import CutOff, Feature, InputContract, Lineage, ModelContract, OutputContract, Samples
from strongroom.registry.explanation import Explanation, ReasonGroup
from strongroom.registry.kinds import OutcomeDefinition
from strongroom.registry.robustness import Action, Robustness
from strongroom.registry.stress import StressScenario

WIDTH = 23
OUTCOME = "default"
NAMES = tuple(f"x{n:02d}" for n in range(WIDTH))
TRAINING = 30_000
GAPPY = (20, 21)
"""Features that may be missing, and are in one row of twenty."""
MONOTONE = 1
CHANGEABLE = {"x02": "increase", "x04": "decrease", "x05": "either", "x07": "either"}
STRESS = {"income-falls": {"x02": "-1"}, "rates-rise": {"x01": "0.5", "x00": "20%"}}
STRATUM = "x00"
CUT_OFF = "0.3"
EDGE = "50"
BUDGET = "1.0"
"""Of an applicant for each feature; a unit of a feature costs 1."""


def rows(count: int, seed: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Features and outcomes."""
    random = np.random.default_rng(seed)
    x = random.normal(0, 1, (count, WIDTH)).astype(np.float32)
    x[:, ::3] = np.rint(x[:, ::3] * 2)
    risk = -2.2 + 0.5 * x[:, 0] / 2 + 0.7 * x[:, 1] - 0.4 * x[:, 2] + 0.5 * (x[:, 4] > 1) * x[:, 5]
    outcome = (random.random(count) < 1 / (1 + np.exp(-risk))).astype(np.int64)
    for place in GAPPY:
        x[random.random(count) < 0.05, place] = np.nan
    return x, outcome


def parquet(columns: dict[str, npt.NDArray[np.generic]]) -> bytes:
    """A sample's bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


@cache
def model() -> tuple[bytes, object]:
    """ONNX bytes, and the classifier that they were made from."""
    from onnxmltools.convert import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType
    from xgboost import XGBClassifier

    x, y = rows(TRAINING, 0)
    fitted = XGBClassifier(
        n_estimators=200, max_depth=4, learning_rate=0.08, n_jobs=1, random_state=0,
        monotone_constraints=tuple(int(place == MONOTONE) for place in range(WIDTH)),
    ).fit(x, y)  # fmt: skip
    onnx = convert_xgboost(fitted, initial_types=[("input", FloatTensorType([None, WIDTH]))], target_opset=15)
    return onnx.SerializeToString(), fitted


def contract(reference: npt.NDArray[np.float32]) -> ModelContract:
    """All that the battery of a PD model can look at."""
    groups = tuple(ReasonGroup(code=f"R{n:02d}", features=(name,)) for n, name in enumerate(NAMES))
    lines = tuple(tuple(repr(float(v)) for v in line) for line in reference[:16])
    return ModelContract(
        v=1, name="bench-pd", kind="pd", tier=1, title="Bench", owner="bench", product="loan", process="origination",
        purposes=("credit-decision",), jurisdictions=("EU",), environments=("production",),
        input=InputContract(
            tensor="input",
            features=tuple(
                Feature(
                    name=name, type="float", unit="unit", purpose="risk", legal_basis="GDPR Art. 6(1)(b)",
                    minimum=f"-{EDGE}", maximum=EDGE, missing="nan" if place in GAPPY else "refuse",
                )
                for place, name in enumerate(NAMES)
            ),
            max_rows=1000,
        ),
        output=OutputContract(tensor="probabilities", name="pd", unit="probability", minimum="0", maximum="1"),
        cut_offs=(CutOff(decision="accept", below=CUT_OFF), CutOff(decision="decline")),
        samples=Samples(
            model="model.onnx", development="development.parquet", reference="reference.parquet",
            predictions="predictions.parquet", outcome=OUTCOME, protected="protected.parquet",
            subject="client",
        ),
        lineage=Lineage(data={}, code_commit="unversioned", environment={}, parameters={}),
        protected=("group", "band"),
        conditions=(STRATUM,),
        robustness=Robustness(
            monotone={NAMES[MONOTONE]: "increasing"},
            actions=tuple(Action(feature=name, direction=way, cost="1") for name, way in CHANGEABLE.items()),
            cost_unit="hours", budget=BUDGET,
        ),
        stress={name: StressScenario(means=name, shocks=shocks) for name, shocks in STRESS.items()},
        explanation=Explanation(v=2, method="interventional", code_map="1", groups=groups, reference=lines),
        outcome=OutcomeDefinition(
            meaning="default", window="12 months", exposure="exposure", year="year", previous_grade="was",
            champion="champion", grade="grade", period="period", cohort="cohort", stage="stage", booked_loss="booked",
            realised_loss="realised", time="seen", inputs_time="known", outcome_time="came",
        ),
    )  # fmt: skip


def inputs(count: int, policy: bytes) -> dict[str, bytes]:
    """What the jobs are given: `count` rows of validation sample, and up to 30,000 of each other one."""
    onnx, fitted = model()
    made: dict[str, bytes] = {"model.onnx": onnx, "policy.json": policy}
    for seed, (role, size) in enumerate(
        (("development", TRAINING), ("reference", min(count, TRAINING)), ("validation", count))
    ):
        x, y = rows(size, seed)
        random = np.random.default_rng(seed + 10)
        more = {
            "exposure": random.lognormal(9, 1, size), "year": random.integers(2015, 2024, size),
            "was": random.integers(1, 11, size), "champion": 1 / (1 + np.exp(2 - x[:, 1].astype(np.float64))),
            "grade": random.integers(1, 11, size), "period": random.integers(1, 4, size),
            "cohort": random.integers(2015, 2020, size), "stage": random.integers(1, 3, size),
            "client": np.arange(size) + seed * 10_000_000, "booked": random.lognormal(3, 1, size),
            "realised": y * random.lognormal(5, 1, size), "seen": random.integers(0, 1000, size) + seed * 1000,
        }  # fmt: skip
        more["known"] = more["seen"] - random.integers(0, 30, size)
        more["came"] = np.where(y == 1, more["seen"] + random.integers(1, 365, size), np.nan)
        made[f"{role}.parquet"] = parquet({**{name: x[:, n] for n, name in enumerate(NAMES)}, OUTCOME: y, **more})
        if role == "reference":
            said = fitted.predict_proba(x)[:, 1].astype(np.float64)  # type: ignore[attr-defined]  # the library has no types
            made["predictions.parquet"] = parquet({"prediction": said})
            made["contract.json"] = canonical(contract(x))
        if role == "validation":
            made["validation-protected.parquet"] = parquet(
                {"group": random.choice(["a", "b", "c"], size), "band": random.choice(["-30", "30-50", "50+"], size)}
            )
    return made


def native_model() -> bytes:
    """The same classifier as XGBoost saves it: what shap and Veritas read."""
    saved: bytes = model()[1].get_booster().save_raw("ubj")  # type: ignore[attr-defined]  # the library has no types
    return bytes(saved)

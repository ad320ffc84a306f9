"""What every server is asked: one trained model (300 trees, depth 6, 23 features), requests of 1, 32 and 1,000 rows."""

from __future__ import annotations

import hashlib
import json
import struct
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.processes import HERE

FEATURES = 23
NAMES = tuple(f"f{n}" for n in range(FEATURES))
TREES = 300
DEPTH = 6
SEED = 20261121
SUBJECTS = 1000
TRAINING_ROWS = 20_000
CACHE = HERE / ".cache"


def cases(rows: int, seed: int) -> NDArray[np.float32]:
    """Made-up applicants: some features near normal, some skewed, some counts. Shape [rows, 23]."""
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(rows, FEATURES))
    matrix[:, 8:16] = np.exp(matrix[:, 8:16] / 2)
    matrix[:, 16:] = random.poisson(3, size=(rows, FEATURES - 16))
    return matrix.astype(np.float32).round(3)


def train() -> dict[str, bytes]:
    """An XGBoost classifier on made-up applicants, one thread and a fixed seed, so it repeats; as ONNX and natively."""
    import xgboost
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    matrix = cases(TRAINING_ROWS, SEED)
    random = np.random.default_rng(SEED + 2)
    weights = random.normal(size=FEATURES) / 2
    log_odds = matrix @ weights + np.sin(2 * matrix[:, 0]) * matrix[:, 9] - 0.3 * matrix[:, 17] * matrix[:, 3] - 1
    defaulted = random.random(TRAINING_ROWS) < 1 / (1 + np.exp(-log_odds))
    classifier = xgboost.XGBClassifier(
        n_estimators=TREES, max_depth=DEPTH, learning_rate=0.05, min_child_weight=1, n_jobs=1, random_state=SEED,
        tree_method="hist",
    )  # fmt: skip
    classifier.fit(matrix, defaulted.astype(int))
    made = convert_xgboost(classifier, initial_types=[("x", FloatTensorType([None, FEATURES]))], target_opset=15)
    return {"onnx": bytes(made.SerializeToString()), "ubj": bytes(classifier.get_booster().save_raw("ubj"))}


def model(form: str = "onnx") -> bytes:
    """The model, trained once and kept under `bench/.cache`.

    Args:
        form: `onnx`, or `ubj` for the same trees as XGBoost's own file.
    """
    about = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    kept = CACHE / f"model-{about}.{form}"
    if not kept.exists():
        CACHE.mkdir(exist_ok=True)
        for made, data in train().items():
            beside = kept.with_suffix(".part")
            beside.write_bytes(data)
            beside.replace(kept.with_suffix(f".{made}"))
    return kept.read_bytes()


@cache
def applicants() -> NDArray[np.float32]:
    """Whom the requests are about; shape [1000, 23]."""
    return cases(SUBJECTS, SEED + 1)


def batch(start: int, rows: int) -> tuple[NDArray[np.float32], list[str]]:
    """Rows and subjects of one request; they begin again after the last."""
    places = np.arange(start, start + rows) % SUBJECTS
    return applicants()[places], [f"subject-{place}" for place in places]


def v2_json(matrix: NDArray[np.float32], subjects: list[str] | None, name: str = "x") -> bytes:
    """A V2 request as JSON; without subjects for servers that know none."""
    rows = len(matrix)
    inputs: list[dict[str, object]] = [
        {"name": name, "shape": [rows, FEATURES], "datatype": "FP32", "data": matrix.ravel().tolist()}
    ]
    asked: dict[str, object] = {"inputs": inputs}
    if subjects is not None:
        parameters = {"purpose": "credit-decision", "jurisdiction": "EU"}
        if rows == 1:
            parameters = {"subject": subjects[0], **parameters}
        else:
            inputs.append({"name": "strongroom.subject", "shape": [rows], "datatype": "BYTES", "data": subjects})
        asked["parameters"] = parameters
    return short_floats(asked)


def v2_binary(matrix: NDArray[np.float32], subjects: list[str], name: str = "x") -> tuple[bytes, int]:
    """A V2 request with binary tensors, and the length of its JSON part."""
    raw = matrix.astype("<f4").tobytes()
    names = b"".join(struct.pack("<I", len(name)) + name.encode() for name in subjects)
    rows = len(matrix)
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": name, "shape": [rows, FEATURES], "datatype": "FP32",
                    "parameters": {"binary_data_size": len(raw)},
                },
                {
                    "name": "strongroom.subject", "shape": [rows], "datatype": "BYTES",
                    "parameters": {"binary_data_size": len(names)},
                },
            ],
            "parameters": {"purpose": "credit-decision", "jurisdiction": "EU", "binary_data_output": True},
        }
    ).encode()  # fmt: skip
    return head + raw + names, len(head)


def rows_json(matrix: NDArray[np.float32], key: str) -> bytes:
    """`{key: [[...], ...]}`, as servers with a protocol of their own take rows."""
    return short_floats({key: matrix.tolist()})


def short_floats(asked: object) -> bytes:
    """JSON with float32 values as short as they are (`0.123`), as any client would send them."""

    def shorten(value: object) -> object:
        if isinstance(value, float):
            return float(str(np.float32(value)))
        if isinstance(value, list):
            return [shorten(one) for one in value]
        if isinstance(value, dict):
            return {name: shorten(one) for name, one in value.items()}
        return value

    return json.dumps(shorten(asked), separators=(",", ":")).encode()


def expected(matrix: NDArray[np.float32]) -> list[float]:
    """What onnxruntime says in this process."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model(), options, providers=["CPUExecutionProvider"])
    scores: list[float] = session.run(["probabilities"], {"x": matrix})[0][:, 1].tolist()
    return scores


def bodies() -> list[bytes]:
    """Requests of one row each, from many subjects."""
    return [v2_json(*batch(n, 1)) for n in range(SUBJECTS)]


def wrk_script(path: Path, bearer: str | None, target: str) -> None:
    """A script for wrk that sends the requests of one row in turn."""
    from bench.load import Request, write_script

    headers = {"Content-Type": "application/json"} | ({"Authorization": bearer} if bearer else {})
    write_script(path, target, [Request(body, headers) for body in bodies()])

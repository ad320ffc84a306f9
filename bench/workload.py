"""What both servers are asked: one model (300 trees, depth 6, 23 features), one request of one row."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

FEATURES = 23
NAMES = tuple(f"f{n}" for n in range(FEATURES))
TREES = 300
DEPTH = 6
SEED = 20261121
SUBJECTS = 1000


def model() -> bytes:
    """A random tree ensemble with the shape of a gradient-boosted PD model, as an ONNX TreeEnsembleRegressor.

    Nobody's answer depends on how it was trained: the cost of a tree is its depth and the way the row takes.
    """
    random = np.random.default_rng(SEED)
    nodes: dict[str, list[object]] = {
        name: [] for name in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids",
                              "hitrates", "missing_value_tracks_true")
    }  # fmt: skip
    targets: dict[str, list[object]] = {name: [] for name in ("treeids", "nodeids", "ids", "weights")}
    inner = 2**DEPTH - 1
    for tree in range(TREES):
        for node in range(2 * inner + 1):
            leaf = node >= inner
            nodes["treeids"].append(tree)
            nodes["nodeids"].append(node)
            nodes["featureids"].append(0 if leaf else int(random.integers(FEATURES)))
            nodes["values"].append(0.0 if leaf else float(random.normal()))
            nodes["modes"].append("LEAF" if leaf else "BRANCH_LT")
            nodes["truenodeids"].append(0 if leaf else 2 * node + 1)
            nodes["falsenodeids"].append(0 if leaf else 2 * node + 2)
            nodes["hitrates"].append(1.0)
            nodes["missing_value_tracks_true"].append(0)
            if leaf:
                targets["treeids"].append(tree)
                targets["nodeids"].append(node)
                targets["ids"].append(0)
                targets["weights"].append(float(random.normal(scale=0.1)))
    ensemble = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["margin"], domain="ai.onnx.ml", n_targets=1, post_transform="NONE",
        **{f"nodes_{name}": value for name, value in nodes.items()},
        **{f"target_{name}": value for name, value in targets.items()},
    )  # fmt: skip
    graph = helper.make_graph(
        [
            ensemble,
            helper.make_node("Sigmoid", ["margin"], ["p1"]),
            helper.make_node("Sub", ["one", "p1"], ["p0"]),
            helper.make_node("Concat", ["p0", "p1"], ["probabilities"], axis=1),
        ],
        "pd",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, FEATURES])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return bytes(helper.make_model(graph, opset_imports=imports, ir_version=9).SerializeToString())


def rows() -> list[list[float]]:
    """Known subjects' rows."""
    return np.random.default_rng(SEED + 1).normal(size=(SUBJECTS, FEATURES)).astype(np.float32).round(3).tolist()


def bodies() -> list[bytes]:
    """Requests of one row each, from many subjects."""
    return [
        json.dumps(
            {
                "inputs": [{"name": "x", "shape": [1, FEATURES], "datatype": "FP32", "data": row}],
                "parameters": {"subject": f"subject-{n}", "purpose": "credit-decision", "jurisdiction": "EU"},
            }
        ).encode()
        for n, row in enumerate(rows())
    ]


def wrk_script(path: Path, bearer: str | None, target: str) -> None:
    """A script for wrk that sends the requests in turn."""
    quoted = ",\n".join("[==[" + body.decode() + "]==]" for body in bodies())
    header = f'wrk.headers["Authorization"] = "{bearer}"\n' if bearer else ""
    path.write_text(
        f'wrk.method = "POST"\n{header}wrk.headers["Content-Type"] = "application/json"\n'
        f"local bodies = {{\n{quoted}\n}}\nlocal requests = {{}}\nlocal n = 0\n"
        f'function init()\n  for i = 1, #bodies do requests[i] = wrk.format(nil, "{target}", nil, bodies[i]) end\nend\n'
        "function request()\n  n = n % #requests + 1\n  return requests[n]\nend\n"
        "function done(summary, latency)\n  local e = summary.errors\n"
        '  io.write(string.format("RESULT {\\"requests\\": %d, \\"seconds\\": %f, \\"p50_ms\\": %f, \\"p99_ms\\": %f, '
        '\\"errors\\": %d}\\n", summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, '
        "latency:percentile(99) / 1e3, e.connect + e.read + e.write + e.status + e.timeout))\nend\n"
    )

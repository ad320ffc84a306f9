"""A forecast is served like any other model: one request asks for the whole fan, one row for each question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from examples import forecast as example

from strongroom.adapters.runtimes.onnx_runtime import OnnxRuntime
from strongroom.approval.release import Bins
from strongroom.registry.toml import read_contract
from strongroom.serving.served import make_ready
from tests.serving.house import House, admitted, release_of
from tests.web.gateways import gateway


def test_one_request_gives_every_horizon_and_quantile(tmp_path: Path) -> None:
    series = example.turnover()
    example.work(tmp_path, series)
    stated = read_contract((tmp_path / "package" / "model.toml").read_bytes())
    features = stated.input.features
    release = release_of(features=features)
    release = msgspec.structs.replace(
        release, kind="forecast", input=stated.input, output=stated.output, cut_offs=stated.decisions,
        monitors=msgspec.structs.replace(
            release.monitors, score=Bins(name=stated.output.name, edges=("0.5",), counts=(10, 10))
        ),
    )  # fmt: skip
    house = House(make_ready(admitted(release, (tmp_path / "package" / "model.onnx").read_bytes()), OnnxRuntime()))
    origin = len(series) - 1
    rows = example.rows_at(series, origin, tuple(origin + h for h in example.HORIZONS))
    asked = rows[list(example.FEATURES)].to_numpy(np.float32)

    def question(x: Any) -> dict[str, Any]:
        return {
            "inputs": [
                {"name": "input", "shape": list(x.shape), "datatype": "FP32", "data": x.ravel().tolist()},
                {"name": "strongroom.subject", "shape": [len(x)], "datatype": "BYTES", "data": ["receipts"] * len(x)},
            ],
            "parameters": {"purpose": "credit-decision", "jurisdiction": "EU"},
        }

    with gateway(house) as desk:
        status, answer = desk.ask(question(asked))
        assert status == 200, answer
        value, decision = answer["outputs"]
        assert (value["name"], value["shape"]) == ("turnover", [len(rows)])
        assert set(decision["data"]) == {"estimate"}
        fan = np.array(value["data"]).reshape(len(example.HORIZONS), len(example.QUANTILES))
        assert (np.diff(fan, axis=1) >= 0.0).all()
        source = example.fit(example.samples(series)[0])
        np.testing.assert_allclose(fan.ravel(), source.predict(rows), rtol=2e-6)
        wrong = asked.copy()
        wrong[0, list(example.FEATURES).index("horizon")] = 4.0
        status, answer = desk.ask(question(wrong))
        assert status == 400, answer

"""Asks a gateway with KServe's own client. Runs in an environment that has it; prints what it got as JSON."""

import asyncio
import json
import sys

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

MODEL = "pd-cards"
ROW = [50000.0, 40.0, 2.0, 0.05]
LABELS = {"subject": "s-1", "purpose": "credit-decision", "jurisdiction": "EU"}


def told(response) -> dict:
    outputs = {}
    for output in response.outputs:
        values = output.as_numpy().ravel().tolist()
        outputs[output.name] = [value.decode() if isinstance(value, bytes) else value for value in values]
    return {"id": response.id, "model": response.model_name, "version": response.model_version, "outputs": outputs}


def asked(datatype: str, dtype, binary: bool, rows: int = 1, **more) -> InferRequest:
    x = InferInput("x", [rows, 4], datatype)
    x.set_data_from_numpy(np.array([ROW] * rows, dtype), binary_data=binary)
    inputs, labels = [x], dict(LABELS)
    if rows > 1:
        subjects = InferInput("strongroom.subject", [rows], "BYTES")
        subjects.set_data_from_numpy(np.array([f"s-{n}" for n in range(rows)], object), binary_data=binary)
        inputs.append(subjects)
        del labels["subject"]
    return InferRequest(MODEL, inputs, request_id="k-1", parameters=labels | more.pop("parameters", {}), **more)


async def main(url: str, token: str) -> dict:
    headers = {"Authorization": f"Bearer {token}"}
    found: dict = {}
    async with InferenceRESTClient(RESTConfig(protocol="v2", timeout=20, retries=1)) as client:
        found["live"] = await client.is_server_live(url)
        found["ready"] = await client.is_server_ready(url)
        found["model_ready"] = await client.is_model_ready(url, MODEL, headers=headers)
        found["no_model_ready"] = await client.is_model_ready(url, "none", headers=headers)
        requests = {
            "json": asked("FP32", np.float32, False),
            "json64": asked("FP64", np.float64, False),
            "binary": asked("FP32", np.float32, True),
            "binary_out": asked("FP32", np.float32, True, parameters={"binary_data_output": True}),
            "rows": asked("FP32", np.float32, False, rows=5),
            "rows_binary": asked("FP32", np.float32, True, rows=5),
            "one_output": asked("FP32", np.float32, False, request_outputs=[RequestedOutput("decision", {})]),
        }
        for name, request in requests.items():
            found[name] = told(await client.infer(url, request, MODEL, headers=dict(headers)))
        try:
            await client.infer(
                url, asked("FP32", np.float32, False, parameters={"purpose": "marketing"}), MODEL, headers
            )
        except httpx.HTTPStatusError as error:
            found["refused"] = str(error)
        try:
            await client.infer(url, requests["json"], MODEL)
        except httpx.HTTPStatusError as error:
            found["stranger"] = str(error)
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2]))))

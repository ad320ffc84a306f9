"""The one way in which a model file is run, in the sandbox and at the gateway: other options give other bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from strongroom.errors import InvalidInputError
from strongroom.registry.contract import InputContract, ModelContract, OutputContract
from strongroom.validation.results import Profile
from strongroom.validation.trees import boosters, onedal

Rows = npt.NDArray[np.float32]
Predict = Callable[[Rows], Rows]
PROVIDER: Final = "CPUExecutionProvider"


def open_model(contract: ModelContract, model: bytes) -> tuple[Predict, str, str]:
    """A fresh session of the runtime that the contract names.

    Returns:
        A function from rows to the contracted output, float32, shape [rows]; the runtime's version; its provider.

    Raises:
        InvalidInputError: the runtime does not accept the file, or it is not what the contract says.
        UnavailableError: the runtime is not installed.
    """
    if contract.engine == "xgboost":
        booster = boosters.open_booster(model)
        boosters.demand_contract(booster, contract.input, contract.output)
        return booster.predict, boosters.library_version(), boosters.PROVIDER
    if contract.engine == "onedal":
        forest = onedal.open_contracted(model, contract.input, contract.output)
        return forest.predict, onedal.library_version(), onedal.PROVIDER
    return predictor(open_session(model), contract.input, contract.output), ort.__version__, PROVIDER


def score(predict: Predict, rows: Rows, profile: Profile) -> Rows:
    """Scores of many rows in exactly the way that the profile prescribes for the gateway."""
    if profile.mode == "by-row":
        return np.concatenate([predict(rows[i : i + 1]) for i in range(len(rows))])
    parts = []
    for start in range(0, len(rows), profile.max_batch):
        part = rows[start : start + profile.max_batch]
        if profile.mode == "padded" and len(part) == 1:
            parts.append(predict(np.repeat(part, 2, axis=0))[:1])
        else:
            parts.append(predict(part))
    return np.concatenate(parts)


def session_options() -> ort.SessionOptions:
    """The options of the numeric profile: one thread (two change the order of sums), sequential, all optimisations."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.enable_profiling = False
    options.log_severity_level = 4
    return options


def open_session(model: bytes) -> ort.InferenceSession:
    """A session from memory under the numeric profile.

    Raises:
        InvalidInputError: the runtime does not accept the file.
    """
    try:
        return ort.InferenceSession(model, sess_options=session_options(), providers=[PROVIDER])
    except Exception as error:  # onnxruntime raises a dozen classes without a common one
        raise InvalidInputError("the runtime does not accept the model file", field="model", rule="onnx") from error


def predictor(session: ort.InferenceSession, inputs: InputContract, output: OutputContract) -> Predict:
    """A function from rows to the contracted output, float32, shape [rows].

    Raises:
        InvalidInputError: the file's input or output is not what the contract says.
    """
    found = {node.name: node for node in session.get_inputs()}
    if set(found) != {inputs.tensor} or found[inputs.tensor].type != "tensor(float)":
        raise InvalidInputError(
            f"the model must have one float input `{inputs.tensor}`", field=inputs.tensor, rule="input tensor"
        )
    if output.tensor not in {node.name for node in session.get_outputs()}:
        raise InvalidInputError(f"the model has no output `{output.tensor}`", field=output.tensor, rule="output tensor")
    width = len(inputs.features)
    declared = found[inputs.tensor].shape
    if len(declared) != 2 or (isinstance(declared[1], int) and declared[1] != width):
        raise InvalidInputError(
            f"the model does not take rows of {width} features", field=inputs.tensor, rule="input shape"
        )

    def predict(rows: Rows) -> Rows:
        answer = np.asarray(session.run([output.tensor], {inputs.tensor: rows})[0])
        if answer.dtype != np.float32 or len(answer) != len(rows) or answer.ndim not in (1, 2):
            raise InvalidInputError("the output is not float32 with one line a row", field=output.tensor, rule="shape")
        if answer.ndim == 1:
            return answer
        if not 0 <= output.column < answer.shape[1]:
            raise InvalidInputError(
                f"the output has no column {output.column}", field=output.tensor, rule="output column"
            )
        return np.ascontiguousarray(answer[:, output.column])

    return predict

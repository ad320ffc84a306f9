"""onnxruntime on the CPU: one thread, from memory, the same bits every time."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from strongroom.adapters.runtimes.cpu import isa_class
from strongroom.errors import UnsafeArtifactError
from strongroom.serving.ports import Machine

PROVIDER: Final = "CPUExecutionProvider"


class OnnxSession:
    """A loaded model that gives one output."""

    def __init__(self, session: ort.InferenceSession, input_name: str, output_name: str) -> None:
        self._session = session
        self._input = input_name
        self._outputs = [output_name]
        self._options: Any = None

    def run(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raises nothing of its own: the caller checks type, shape and range of what comes back."""
        result: NDArray[np.float32] = self._session.run(self._outputs, {self._input: matrix}, self._options)[0]
        return result

    def arm(self) -> None:
        """See `serving.ports.Stoppable`."""
        self._options = ort.RunOptions()

    def stop(self) -> None:
        """The runtime looks between two nodes of the graph; one node that takes long is not cut off."""
        options, self._options = self._options, ort.RunOptions()
        options.terminate = True


class OnnxRuntime:
    """Satisfies `serving.ports.Runtime`."""

    @property
    def machine(self) -> Machine:
        """Raises UnavailableError on a processor whose class is not known."""
        return Machine("onnxruntime", ort.__version__, PROVIDER, isa_class())

    def load(self, artifact: bytes, input_name: str, output_name: str, features: int) -> OnnxSession:
        """Load from memory, with one thread, no profiling and no files.

        Raises:
            UnsafeArtifactError: not a model that onnxruntime loads, or without the named float32 input and output.
        """
        options: Any = ort.SessionOptions()
        # more than one thread changes the order of sums, and with it the bits
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        options.enable_profiling = False
        options.log_severity_level = 4
        try:
            session = ort.InferenceSession(artifact, options, providers=[PROVIDER])
        except Exception as error:  # one kind for each status code, all of which mean that it does not load
            raise UnsafeArtifactError("the artifact is not a model that onnxruntime loads") from error
        inputs = {one.name: one for one in session.get_inputs()}
        outputs = {one.name: one for one in session.get_outputs()}
        if set(inputs) != {input_name} or output_name not in outputs:
            raise UnsafeArtifactError(
                f"the model lacks the input `{input_name}` or output `{output_name}` of its contract, or has others"
            )
        if inputs[input_name].type != "tensor(float)" or outputs[output_name].type != "tensor(float)":
            raise UnsafeArtifactError("input and output of the model are float32 tensors")
        shape = inputs[input_name].shape
        if len(shape) != 2 or (isinstance(shape[1], int) and shape[1] != features):
            raise UnsafeArtifactError("the input of the model is not as wide as its contract")
        return OnnxSession(session, input_name, output_name)

"""The scan of an ONNX file, read as a message and never run. Called inside the sandbox only.

Order matters: cheap limits on the raw message come before the library's checker and shape inference walk it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, helper

from strongroom.registry.contract import InputContract, OutputContract
from strongroom.validation.scans.scan import MACHINE_LEARNING, OPERATORS, STANDARD, ModelFacts, ScanRules, plain

Refuse = Callable[[str, str], None]
"""Takes a rule and a message."""

_SPELLINGS = {"": STANDARD, "ai.onnx": STANDARD, MACHINE_LEARNING: MACHINE_LEARNING}
_DOMAIN_NAMES = {STANDARD: "ai.onnx", MACHINE_LEARNING: MACHINE_LEARNING}


class _TooDeep(Exception):  # noqa: N818 - ends the walk, never leaves this module
    pass


def scan_model(
    data: bytes, inputs: InputContract, output: OutputContract, rules: ScanRules, refuse: Refuse
) -> ModelFacts | None:
    """Look at a model file.

    Args:
        data: the file.
        inputs: the tensor that the model must take: float32, [rows, features].
        output: the tensor that it must give.
        rules: limits.
        refuse: called for every rule that is broken.

    Returns:
        Facts about the model, or None if it is not one.
    """
    if len(data) > rules.model_bytes:
        refuse("model-size", f"the model has {len(data)} bytes, more than {rules.model_bytes}")
        return None
    model = ModelProto()
    try:
        # ParseFromString is content with many a random file; a model without a graph is none
        model.ParseFromString(data)
    except Exception:  # protobuf's own class is not typed; whatever it says, this is no model
        refuse("onnx-parse", "the model file is not an ONNX model")
        return None
    if not model.HasField("graph") or not model.graph.node:
        refuse("onnx-parse", "the model file is not an ONNX model with a graph")
        return None
    walk = _Walk(rules, refuse)
    sound = _check_header(model, rules, refuse)
    try:
        walk.graph(model.graph, 1)
    except _TooDeep:
        sound = False
    facts = ModelFacts(
        ir_version=max(0, min(model.ir_version, 2**31)),
        opsets={plain(entry.domain or "ai.onnx"): entry.version for entry in list(model.opset_import)[:16]},
        producer=plain(f"{model.producer_name} {model.producer_version}".strip()),
        nodes=walk.nodes,
        depth=walk.depth,
        operators={name: walk.operators[name] for name in sorted(walk.operators)},
        tensors=walk.tensors,
        tensor_bytes=walk.tensor_bytes,
    )
    if not (sound and walk.sound):
        return facts
    _check_contract(model.graph, inputs, output, refuse)
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker, shape inference and their C++ below raise a handful of classes
        refuse("onnx-checker", f"the ONNX checker refuses the model: {plain(error)}")
    return facts


def _check_header(model: ModelProto, rules: ScanRules, refuse: Refuse) -> bool:
    sound = True

    def no(rule: str, message: str) -> None:
        nonlocal sound
        sound = False
        refuse(rule, message)

    if not rules.ir_first <= model.ir_version <= rules.ir_last:
        no("onnx-ir", f"IR version {model.ir_version} is outside {rules.ir_first} to {rules.ir_last}")
    if len(model.functions):
        no("onnx-functions", "the model brings functions of its own; inline them before packaging")
    if len(model.training_info):
        no("onnx-training", "the model holds training information; export it for inference")
    ranges = {
        STANDARD: (rules.opset_first, rules.opset_last),
        MACHINE_LEARNING: (rules.learning_opset_first, rules.learning_opset_last),
    }
    seen: dict[str, int] = {}
    for entry in model.opset_import:
        domain = _SPELLINGS.get(entry.domain)
        if domain is None:
            no("onnx-domain", f"the operator domain `{plain(entry.domain)}` is not allowed")
            continue
        first, last = ranges[domain]
        if not first <= entry.version <= last:
            no("onnx-opset", f"opset {entry.version} of {_DOMAIN_NAMES[domain]} is outside {first} to {last}")
        # converters may name the standard domain by both its spellings; which of two versions holds would be a guess
        if seen.setdefault(domain, entry.version) != entry.version:
            no("onnx-opset", f"the opset of {_DOMAIN_NAMES[domain]} is given as two versions")
    if STANDARD not in seen and MACHINE_LEARNING not in seen:
        no("onnx-opset", "the model names no opset")
    return sound


class _Walk:
    """Visits every node and tensor once, inner graphs included, within the limits."""

    def __init__(self, rules: ScanRules, refuse: Refuse) -> None:
        self.nodes = self.depth = self.tensors = self.tensor_bytes = self.values = 0
        self.operators: Counter[str] = Counter()
        self.sound = True
        self._rules = rules
        self._refuse = refuse
        self._said: set[tuple[str, str]] = set()

    def graph(self, graph: GraphProto, depth: int) -> None:
        self.depth = max(self.depth, depth)
        if depth > self._rules.depth:
            self._no("onnx-depth", f"graphs nest more than {self._rules.depth} deep")
            raise _TooDeep
        if self.nodes + len(graph.node) > self._rules.nodes:
            self._no("onnx-nodes", f"the model has more than {self._rules.nodes} nodes")
            raise _TooDeep
        for tensor in graph.initializer:
            self.tensor(tensor)
        for sparse in graph.sparse_initializer:
            self.tensor(sparse.values)
            self.tensor(sparse.indices)
        if len(graph.sparse_initializer):
            self._no("onnx-sparse", "the model has sparse initializers; write them out")
        for node in graph.node:
            self.node(node, depth)

    def node(self, node: Any, depth: int) -> None:
        self.nodes += 1
        domain = _SPELLINGS.get(node.domain)
        if domain is None:
            self._no("onnx-domain", f"operator `{plain(node.op_type)}` of domain `{plain(node.domain)}` is not allowed")
        elif node.op_type not in OPERATORS[domain]:
            self._no("onnx-operator", f"operator `{plain(node.op_type)}` is not on the list of allowed operators")
        else:
            self.operators[f"{_DOMAIN_NAMES[domain]}.{node.op_type}"] += 1
        for attribute in node.attribute:
            self.attribute(attribute, depth)

    def attribute(self, attribute: AttributeProto, depth: int) -> None:
        self.values += len(attribute.floats) + len(attribute.ints) + len(attribute.strings)
        if self.values > self._rules.attribute_values:
            self._no("onnx-attributes", f"attributes hold more than {self._rules.attribute_values} values")
            raise _TooDeep
        if attribute.ref_attr_name:
            self._no("onnx-functions", "an attribute refers to a function's parameter")
        for tensor in _tensors(attribute):
            self.tensor(tensor)
        if attribute.HasField("g"):
            self.graph(attribute.g, depth + 1)
        for inner in attribute.graphs:
            self.graph(inner, depth + 1)

    def tensor(self, tensor: TensorProto) -> None:
        self.tensors += 1
        if self.tensors > self._rules.tensors:
            self._no("onnx-tensors", f"the model has more than {self._rules.tensors} tensors")
            raise _TooDeep
        if tensor.data_location == TensorProto.EXTERNAL or len(tensor.external_data):
            self._no("onnx-external-data", "a tensor keeps its data in another file")
        size = _size_bytes(tensor)
        if size is None:
            self._no("onnx-tensor", "a tensor has a negative dimension or an unknown type")
            return
        self.tensor_bytes += size
        if size > self._rules.tensor_bytes:
            self._no("onnx-tensor-size", f"a tensor declares more than {self._rules.tensor_bytes} bytes")

    def _no(self, rule: str, message: str) -> None:
        self.sound = False
        # a model with ten thousand foreign nodes gets one finding, not ten thousand
        if (rule, message) not in self._said:
            self._said.add((rule, message))
            self._refuse(rule, message)


def _tensors(attribute: AttributeProto) -> Iterator[TensorProto]:
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors
    sparse = [*attribute.sparse_tensors, *([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else [])]
    for tensor in sparse:
        yield tensor.values
        yield tensor.indices


def _size_bytes(tensor: TensorProto) -> int | None:
    count = 1
    for dimension in tensor.dims:
        if dimension < 0:
            return None
        count *= dimension
    if tensor.data_type == TensorProto.STRING:
        return sum(len(text) for text in tensor.string_data)
    try:
        return count * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    except (KeyError, ValueError, TypeError):
        return None


def _check_contract(graph: GraphProto, inputs: InputContract, output: OutputContract, refuse: Refuse) -> None:
    initial = {tensor.name for tensor in graph.initializer}
    taken = [value for value in graph.input if value.name not in initial]
    if [value.name for value in taken] != [inputs.tensor]:
        names = plain(", ".join(value.name for value in taken[:8]))
        refuse("contract-input", f"the model takes `{names}`, the contract says `{inputs.tensor}` alone")
    else:
        _check_input(taken[0], len(inputs.features), refuse)
    given = {value.name: value for value in graph.output}
    if output.tensor not in given:
        refuse("contract-output", f"the model gives no tensor `{output.tensor}`")
        return
    kind = given[output.tensor].type
    if not kind.HasField("tensor_type") or kind.tensor_type.elem_type != TensorProto.FLOAT:
        refuse("contract-output", f"output `{output.tensor}` is not a float32 tensor; export without ZipMap")
        return
    if kind.tensor_type.HasField("shape"):
        shape = kind.tensor_type.shape.dim
        if len(shape) not in (1, 2):
            refuse("contract-output", f"output `{output.tensor}` has {len(shape)} dimensions, not 1 or 2")
        elif len(shape) == 2 and shape[1].HasField("dim_value") and not output.column < shape[1].dim_value:
            refuse("contract-output", f"output `{output.tensor}` has no column {output.column}")


def _check_input(value: Any, features: int, refuse: Refuse) -> None:
    kind = value.type
    if not kind.HasField("tensor_type") or kind.tensor_type.elem_type != TensorProto.FLOAT:
        refuse("contract-input", f"input `{plain(value.name)}` is not a float32 tensor")
        return
    shape = kind.tensor_type.shape.dim
    if len(shape) != 2:
        refuse("contract-input", f"input `{plain(value.name)}` has {len(shape)} dimensions, not 2")
        return
    if shape[0].HasField("dim_value"):
        refuse("contract-input", "the number of rows is fixed; export the model with a free first dimension")
    # a free second dimension would let the runtime find out at the first request
    if shape[1].dim_value != features:
        refuse("contract-input", f"the model takes {shape[1].dim_value} features, the contract has {features}")

"""A real model that takes as long as its input says: an ONNX loop that turns for ever where somebody is too old."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from tests.serving.house import onnx_model

AGE = 1
OLD = 100.0
"""Up to this age the loop does not turn; a year more is ten thousand million turns."""


def looping_model(bias: float = 0.0) -> bytes:
    """The score of `onnx_model`, after the turns of an idle loop."""
    model = onnx.load_from_string(onnx_model(4, bias))
    graph = model.graph
    turn = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["go_on_out"]),
            helper.make_node("Identity", ["carried"], ["carried_out"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried_out", TensorProto.FLOAT, None),
        ],
    )
    first = graph.node[0]
    place = next(n for n, name in enumerate(first.input) if name == "x")
    first.input[place] = "looped"
    before = [
        helper.make_node("Gather", ["x", "age_place"], ["ages"], axis=1),
        helper.make_node("ReduceMax", ["ages"], ["oldest"], keepdims=0),
        helper.make_node("Sub", ["oldest", "old"], ["over"]),
        helper.make_node("Relu", ["over"], ["years"]),
        helper.make_node("Mul", ["years", "many"], ["turns_a_year"]),
        helper.make_node("Cast", ["turns_a_year"], ["turns"], to=TensorProto.INT64),
        helper.make_node("Loop", ["turns", "", "x"], ["looped"], body=turn),
    ]
    graph.initializer.append(helper.make_tensor("age_place", TensorProto.INT64, [], [AGE]))
    graph.initializer.append(helper.make_tensor("old", TensorProto.FLOAT, [], [OLD]))
    graph.initializer.append(helper.make_tensor("many", TensorProto.FLOAT, [], [1e10]))
    nodes = [*before, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return bytes(model.SerializeToString())

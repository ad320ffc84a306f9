"""What an ONNX graph does with a forest's sum before it answers: how it scales, links and cuts it.

Converters put few nodes behind a forest, and those are read here; behind any other the forest is not what answers, and
it is not explained.

Sources: onnx.proto (field numbers); ONNX operators `Clip`, `Exp`, `Identity`, `Mul`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from strongroom.errors import InvalidInputError

Link = Literal["logistic", "identity", "exponential"]
"""From the sum of the leaves to the score."""
LONGEST: Final = 8
_FLOAT32: Final = 1


class NotOneForestError(InvalidInputError):
    """The model file holds no single forest that is read here.

    Attributes:
        what: it is not, in words that follow "the model is not".
    """

    def __init__(self, what: str) -> None:
        super().__init__(
            f"reason codes are made for one forest only: the model is not {what}; submit such a one, or leave "
            "[explanation] out",
            field="explanation", rule="explanation",
        )  # fmt: skip
        self.what = what


def not_explained(what: str) -> NotOneForestError:
    """The error for a model that is not what is explained."""
    return NotOneForestError(what)


@dataclass(frozen=True, slots=True)
class Tail:
    """From what the ensemble's node puts out to the score.

    Attributes:
        link: of the sum.
        factor: of the sum of leaves and base, before the link.
        shift: added to it then.
        low, high: between which the score is cut.
    """

    link: Link
    factor: float = 1.0
    shift: float = 0.0
    low: float = -math.inf
    high: float = math.inf

    def then(self, node: Any, held: dict[str, float]) -> Tail:
        """This, and one more node. Raises InvalidInputError: it is none that is read."""
        cut = (self.low, self.high) != (-math.inf, math.inf)
        if node.op_type == "Identity":
            return self
        if node.op_type == "Clip":
            low, high = _ends(node, held)
            return replace(self, low=max(low, self.low), high=min(high, self.high)) if not cut else _no("two cuts")
        if node.op_type == "Exp" and self.link == "identity" and not cut:
            return replace(self, link="exponential")
        if node.op_type == "Mul" and not cut:
            by = next((held[name] for name in node.input if name in held), math.nan)
            if by == 1.0:
                return self
            if by > 0 and self.link == "identity":
                return replace(self, factor=self.factor * by)
            if by > 0 and self.link == "exponential":
                return replace(self, shift=self.shift + math.log(by))
        return _no(f"`{node.op_type[:40]}`")


def read_tail(graph: Any, start: str, tensor: str, link: Link) -> Tail:
    """What lies between the ensemble's output and the contract's.

    Args:
        graph: as `model_proto` reads it.
        start: the ensemble's output.
        tensor: the contract's.
        link: what the ensemble itself does with its sum.

    Raises:
        InvalidInputError: the tensor does not come from the ensemble, or by nodes that are not read.
    """
    makers = {name: node for node in graph.node for name in node.output}
    held = {one.name: value for one in graph.initializer if (value := _number(one)) is not None}
    steps: list[Any] = []
    name = tensor
    while name != start:
        node = makers.get(name)
        given = [] if node is None else [one for one in node.input if one and one not in held]
        if node is None or len(given) != 1 or node.domain not in ("", "ai.onnx") or len(steps) == LONGEST:
            raise not_explained("a forest whose answer is the contract's output")
        steps.append(node)
        name = given[0]
    tail = Tail(link)
    for node in reversed(steps):
        tail = tail.then(node, held)
    return tail


def takes_rows(value: Any, name: str, features: int) -> bool:
    """Whether an input is a tensor of this name for float32 rows of this many features."""
    shape = [one.size for one in value.type.tensor.shape.dimension]
    return bool(
        value.name == name and value.type.tensor.element == _FLOAT32 and len(shape) == 2 and shape[1] == features
    )


def _no(what: str) -> Tail:
    raise not_explained(f"a forest with nothing behind it but a scale, an exponential and one cut (it has {what})")


def _ends(node: Any, held: dict[str, float]) -> tuple[float, float]:
    """Of a `Clip`: attributes up to operator set 10, inputs from then on."""
    given = {attribute.name: float(attribute.f) for attribute in node.attribute}
    inputs = [held.get(name) for name in node.input[1:] if name] if len(node.input) > 1 else []
    names = [which for which, name in zip(("min", "max"), node.input[1:], strict=False) if name]
    given |= {which: value for which, value in zip(names, inputs, strict=True) if value is not None}
    return given.get("min", -math.inf), given.get("max", math.inf)


def _number(tensor: Any) -> float | None:
    """The value of a constant of one float32, None of any other."""
    if tensor.data_type != _FLOAT32 or math.prod(tensor.dims) != 1 or len(tensor.raw_data) not in (0, 4):
        return None
    values: npt.NDArray[np.float32] = (
        np.frombuffer(tensor.raw_data, "<f4") if tensor.raw_data else np.array(tensor.float_data, np.float32)
    )
    return float(values[0]) if len(values) == 1 and np.isfinite(values[0]) else None


@cache
def model_proto() -> Any:
    """A reader for the few fields of onnx.proto that a forest needs; the rest stays unread.

    The package `onnx` is no part of a gateway; protobuf comes with onnxruntime.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="forest.proto", package="strongroom.forest", syntax="proto2")
    fields = {
        "Attribute": (
            ("name", 1, "STRING"), ("f", 2, "FLOAT"), ("i", 3, "INT64"), ("s", 4, "BYTES"), ("floats", 7, "FLOAT*"),
            ("ints", 8, "INT64*"), ("strings", 9, "BYTES*"),
        ),
        "Node": (
            ("input", 1, "STRING*"), ("output", 2, "STRING*"), ("op_type", 4, "STRING"), ("attribute", 5, "Attribute*"),
            ("domain", 7, "STRING"),
        ),
        "Tensor": (
            ("dims", 1, "INT64*"), ("data_type", 2, "INT32"), ("float_data", 4, "FLOAT*"), ("name", 8, "STRING"),
            ("raw_data", 9, "BYTES"),
        ),
        "Dimension": (("size", 1, "INT64"),),
        "Shape": (("dimension", 1, "Dimension*"),),
        "TensorType": (("element", 1, "INT32"), ("shape", 2, "Shape")),
        "Type": (("tensor", 1, "TensorType"),),
        "Value": (("name", 1, "STRING"), ("type", 2, "Type")),
        "Graph": (
            ("node", 1, "Node*"), ("initializer", 5, "Tensor*"), ("input", 11, "Value*"), ("output", 12, "Value*"),
        ),
        "Model": (("graph", 7, "Graph"),),
    }  # fmt: skip
    for name, listed in fields.items():
        message = file.message_type.add(name=name)
        for field, number, kind in listed:
            plain = kind.rstrip("*")
            made = message.field.add(name=field, number=number)
            made.label = kinds.LABEL_REPEATED if kind.endswith("*") else kinds.LABEL_OPTIONAL
            if plain in fields:
                made.type, made.type_name = kinds.TYPE_MESSAGE, f".strongroom.forest.{plain}"
            else:
                made.type = getattr(kinds, f"TYPE_{plain}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("strongroom.forest.Model"))

"""A forest as plain arrays, read from the model file that is served: which leaf does a row reach, and what is it worth?

Only approved bytes, or the sandbox's, are read here. The branch rule is the runtime's own, in float32, so that what is
explained is what answers.

Sources: ONNX-ML operators `TreeEnsembleClassifier` and `TreeEnsembleRegressor`; XGBoost's model schema.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from strongroom.errors import InvalidInputError
from strongroom.registry.contract import ModelContract, RuntimeName
from strongroom.validation.trees.boosters import OBJECTIVES, open_booster
from strongroom.validation.trees.graph_tails import Link, model_proto, not_explained, read_tail, takes_rows

DEPTH_LIMIT: Final = 8
NODES_LIMIT: Final = 1_000_000
_LINKS: Final[dict[bytes, Link]] = {b"LOGISTIC": "logistic", b"NONE": "identity"}


@dataclass(frozen=True, slots=True)
class Tree:
    """Arrays over the nodes; node 0 is the root.

    Attributes:
        left, right: children, or -1 at a leaf.
        feature, threshold: a row goes left where its value is below the threshold (float32), or missing and
            `missing_left`.
        value: of a leaf.
        cover: the training weight that came to each node (XGBoost's sum of Hessians), where the file holds it.
    """

    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    feature: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.float32]
    missing_left: npt.NDArray[np.bool_]
    value: npt.NDArray[np.float64]
    cover: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class Forest:
    """Sum of trees, a base, and the way from there to the score, which never falls as the sum rises.

    `low` and `high` are where the score is cut.
    """

    trees: tuple[Tree, ...]
    base: float
    link: Link
    features: int
    low: float = -math.inf
    high: float = math.inf

    @property
    def cut(self) -> bool:
        """Whether sums beyond some end all have the same score."""
        return math.isfinite(self.low) or math.isfinite(self.high)

    def scores(self, margins: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Scores of sums of leaves."""
        scores = margins
        if self.link == "logistic":
            scores = 1.0 / (1.0 + np.exp(-margins))
        elif self.link == "exponential":
            scores = np.exp(margins)
        return np.clip(scores, self.low, self.high) if self.cut else scores

    def covers(self) -> npt.NDArray[np.float64]:
        """Training weights of all nodes, tree by tree. Raises InvalidInputError: the file holds none."""
        held = [tree.cover for tree in self.trees if tree.cover is not None]
        if len(held) < len(self.trees):
            raise InvalidInputError(
                "path-dependent values need the training weight of every node, which this model file does not hold; "
                "use native XGBoost, or reference rows",
                rule="weights",
            )
        return np.concatenate(held)


def read_forest(model: bytes, engine: RuntimeName, tensor: str, column: int, features: int) -> Forest:
    """The forest in a model file.

    Args:
        model: as sealed.
        engine: of the numeric profile.
        tensor, column: of the output contract.
        features: width of the input.

    Raises:
        InvalidInputError: the model is no single forest, or of a form that is not explained; the message says which.
    """
    if engine == "xgboost":
        return _demand_limits(_read_booster(model), features)
    return _demand_limits(_read_onnx(_Ensemble.of(model), tensor, column, features), features)


def _demand_limits(forest: Forest, features: int) -> Forest:
    if not forest.trees or sum(len(tree.left) for tree in forest.trees) > NODES_LIMIT:
        raise not_explained(f"a forest of 1 to {NODES_LIMIT} nodes")
    for tree in forest.trees:
        inner = tree.left >= 0
        if (tree.feature[inner] >= features).any() or (tree.feature[inner] < 0).any():
            raise not_explained("a forest over the features of its contract")
    return forest


def forest_of(contract: ModelContract, model: bytes) -> Forest:
    """`read_forest` by a contract."""
    output = contract.output
    return read_forest(model, contract.engine, output.tensor, output.column, len(contract.input.features))


def _read_booster(model: bytes) -> Forest:
    return _of_document(msgspec.json.decode(open_booster(model).saved("json")))


def _of_document(document: Any) -> Forest:
    learner = document["learner"]
    if learner["objective"]["name"] not in OBJECTIVES or learner["gradient_booster"]["name"] != "gbtree":
        raise not_explained("a classifier of boosted trees")
    # with a weight for each tree (dropout, as XGBoost 3.4 writes it) the leaves alone are not the model
    if any(weight != 1 for weight in learner["gradient_booster"]["model"].get("weight_drop", ())):
        raise not_explained("a forest whose trees count alike")
    trees = []
    for tree in learner["gradient_booster"]["model"]["trees"]:
        left = np.array(tree["left_children"], np.int32)
        bounds = np.array(tree["split_conditions"], np.float64).astype(np.float32)
        trees.append(
            Tree(
                left=left,
                right=np.array(tree["right_children"], np.int32),
                feature=np.array(tree["split_indices"], np.int32),
                threshold=bounds,
                missing_left=np.array(tree["default_left"], np.bool_),
                value=np.where(left < 0, bounds, 0).astype(np.float64),
                cover=np.array(tree["sum_hessian"], np.float32).astype(np.float64),
            )
        )
    shape = learner["learner_model_param"]
    chance = float(str(shape["base_score"]).strip("[]"))
    return Forest(tuple(trees), math.log(chance / (1 - chance)), "logistic", int(shape["num_feature"]))


def read_served(model: bytes, tensor_in: str, tensor: str, features: int) -> tuple[Forest, int]:
    """The forest of an ONNX file, in the usual column, and how many columns the file's output has.

    Args:
        model: as sealed.
        tensor_in: that the contract puts rows into.
        tensor: that it takes scores from.
        features: width of the input.

    Returns:
        The forest of class 1 of a classifier, which has two columns, or of the one output of a regressor.

    Raises:
        InvalidInputError: as `read_forest`, or the classifier has more than two classes.
    """
    ensemble = _Ensemble.of(model)
    if not takes_rows(ensemble.graph.input[0], tensor_in, features):
        raise not_explained(f"a forest over one input `{tensor_in}`, float32, [rows, {features}]")
    if ensemble.classifies:
        classes, bases = set(ensemble.ints("class_ids").tolist()), ensemble.floats("base_values")
        if not classes <= {0, 1}:
            raise not_explained("a classifier of two classes")
        # what a base adds to otherwise, onnxruntime and the specification do not agree about
        if len(bases) and (len(bases) != 1 or classes != {0}):
            raise not_explained("a classifier whose one base goes with its one list of weights, of class 0")
    forest = _read_onnx(ensemble, tensor, int(ensemble.classifies), features)
    return _demand_limits(forest, features), 1 + ensemble.classifies


@dataclass(frozen=True, slots=True)
class _Ensemble:
    """The one tree ensemble of a graph, and its attributes by name."""

    graph: Any
    node: Any
    given: dict[str, Any]

    @classmethod
    def of(cls, model: bytes) -> _Ensemble:
        proto = model_proto()()
        try:
            proto.ParseFromString(model)
        except Exception as error:  # protobuf's own class is not typed
            raise not_explained("ONNX") from error
        graph = proto.graph
        ensembles = [node for node in graph.node if node.op_type in ("TreeEnsembleClassifier", "TreeEnsembleRegressor")]
        if len(ensembles) != 1 or ensembles[0].domain != "ai.onnx.ml" or len(graph.input) != 1:
            raise not_explained("one TreeEnsembleClassifier or TreeEnsembleRegressor")
        node = ensembles[0]
        found = cls(graph, node, {attribute.name: attribute for attribute in node.attribute})
        if list(node.input) != [graph.input[0].name] or len(node.output) != 1 + found.classifies:
            raise not_explained("a forest over the input as it comes")
        # what is no UTF-8 comes as bytes
        if len(found.given) != len(node.attribute) or not all(isinstance(key, str) for key in found.given):
            raise not_explained("a forest that is told in one way only")
        found.demand_one_reading()
        return found

    @property
    def classifies(self) -> bool:
        return bool(self.node.op_type == "TreeEnsembleClassifier")

    @property
    def leaves(self) -> tuple[str, str, str, str]:
        """The attributes that say what leaves are worth: tree, node, output, weight."""
        if self.classifies:
            return "class_treeids", "class_nodeids", "class_ids", "class_weights"
        return "target_treeids", "target_nodeids", "target_ids", "target_weights"

    def word(self, key: str, default: bytes) -> bytes:
        return bytes(self.given[key].s) if key in self.given else default

    def words(self, key: str) -> list[bytes]:
        return [bytes(one) for one in self.given[key].strings] if key in self.given else []

    def ints(self, key: str) -> npt.NDArray[np.int64]:
        return np.array(self.given[key].ints, np.int64) if key in self.given else np.empty(0, np.int64)

    def floats(self, key: str) -> npt.NDArray[np.float32]:
        return np.array(self.given[key].floats, np.float32) if key in self.given else np.empty(0, np.float32)

    def demand_one_reading(self) -> None:
        """Lists that go together are of one length, and no node or weight is told twice: another reader of the file
        would not find another forest.

        Raises:
            InvalidInputError: they are not.
        """
        keys = ("nodes_nodeids", "nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids")
        trees, nodes = self.ints("nodes_treeids"), self.ints("nodes_nodeids")
        sizes = {*(len(self.ints(key)) for key in keys)}
        sizes |= {len(self.floats("nodes_values")), len(self.words("nodes_modes"))}
        *places, weights = self.leaves
        told = [self.ints(key) for key in places]
        if (
            sizes != {len(trees)}
            or len(self.ints("nodes_missing_value_tracks_true")) not in (0, len(trees))
            or {len(one) for one in told} != {len(self.floats(weights))}
            or _repeat(trees, nodes)
            or _repeat(*told)
        ):
            raise not_explained("a forest that is told in one way only")


def _repeat(*columns: npt.NDArray[np.int64]) -> bool:
    return len(set(zip(*(column.tolist() for column in columns), strict=True))) < len(columns[0])


def _read_onnx(ensemble: _Ensemble, tensor: str, column: int, features: int) -> Forest:
    graph, node, given, classifies = ensemble.graph, ensemble.node, ensemble.given, ensemble.classifies
    word, ints, floats = ensemble.word, ensemble.ints, ensemble.floats
    if any(key.endswith("_as_tensor") for key in given):
        raise not_explained("a forest of float32 weights")
    if word("aggregate_function", b"SUM") != b"SUM":
        raise not_explained("a forest whose trees are summed")
    link: Link | None = _LINKS.get(word("post_transform", b"NONE"))
    # onnxruntime gives the bare sum of a regressor of one output, whatever the file asks for
    if link is None or (link != "identity" and not classifies):
        raise not_explained("a forest whose sum is the score or its log-odds")
    tail = read_tail(graph, node.output[-1], tensor, link)
    roots, nodes = ints("nodes_treeids"), ints("nodes_nodeids")
    modes = np.array(ensemble.words("nodes_modes"))
    if not set(modes.tolist()) <= {b"LEAF", b"BRANCH_LT", b"BRANCH_LEQ"}:
        raise not_explained("a forest of comparisons with `<` and `<=`")
    values = floats("nodes_values")
    # x <= t is x < the next float32 above t
    values = np.where(modes == b"BRANCH_LEQ", np.nextafter(values, np.float32(np.inf)), values).astype(np.float32)
    missing = ints("nodes_missing_value_tracks_true").astype(np.bool_)
    missing = missing if len(missing) else np.zeros(len(roots), np.bool_)
    classes = ints(ensemble.leaves[2])
    if not len(classes):
        raise not_explained("a forest with leaves")
    if classifies:
        base, sign = _base(floats("base_values"), classes, column, link)
        kept = classes == (column if len(set(classes.tolist())) > 1 else classes[0])
    else:
        outputs = int(given["n_targets"].i) if "n_targets" in given else 1
        if outputs != 1 or column != 0 or classes.any() or len(floats("base_values")) > 1:
            raise not_explained("a forest of one output, in column 0")
        base, sign = float(floats("base_values").sum()), 1.0
        kept = classes == 0
    trees_of, nodes_of, _, weights = ensemble.leaves
    worth = dict(
        zip(
            zip(*(ints(key)[kept].tolist() for key in (trees_of, nodes_of)), strict=True),
            (sign * tail.factor * floats(weights)[kept].astype(np.float64)).tolist(),
            strict=True,
        )
    )
    trees = []
    leaf = modes == b"LEAF"
    yes, no, feature = ints("nodes_truenodeids"), ints("nodes_falsenodeids"), ints("nodes_featureids")
    # before they are narrowed, which would make another feature of a number that is too large
    if ((feature[~leaf] < 0) | (feature[~leaf] >= features)).any():
        raise not_explained("a forest over the features of its contract")
    for tree, at in _by_tree(roots):
        known = nodes[at].tolist()
        place = {identity: index for index, identity in enumerate(known)}
        value = [worth.get((tree, identity), 0.0) for identity in known]
        trees.append(
            Tree(
                left=_children(yes[at], place, leaf[at]), right=_children(no[at], place, leaf[at]),
                feature=feature[at].astype(np.int32), threshold=values[at], missing_left=missing[at],
                value=np.where(leaf[at], value, 0.0),
            )
        )  # fmt: skip
    return Forest(tuple(trees), tail.factor * base + tail.shift, tail.link, features, tail.low, tail.high)


def _by_tree(roots: npt.NDArray[np.int64]) -> Iterator[tuple[int, npt.NDArray[np.intp]]]:
    """Each tree, in the order of their first nodes, and where its nodes stand."""
    trees, first, sizes = np.unique(roots, return_index=True, return_counts=True)
    parts = np.split(np.argsort(roots, kind="stable"), np.cumsum(sizes)[:-1])
    for one in np.argsort(first).tolist():
        yield int(trees[one]), parts[one]


def _children(
    identities: npt.NDArray[np.int64], place: dict[int, int], leaf: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int32]:
    """Children by their place among the nodes of the tree, -1 at leaves."""
    try:
        found = [-1 if end else place[one] for one, end in zip(identities.tolist(), leaf.tolist(), strict=True)]
    except KeyError as error:
        raise not_explained("a forest whose branches lead to nodes of their own tree") from error
    return np.array(found, np.int32)


def _base(
    given: npt.NDArray[np.float32], classes: npt.NDArray[np.int64], column: int, link: Link
) -> tuple[float, float]:
    """The base of the asked column, and the sign of the weights: of one class's weights, column 0 is the complement."""
    if len(set(classes.tolist())) == 1:
        if column == 1:
            return (float(given[-1]) if len(given) else 0.0), 1.0
        if link == "logistic":
            return (-float(given[-1]) if len(given) else 0.0), -1.0
        return 1.0 - (float(given[-1]) if len(given) else 0.0), -1.0
    return (float(given[column]) if len(given) > column else 0.0), 1.0

"""Forests on wide registers, in the sandbox and at the gateway: Intel's oneDAL, through the C extension of `daal4py`.

The forest is read from the ONNX file that was scanned, by the reader that reason codes use; oneDAL sees numbers only
that were checked here, never the file. It walks the trees in float64 and adds up leaves that make the sum exact
(`sound_forests`); the base and the link are ours (`rounded_links`). So an answer is the same bits alone and in any
batch, whatever order or instruction set the library chooses.

The extension is loaded by its place: its Python package brings scikit-learn with it, two seconds and 150 MB.

Source: daal4py's model builder (`gbt_reg_model_builder`, `gbt_regression_prediction`).
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import math
import sys
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from strongroom.errors import InvalidInputError, UnavailableError
from strongroom.registry.contract import InputContract, OutputContract
from strongroom.validation.trees.forests import Forest, Tree, read_served
from strongroom.validation.trees.graph_tails import NotOneForestError
from strongroom.validation.trees.rounded_links import score, scores
from strongroom.validation.trees.sound_forests import demand_trees, exact_leaves

Rows = npt.NDArray[np.float32]

RUNTIME: Final = "onedal"
PROVIDER: Final = "cpu-float64"
"""Where it computes, and in what: the same library can sum in float32, whose bits hang on the batch."""

_NOTHING: Final = np.full((1, 2), math.nan, np.float32)
_LIBRARY: Final = "daal"
_BINDING: Final = "scikit-learn-intelex"
_PACKAGE: Final = "daal4py"
_EXTENSION: Final = "_daal4py"
_INSTALL: Final = "install strongroom[onedal], which is for Linux on x86-64"


@cache
def library_version() -> str:
    """Such as `2026.2.0`, of the library and of its binding, without loading either.

    Raises:
        UnavailableError: it is not installed, or the two do not belong together.
    """
    try:
        library, binding = metadata.version(_LIBRARY), metadata.version(_BINDING)
    except metadata.PackageNotFoundError as error:
        raise UnavailableError(f"oneDAL is not installed; {_INSTALL}") from error
    if library != binding:
        raise UnavailableError(f"oneDAL {library} and its binding {binding} are of two versions; {_INSTALL}")
    return library


@cache
def library() -> Any:
    """The extension of the installed wheel, on one thread.

    Raises:
        UnavailableError: it is not installed, does not load, or is of another version than its wheel says.
    """
    version = library_version()
    found = importlib.util.find_spec(_PACKAGE)
    places = list(found.submodule_search_locations or ()) if found is not None else []
    spec = importlib.machinery.PathFinder.find_spec(_EXTENSION, places)
    if spec is None or not isinstance(spec.loader, importlib.machinery.ExtensionFileLoader):
        raise UnavailableError(f"oneDAL is not installed for this Python; {_INSTALL}")
    # the extension would import pandas where it is installed, for tables that nobody gives it
    hidden = "pandas" not in sys.modules
    if hidden:
        sys.modules["pandas"] = None  # type: ignore[assignment]  # documented: the import fails as if there were none
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except ImportError as error:
        raise UnavailableError(f"the library of oneDAL does not load; {_INSTALL}") from error
    finally:
        if hidden:
            del sys.modules["pandas"]
    begins = "{}{:0>2}{:0>2}".format(*version.split("."))
    told = (module._get__daal_link_version__(), module._get__daal_run_version__())
    if not all(str(one).startswith(begins) for one in told):
        raise UnavailableError(f"the library of oneDAL that loads is not the installed {version}; {_INSTALL}")
    # more than one thread changes nothing in the bits, but costs others their cores
    module.daalinit(1)
    return module


@dataclass(frozen=True, slots=True)
class VectorForest:
    """A loaded model. One caller at a time.

    Attributes:
        forest: as read; base, link and cut are applied to the library's sums.
        columns: of the model file's output: 2 of a classifier, 1 of a regressor.
    """

    forest: Forest
    columns: int
    _model: Any
    _made: Any

    def predict(self, rows: Rows) -> Rows:
        """Scores, shape [rows], of rows of shape [rows, features]. Raises InvalidInputError as `output`."""
        return np.ascontiguousarray(self.output(rows)[:, -1])

    def output(self, rows: Rows) -> Rows:
        """The output of the model file, shape [rows, columns], of rows of shape [rows, features].

        The last column is computed. Column 0 of a classifier is no number, so that nobody takes it for an answer.

        Raises:
            InvalidInputError: another width or type.
        """
        if rows.dtype != np.float32 or rows.ndim != 2 or rows.shape[1] != self.forest.features:
            raise InvalidInputError("the rows are not float32 as wide as the model", field="rows", rule="shape")
        if not len(rows):
            return np.empty((0, self.columns), np.float32)
        # a new one for each call: it keeps its first answer's table and takes no other number of rows
        sums = self._made(fptype="double").compute(np.ascontiguousarray(rows), self._model).prediction
        if len(rows) == 1:
            found = _NOTHING.copy()
            found[0, 1] = score(sums.item() + self.forest.base, self.forest.link)
        else:
            found = np.empty((len(rows), 2), np.float32)
            found[:, 0] = math.nan
            found[:, 1] = scores(sums[:, 0] + self.forest.base, self.forest.link)
        if self.forest.cut:
            # the ends are float32 themselves, so it is the same to round before
            np.clip(found, np.float32(self.forest.low), np.float32(self.forest.high), out=found)
        return found if self.columns == 2 else found[:, 1:]


@dataclass(frozen=True, slots=True)
class Reading:
    """What oneDAL may get.

    Attributes:
        forest: of the model file.
        columns: of the file's output.
        leaves: values of all nodes, tree by tree, as `exact_leaves` has them.
    """

    forest: Forest
    columns: int
    leaves: list[npt.NDArray[np.float64]]


def read_model(model: bytes, tensor_in: str, tensor: str, features: int) -> Reading:
    """Read a model file, without the library.

    Args:
        model: bytes of ONNX.
        tensor_in, tensor: of the contract.
        features: width of the input.

    Raises:
        InvalidInputError: it is no forest that oneDAL may get; the message says why, and what to do.
    """
    try:
        forest, columns = read_served(model, tensor_in, tensor, features)
    except NotOneForestError as error:
        raise InvalidInputError(
            f"oneDAL runs one forest only: the model is not {error.what}; leave `runtime` out for onnxruntime",
            field="model", rule="forest",
        ) from error  # fmt: skip
    demand_trees(forest.trees)
    return Reading(forest, columns, exact_leaves(forest))


def open_forest(model: bytes, tensor_in: str, tensor: str, features: int) -> VectorForest:
    """`read_model`, and build it in the library's memory.

    Raises:
        InvalidInputError: as there.
        UnavailableError: the library is not installed.
    """
    read = read_model(model, tensor_in, tensor, features)
    daal = library()
    builder = daal.gbt_reg_model_builder(n_features=features, n_iterations=len(read.leaves))
    for tree, values in zip(read.forest.trees, read.leaves, strict=True):
        _add(builder, tree, values.tolist())
    return VectorForest(read.forest, read.columns, builder.model(base_score=0.0), daal.gbt_regression_prediction)


def demand_contract(forest: VectorForest, output: OutputContract) -> None:
    """Hold a loaded model against its contract, as far as loading did not.

    Raises:
        InvalidInputError: the contract takes another column than the last.
    """
    if output.column != forest.columns - 1:
        raise InvalidInputError(
            f"oneDAL gives column {forest.columns - 1} of such a model; take `output.column` from there",
            field="output.column",
            rule="output column",
        )


def open_contracted(model: bytes, inputs: InputContract, output: OutputContract) -> VectorForest:
    """`open_forest` and `demand_contract` by a contract."""
    forest = open_forest(model, inputs.tensor, output.tensor, len(inputs.features))
    demand_contract(forest, output)
    return forest


def _add(builder: Any, tree: Tree, value: list[float]) -> None:
    number = builder.create_tree(len(tree.left))
    # x < t is x <= the float32 below t; what is asked for is the largest value that goes left
    bounds = np.nextafter(tree.threshold, np.float32(-np.inf)).astype(np.float64).tolist()
    left, right, feature = tree.left.tolist(), tree.right.tolist(), tree.feature.tolist()
    missing = tree.missing_left.tolist()
    rest: list[tuple[int, dict[str, int]]] = [(0, {})]
    while rest:
        node, below = rest.pop()
        if left[node] < 0:
            builder.add_leaf(tree_id=number, response=value[node], cover=0.0, **below)
            continue
        place = builder.add_split(
            tree_id=number, feature_index=feature[node], feature_value=bounds[node], cover=0.0,
            default_left=int(missing[node]), **below,
        )  # fmt: skip
        rest.append((right[node], {"parent_id": place, "position": 1}))
        rest.append((left[node], {"parent_id": place, "position": 0}))

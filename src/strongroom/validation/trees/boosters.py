"""Native XGBoost, in the sandbox and at the gateway: the library of the `xgboost-cpu` wheel, by its documented C API.

The wheel's Python package is not imported: it brings scikit-learn, pandas and SciPy with it, two seconds and 150 MB,
and a third of the time of an answer. The numbers come from the same compiled code, and a test holds the bits equal.

Source: XGBoost's C API (c_api.h): `XGBoosterLoadModelFromBuffer`, `XGBoosterPredictFromDense`,
`XGBoosterSaveModelToBuffer`.
"""

from __future__ import annotations

import ctypes
import importlib.util
import weakref
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from strongroom.errors import InvalidInputError, UnavailableError
from strongroom.registry.contract import InputContract, OutputContract

Rows = npt.NDArray[np.float32]

RUNTIME: Final = "xgboost"
PROVIDER: Final = "cpu"
INPUT: Final = "input"
OUTPUT: Final = "probability"
"""A booster has no named tensors; a contract that names one calls its input and output so."""
OBJECTIVES: Final = ("binary:logistic", "reg:logistic")
"""Those whose answer is the probability of class 1, one value a row."""

_BEGIN: Final = b"{L"
"""UBJSON: an object whose first key has a 64-bit length. XGBoost's old binary format starts otherwise."""
_SHOWN: Final = 160

_VALUE: Final = (
    b'{"type":0,"training":false,"iteration_begin":0,"iteration_end":0,"strict_shape":false,"missing":NaN,"cache_id":0}'
)
_MARGIN: Final = _VALUE.replace(b'"type":0', b'"type":1')


@cache
def library() -> Any:
    """The shared library of the installed wheel.

    Raises:
        UnavailableError: it is not installed, or does not load.
    """
    found = importlib.util.find_spec("xgboost")
    places = list(found.submodule_search_locations or ()) if found is not None else []
    if not places:
        raise UnavailableError("native XGBoost is not installed; install strongroom[xgboost]")
    try:
        lib = ctypes.CDLL(f"{places[0]}/lib/libxgboost.so")
    except OSError as error:
        raise UnavailableError("the library of native XGBoost does not load; install strongroom[xgboost]") from error
    lib.XGBGetLastError.restype = ctypes.c_char_p
    handle, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint64
    for name, arguments in (
        ("XGBoosterCreate", [handle, size, handle]),
        ("XGBoosterFree", [handle]),
        ("XGBoosterSetParam", [handle, text, text]),
        ("XGBoosterLoadModelFromBuffer", [handle, text, size]),
        ("XGBoosterSaveModelToBuffer", [handle, text, handle, handle]),
        ("XGBoosterGetNumFeature", [handle, handle]),
        ("XGBoosterPredictFromDense", [handle, text, text, handle, handle, handle, handle]),
    ):
        getattr(lib, name).argtypes = arguments
    # told once for the process: a message of the library would go to the log as it is, with an author's words in it
    lib.XGBSetGlobalConfig(b'{"verbosity":0}')
    return lib


@cache
def library_version() -> str:
    """Such as `3.2.0`, as the library itself says it. Raises UnavailableError."""
    major, minor, patch = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    library().XGBoostVersion(ctypes.byref(major), ctypes.byref(minor), ctypes.byref(patch))
    return f"{major.value}.{minor.value}.{patch.value}"


class Booster:
    """A loaded model. One thread, and one caller at a time. Made by `open_booster`."""

    def __init__(self, handle: ctypes.c_void_p, features: int) -> None:
        self._handle = handle
        self.features = features
        self._predict = library().XGBoosterPredictFromDense
        self._shape = ctypes.POINTER(ctypes.c_uint64)()
        self._axes = ctypes.c_uint64()
        self._result = ctypes.POINTER(ctypes.c_float)()
        self._out = (ctypes.byref(self._shape), ctypes.byref(self._axes), ctypes.byref(self._result))
        weakref.finalize(self, library().XGBoosterFree, handle)

    def predict(self, rows: Rows) -> Rows:
        """Probabilities, shape [rows], of rows of shape [rows, features].

        Raises:
            InvalidInputError: another width or type, or a value that XGBoost does not take.
        """
        return self._run(rows, _VALUE)

    def margins(self, rows: Rows) -> Rows:
        """As `predict`, before the logistic function: base score and leaves summed, in float32."""
        return self._run(rows, _MARGIN)

    def saved(self, form: str = "ubj") -> bytes:
        """The model as the library writes it, `ubj` or `json`."""
        size, place = ctypes.c_uint64(), ctypes.POINTER(ctypes.c_char)()
        config = b'{"format":"%b"}' % form.encode()
        _check(
            library().XGBoosterSaveModelToBuffer(self._handle, config, ctypes.byref(size), ctypes.byref(place)), "saved"
        )
        return ctypes.string_at(place, size.value)

    def _run(self, rows: Rows, how: bytes) -> Rows:
        if rows.dtype != np.float32 or rows.ndim != 2 or rows.shape[1] != self.features:
            raise InvalidInputError("the rows are not float32 as wide as the model", field="rows", rule="shape")
        rows = np.ascontiguousarray(rows)
        count = len(rows)
        array = b'{"data":[%d,true],"shape":[%d,%d],"typestr":"<f4","version":3}' % (
            rows.ctypes.data, count, self.features,
        )  # fmt: skip
        _check(self._predict(self._handle, array, how, None, *self._out), "asked")
        if self._axes.value != 1 or self._shape[0] != count:
            raise InvalidInputError("the model does not give one value a row", field="model", rule="shape")
        # the library keeps the memory and writes the next answer into it
        return np.frombuffer(ctypes.string_at(self._result, 4 * count), np.float32)


def open_booster(model: bytes) -> Booster:
    """Load a model from memory, for one thread.

    The library is not proof against hostile files: before a version is approved, call this in the sandbox only.

    Raises:
        InvalidInputError: not UBJSON, or the library does not take it.
        UnavailableError: the library is not installed.
    """
    if not model.startswith(_BEGIN):
        raise InvalidInputError("the model file is not XGBoost's UBJSON", field="model", rule="ubjson")
    lib = library()
    handle = ctypes.c_void_p()
    _check(lib.XGBoosterCreate(None, 0, ctypes.byref(handle)), "made")
    width = ctypes.c_uint64()
    try:
        _check(lib.XGBoosterSetParam(handle, b"nthread", b"1"), "set")
        _check(lib.XGBoosterLoadModelFromBuffer(handle, model, len(model)), "loaded")
        # loading brings the author's number of threads back; more than one may change the order of sums
        _check(lib.XGBoosterSetParam(handle, b"nthread", b"1"), "set")
        _check(lib.XGBoosterGetNumFeature(handle, ctypes.byref(width)), "read")
    except InvalidInputError:
        lib.XGBoosterFree(handle)
        raise
    return Booster(handle, width.value)


def demand_contract(booster: Booster, inputs: InputContract, output: OutputContract) -> None:
    """Hold a loaded model against its contract.

    Raises:
        InvalidInputError: other names than `input` and `probability`, another column than 0, or another width.
    """
    if (inputs.tensor, output.tensor, output.column) != (INPUT, OUTPUT, 0):
        raise InvalidInputError(
            f"a contract of native XGBoost calls its tensors `{INPUT}` and `{OUTPUT}`, and the column is 0",
            field="output.tensor",
            rule="output tensor",
        )
    if booster.features != len(inputs.features):
        raise InvalidInputError(
            f"the model does not take rows of {len(inputs.features)} features", field=inputs.tensor, rule="input shape"
        )


def _check(code: int, what: str) -> None:
    if code:
        # the library's words end in a stack trace, and may quote the file
        words = (library().XGBGetLastError() or b"").decode("utf-8", "replace").partition("\n")[0]
        shown = "".join(c if c.isprintable() else "?" for c in words)[:_SHOWN]
        raise InvalidInputError(f"the model cannot be {what} by XGBoost: {shown}", field="model", rule="xgboost")

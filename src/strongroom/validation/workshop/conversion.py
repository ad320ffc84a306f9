"""From a saved model to the served file: the order, the two jobs in the sandbox, and the statement of what was done.

The first job loads the saved model, which may be a pickle and then runs as it likes behind the walls. The second never
meets it, and measures. What is stated is what the second measured of the files that the first left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NoReturn

import msgspec

from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError, SandboxError, UnavailableError, UnsafeArtifactError
from strongroom.registry.contract import MODEL_SUFFIX, Feature, RuntimeName, bound
from strongroom.registry.source import SOURCE_FILES_LIMIT, SourceFormat
from strongroom.sealing.statements import STATEMENT_LIMIT, STATEMENT_TYPE
from strongroom.validation.ports import MIB, Job, Limits, Parameter, Sandbox
from strongroom.vocabulary import Digest, digest_of, parse_digest

CONVERSION: Final = "urn:strongroom:predicate:conversion:v1"
CONVERTED: Final = "converted.json"
FIGURES: Final = "figures.json"
PREDICTIONS: Final = "predictions.parquet"
CONVERT: Final = "strongroom.validation.jobs.convert"
CHECK: Final = "strongroom.validation.jobs.conversion_check"
LIMITS: Final = Limits(cpu_s=120, wall_s=300, memory_bytes=6144 * MIB, output_bytes=512 * MIB, output_files=4)
TOOLS: Final = (
    "cloudpickle", "joblib", "lightgbm", "numpy", "onnx", "onnxmltools", "onnxruntime", "scikit-learn", "skl2onnx",
    "skops", "statsmodels", "xgboost", "xgboost-cpu",
)  # fmt: skip
SavedAs = Literal["pickle", "skops", "text", "json", "ubj"]
EXTRA: Final = "strongroom[convert]"


class ConversionOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What both jobs need of the contract. Numbers are decimal strings."""

    format: SourceFormat
    runtime: RuntimeName
    features: tuple[str, ...]
    cut_offs: tuple[str, ...]
    tolerance: str

    @property
    def documented(self) -> tuple[Feature, ...]:
        """The features as the runtime's check of widths takes them."""
        return tuple(Feature(name=n, type="float", unit="x", purpose="x", legal_basis="x") for n in self.features)


class Converted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the converting job says of the source. Nothing depends on its truth."""

    v: Literal[1]
    saved_as: SavedAs
    kind: str
    tensor: str
    column: int
    notes: tuple[str, ...]
    parameters: dict[str, str]


class Figures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the checking job measured on the reference sample.

    Attributes:
        rows: of the sample.
        largest: largest difference between the source's answer and the converted model's, for rows of float32.
        beyond: rows that differ by more than the tolerance.
        flips: rows that fall on two sides of a cut-off.
        near: rows within the tolerance of a cut-off.
        narrowing_largest, narrowing_flips: the same for the source alone, between rows of float64 and of float32: what
            the gateway's float32 costs, whatever the conversion does.
        tools: versions of the libraries, by name.
    """

    rows: int
    largest: str
    beyond: int
    flips: int
    near: int
    narrowing_largest: str
    narrowing_flips: int
    tools: dict[str, str]

    def __post_init__(self) -> None:
        counts = (self.beyond, self.flips, self.near, self.narrowing_flips)
        if self.rows < 1 or not all(0 <= count <= self.rows for count in counts):
            raise InvalidInputError("counts of rows lie between 0 and all rows", field="figures", rule="range")
        if any((bound(text) or 0.0) < 0.0 for text in (self.largest, self.narrowing_largest)):
            raise InvalidInputError("a distance is 0 or more", field="figures", rule="range")


class NamedDigest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file by path and SHA-256."""

    path: str
    sha256: Digest

    def __post_init__(self) -> None:
        parse_digest(self.sha256)


class ConversionPredicate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Predicate `urn:strongroom:predicate:conversion:v1`. Its subject is the converted model file.

    Attributes:
        source: every file of the source.
        reference: digest of the sample on which parity was measured, as the converter was given it.
        predictions: digest of the source's own answers.
        isolation: of the sandbox.
    """

    v: Literal[1]
    order: ConversionOrder
    source: tuple[NamedDigest, ...]
    converted: Converted
    figures: Figures
    reference: Digest
    predictions: Digest
    isolation: Literal["linux-namespaces", "none"]

    def __post_init__(self) -> None:
        parse_digest(self.reference)
        parse_digest(self.predictions)
        if not 0 < len(self.source) <= SOURCE_FILES_LIMIT:
            raise InvalidInputError(f"a source has 1 to {SOURCE_FILES_LIMIT} files", field="source", rule="count")


@dataclass(frozen=True, slots=True)
class ConvertedModel:
    """A conversion whose parity holds.

    Attributes:
        model: bytes of the served file.
        predictions: Parquet: the source's own answers, columns `prediction` and `wide`.
        predicate: what the statement says.
    """

    model: bytes
    predictions: bytes
    predicate: ConversionPredicate

    def statement(self, model_path: str) -> bytes:
        """The in-toto statement, canonical; the author's signature over the package covers it."""
        return canonical(
            {
                "_type": STATEMENT_TYPE,
                "predicate": msgspec.to_builtins(self.predicate),
                "predicateType": CONVERSION,
                "subject": [{"digest": {"sha256": digest_of(self.model)}, "name": model_path}],
            }
        )


def convert_source(
    order: ConversionOrder, files: Mapping[str, bytes], reference: bytes, sandbox: Sandbox, limits: Limits = LIMITS
) -> ConvertedModel:
    """Convert a saved model and prove that the result answers as it does.

    Args:
        files: the source by path, below `source/`.
        reference: Parquet with the features.
        sandbox: where the source is loaded, and nowhere else.

    Raises:
        UnsafeArtifactError: it cannot be converted, or the converted model answers otherwise.
        UnavailableError: a converter is not installed, or this machine cannot isolate.
        SandboxError: the job broke a limit or crashed, as hostile files make it.
    """
    named: list[Parameter] = [[f"source-{i}", path] for i, path in enumerate(sorted(files))]
    shared = {"contract.json": canonical(order), "reference.parquet": reference}
    inputs = shared | {f"source-{i}": files[path] for i, path in enumerate(sorted(files))}
    model_file = "model" + MODEL_SUFFIX[order.runtime]
    try:
        ran = sandbox.run(Job(entry=CONVERT, inputs=inputs, parameters={"files": named}, limits=limits))
    except SandboxError as error:
        _explain(error)
    try:
        model, answers = ran.files[model_file], ran.files[PREDICTIONS]
        told = parse_as(ran.files[CONVERTED], Converted, MIB)
    except (KeyError, InvalidInputError) as error:
        raise SandboxError("the conversion left no readable result", reason="output") from error
    check = Job(
        entry=CHECK,
        inputs=shared | {model_file: model, PREDICTIONS: answers},
        parameters={"tensor": told.tensor, "column": told.column},
        limits=limits,
    )
    try:
        measured = sandbox.run(check)
    except SandboxError as error:
        _explain(error)
    try:
        figures = parse_as(measured.files[FIGURES], Figures, MIB)
    except (KeyError, InvalidInputError) as error:
        raise SandboxError("the check of the conversion left no readable result", reason="output") from error
    # a row that decides otherwise without this differs by no more than rounding; the battery counts those
    if figures.beyond:
        raise UnsafeArtifactError(
            f"the converted model does not answer as its source: {figures.beyond} of {figures.rows} rows differ by "
            f"more than {order.tolerance} (at most {figures.largest}), {figures.flips} decide otherwise; scale the "
            "features, fit in float32, or keep XGBoost native",
            rule="parity",
        )
    return ConvertedModel(
        model,
        answers,
        ConversionPredicate(
            v=1,
            order=order,
            source=tuple(NamedDigest(path=path, sha256=digest_of(files[path])) for path in sorted(files)),
            converted=told,
            figures=figures,
            reference=digest_of(reference),
            predictions=digest_of(answers),
            isolation=ran.isolation,
        ),
    )


def read_statement(data: bytes) -> tuple[Digest, ConversionPredicate]:
    """The digest of the converted file, and what is stated of it. Believe neither before comparing.

    Raises:
        InvalidInputError: not such a statement.
    """
    document = parse_as(data, dict[str, object], STATEMENT_LIMIT)
    try:
        (subject,) = msgspec.convert(document.get("subject"), tuple[dict[str, object]])
        digest = msgspec.convert(subject.get("digest"), dict[str, str])["sha256"]
        predicate = msgspec.convert(document.get("predicate"), ConversionPredicate)
    except (msgspec.ValidationError, KeyError) as error:
        raise InvalidInputError(
            "the file conversion.json is no statement of a conversion", field="conversion.json", rule="schema"
        ) from error
    if (document.get("_type"), document.get("predicateType")) != (STATEMENT_TYPE, CONVERSION):
        raise InvalidInputError(
            "the file conversion.json is no statement of a conversion", field="conversion.json", rule="type"
        )
    return Digest(digest), predicate


def _explain(error: SandboxError) -> NoReturn:
    """A job's own refusals in their own words; what broke a limit or crashed stays a failure of the sandbox."""
    raised = error.details.get("exception")
    said = error.message.partition("): ")[2].removeprefix(f"{raised}: ")
    if error.details.get("reason") != "exception" or not raised:
        raise error
    if raised in ("UnsafeArtifactError", "InvalidInputError", "TooLargeError"):
        raise UnsafeArtifactError(f"the source is not converted: {said}", rule="source") from error
    if raised in ("ModuleNotFoundError", "ImportError"):
        raise UnavailableError(
            f"the source is not converted: {said}; install {EXTRA}, or save the model without code of your own"
        ) from error
    raise UnsafeArtifactError(
        f"the source is not converted: loading it raised {raised}; save it anew with the libraries' versions of here",
        rule="source",
    ) from error

"""What a scan looks for in a package before anyone opens it in earnest, and what it says about what it found.

The rules here are data; `jobs.scan` applies them inside the sandbox, where the library `onnx` may meet the file.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from strongroom.encoding import canonical
from strongroom.validation.scans.licences import LicenceFacts
from strongroom.vocabulary import Digest, digest_of

TEXT_LIMIT = 160
FINDINGS_LIMIT = 200

MACHINE_LEARNING: Final = "ai.onnx.ml"
STANDARD: Final = ""
"""`ai.onnx` is written as the empty domain in most files; both spellings mean the same."""

# What models of tables are made of. Left out on purpose: random numbers (no replay), loops (no bound on time), text,
# pictures, sequences and maps (not float32 in and out), training, control flow but for `If`.
_STANDARD: Final = """
    Abs Add And ArgMax ArgMin BatchNormalization Cast CastLike Ceil Celu Clip Concat Constant ConstantOfShape CumSum Div
    Elu Equal Erf Exp Expand Flatten Floor Gather GatherElements GatherND Gelu Gemm Greater GreaterOrEqual HardSigmoid
    HardSwish Hardmax Identity If IsInf IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax
    LpNormalization MatMul Max Mean Min Mish Mod Mul Neg Not OneHot Or PRelu Pad Pow Range Reciprocal ReduceL1 ReduceL2
    ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Round
    ScatterElements ScatterND Selu Shape Sigmoid Sign Size Slice Softmax Softplus Softsign Split Sqrt Squeeze Sub Sum
    Tanh ThresholdedRelu Tile TopK Transpose Unsqueeze Where Xor
"""
_LEARNING: Final = """
    ArrayFeatureExtractor Binarizer FeatureVectorizer Imputer LabelEncoder LinearClassifier LinearRegressor Normalizer
    OneHotEncoder SVMClassifier SVMRegressor Scaler TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor
"""
OPERATORS: Final = {STANDARD: frozenset(_STANDARD.split()), MACHINE_LEARNING: frozenset(_LEARNING.split())}

Severity = Literal["refuse", "note"]


class ScanRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Version and limits. Whatever changes here changes `version`, since evidence quotes it."""

    version: Literal[1] = 1
    model_bytes: int = 512 * 1024 * 1024
    file_bytes: int = 1024 * 1024 * 1024
    text_bytes: int = 4 * 1024 * 1024
    nodes: int = 20_000
    depth: int = 4
    tensors: int = 20_000
    tensor_bytes: int = 256 * 1024 * 1024
    attribute_values: int = 20_000_000
    opset_first: int = 9
    opset_last: int = 26
    learning_opset_first: int = 1
    learning_opset_last: int = 5
    ir_first: int = 4
    ir_last: int = 13
    rows: int = 10_000_000
    columns: int = 5000


RULES: Final = ScanRules()


def rules_digest(rules: ScanRules = RULES) -> Digest:
    """Identity of limits and operator lists together."""
    operators = {domain or "ai.onnx": sorted(names) for domain, names in OPERATORS.items()}
    return digest_of(canonical({"limits": msgspec.to_builtins(rules), "operators": operators}))


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that stands out. `refuse` fails the scan; a `note` is for the validator.

    Attributes:
        rule: short name, stable.
        file: path in the package, or empty for the package as a whole.
        message: says what, never a secret or a value of a person.
    """

    rule: str
    severity: Severity
    file: str
    message: str


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model file consists of, for the inventory."""

    ir_version: int
    opsets: dict[str, int]
    producer: str
    nodes: int
    depth: int
    operators: dict[str, int]
    tensors: int
    tensor_bytes: int


class BoosterRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits for files of native XGBoost. Whatever changes here changes `version`, since evidence quotes it."""

    version: Literal[1] = 1
    model_bytes: int = 256 * 1024 * 1024
    trees: int = 20_000
    nodes: int = 5_000_000
    depth: int = 64


BOOSTER_RULES: Final = BoosterRules()


class BoosterFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a file of native XGBoost consists of, for the inventory."""

    rules: BoosterRules
    xgboost: str
    objective: str
    features: int
    trees: int
    nodes: int
    depth: int


class UnpackingRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits for a package as a whole. Whatever changes here changes `version`, since evidence quotes it.

    Attributes:
        unpacked_bytes: of all parts together.
        archive_bytes: of an archive that itself lies in a compressed part, and so has to be held whole.
        members: of one archive.
        depth: compressed parts within compressed parts.
    """

    version: Literal[1] = 1
    unpacked_bytes: int = 1024 * 1024 * 1024
    archive_bytes: int = 128 * 1024 * 1024
    members: int = 1000
    depth: int = 3


UNPACKING_RULES: Final = UnpackingRules()


class UnpackingFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much was unpacked and looked into."""

    rules: UnpackingRules
    parts: int
    unpacked_bytes: int


class SampleFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a Parquet file consists of."""

    file: str
    rows: int
    columns: int


class ScanResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the job says: `scan.json`. `booster` stands in place of `model` for a model of native XGBoost.

    `unpacked` says how far compressed parts of a saved model were looked into; absent where there is none. `licences`
    is absent where the policy has no rules for them.
    """

    v: Literal[1]
    rules: ScanRules
    rules_sha256: Digest
    tools: dict[str, str]
    findings: tuple[Finding, ...]
    model: ModelFacts | None
    samples: tuple[SampleFacts, ...]
    booster: BoosterFacts | msgspec.UnsetType = msgspec.UNSET
    unpacked: UnpackingFacts | msgspec.UnsetType = msgspec.UNSET
    licences: LicenceFacts | msgspec.UnsetType = msgspec.UNSET


class ScannedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of the manifest, as it was looked at."""

    path: str
    role: str
    sha256: Digest


class ScanPredicate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Predicate `urn:strongroom:predicate:scan:v1`. Its subject is the manifest.

    Attributes:
        verdict: `pass` if no finding refuses.
        files: every file of the package: nothing was left out.
        result: what the job in the sandbox found.
        isolation: `linux-namespaces`, or `none` where a dangerous setting allowed it.
        at_us: when.
        policy_sha256: the validation policy whose licence rules judged; absent in statements from before them.
        bill: digest of the bill of materials as it stood then (CycloneDX), with the licences that were found.
    """

    v: Literal[1]
    verdict: Literal["pass", "fail"]
    files: tuple[ScannedFile, ...]
    result: ScanResult
    isolation: Literal["linux-namespaces", "none"]
    at_us: int
    policy_sha256: Digest | msgspec.UnsetType = msgspec.UNSET
    bill: Digest | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if self.verdict != verdict_of(self.result):
            raise ValueError("the verdict of a scan follows from its findings")


def verdict_of(result: ScanResult) -> Literal["pass", "fail"]:
    """`fail` if any finding refuses, or there is no model at all."""
    if (result.model is None and result.booster is msgspec.UNSET) or any(
        finding.severity == "refuse" for finding in result.findings
    ):
        return "fail"
    return "pass"


def plain(text: Any) -> str:
    """Text from a package made safe to show: printable, short."""
    shown = "".join(c if c.isprintable() else "?" for c in str(text)[: TEXT_LIMIT + 1])
    return shown if len(shown) <= TEXT_LIMIT else shown[: TEXT_LIMIT - 1] + "…"

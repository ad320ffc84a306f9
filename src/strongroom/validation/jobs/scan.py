"""A sandbox job: is there anything in this package that must not be opened, does the model have its contract's form?

Inputs: `contract.json`, and `file-0`, `file-1` ... the files of the package; `licences.json` (LicenceRules) where the
policy has such rules.
Parameters: `files`, a list of [input name, path, role].
Outputs: `scan.json` (ScanResult).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

import msgspec

from strongroom.encoding import canonical, parse_as
from strongroom.errors import InvalidInputError, StrongroomError
from strongroom.registry.contract import MODEL_SUFFIX, ModelContract
from strongroom.registry.former import read_former
from strongroom.registry.hardening import CONTRACT, MANIFEST
from strongroom.registry.source import CONVERSION_FILE, FOLDER
from strongroom.validation.jobs.licence_reading import judge, needed
from strongroom.validation.jobs.unpacking import BeyondLimitsError, Unpacker
from strongroom.validation.scans.booster_scan import scan_booster
from strongroom.validation.scans.licences import LicenceFacts, LicenceRules
from strongroom.validation.scans.onnx_scan import Refuse, scan_model
from strongroom.validation.scans.scan import (
    BOOSTER_RULES,
    FINDINGS_LIMIT,
    RULES,
    BoosterFacts,
    Finding,
    ModelFacts,
    SampleFacts,
    ScanResult,
    Severity,
    plain,
    rules_digest,
)
from strongroom.validation.statistics.tables import numbers, read_table
from strongroom.validation.trees.onedal import read_model
from strongroom.validation.workshop.conversion import read_statement
from strongroom.vocabulary import digest_of

TEXT_SUFFIXES = (".json", ".md", ".toml", ".txt")

# the first bytes of what is never loaded: pickles of every protocol since 2, archives, programs
_FOREIGN = (
    (re.compile(rb"\x80[\x02-\x05]"), "a pickle"),
    (re.compile(rb"PK(\x03\x04|\x05\x06)"), "a ZIP archive (or what is kept in one: joblib, PyTorch, Keras, NumPy)"),
    (re.compile(rb"\x1f\x8b|BZh|\xfd7zXZ\x00|\x28\xb5\x2f\xfd|7z\xbc\xaf|Rar!"), "a compressed archive"),
    (re.compile(rb"\x89HDF\r\n"), "an HDF5 file"),
    (re.compile(rb"\x7fELF|MZ|#!"), "a program"),
    (re.compile(rb"\x93NUMPY"), "a NumPy array file, which may hold pickles"),
)
# Forms that their issuers document; chance hits are rare. Only credentials that open something by themselves. Each
# begins with plain text, which is searched for twenty times as fast as a class of characters.
_SECRETS: Final = (
    ("private key", re.compile(rb"-----BEGIN (?:[A-Z]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)?-----")),
    ("AWS access key", re.compile(rb"(?:AKIA|ASIA)[A-Z2-7]{16}\b")),
    ("GitHub token", re.compile(rb"(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{82})\b")),
    ("GitLab token", re.compile(rb"glpat-[A-Za-z0-9_-]{20,}")),
    ("Slack token", re.compile(rb"xox[abeprs]-[A-Za-z0-9-]{10,}")),
    ("Google API key", re.compile(rb"AIza[A-Za-z0-9_-]{35}")),
    ("Stripe key", re.compile(rb"k_live_(?<=[rs]k_live_)[A-Za-z0-9]{20,}")),
    ("JSON Web Token", re.compile(rb"eyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,6000}\.[A-Za-z0-9_-]{10}")),
    ("password in an address", re.compile(rb"://(?<=[a-z0-9+.-]{2}://)[^\s:/@]{1,64}:[^\s:/@]{3,64}@[A-Za-z0-9]")),
)
_SECRET_LENGTH: Final = 16 * 1024
"""More than the longest form: what lies across two pieces of a stream is seen in one window."""


class _Findings:
    def __init__(self) -> None:
        self.all: list[Finding] = []

    def add(self, rule: str, file: str, message: str, severity: Severity = "refuse") -> None:
        finding = Finding(rule=rule, severity=severity, file=plain(file), message=message)
        if len(self.all) < FINDINGS_LIMIT and finding not in self.all:
            self.all.append(finding)


def run(inputs: Mapping[str, bytes], parameters: dict[str, Any]) -> dict[str, bytes]:
    """See the module's docstring.

    Raises:
        InvalidInputError: contract or parameters are malformed; findings about the package do not raise.
    """
    contract = parse_as(inputs["contract.json"], ModelContract)
    files = {path: inputs[name] for name, path, _ in parameters["files"]}
    findings = _Findings()
    model: ModelFacts | None = None
    booster: BoosterFacts | None = None
    unpacker = Unpacker()
    for path, data in files.items():
        if path in _sources(contract):
            # what a saved model is, only the conversion finds out
            _secrets(path, data, findings)
            _packed_secrets(path, data, unpacker, findings)
            continue
        if not _familiar(path, data, contract, findings):
            continue
        if path == _former_model(contract):
            _scan_former(path, data, files, contract, findings)
        if path == contract.samples.model:
            model, booster = _scan_model(data, contract, _refusal(findings, path))
        _secrets(path, data, findings)
    samples = _samples(files, contract, findings)
    _conversion(files, contract, findings)
    for path in _expected(contract):
        if path not in files:
            findings.add("package-missing", path, "the contract names a file that the package does not have")
    licences: LicenceFacts | msgspec.UnsetType = msgspec.UNSET
    if "licences.json" in inputs:
        licences = _licences(files, contract, parse_as(inputs["licences.json"], LicenceRules), findings)
    result = ScanResult(
        v=1,
        rules=RULES,
        rules_sha256=rules_digest(),
        tools={name: version(name) for name in ("onnx", "pyarrow")},
        findings=tuple(findings.all),
        model=model,
        samples=samples,
        booster=booster if booster is not None else msgspec.UNSET,
        unpacked=unpacker.facts if _sources(contract) else msgspec.UNSET,
        licences=licences,
    )
    return {"scan.json": canonical(result)}


def _refusal(findings: _Findings, path: str) -> Refuse:
    return lambda rule, message: findings.add(rule, path, message)


def _scan_model(data: bytes, about: ModelContract, refuse: Refuse) -> tuple[ModelFacts | None, BoosterFacts | None]:
    """The model file, by what will run it."""
    if about.engine == "xgboost":
        return None, scan_booster(data, about.input, about.output, BOOSTER_RULES, refuse)
    facts = scan_model(data, about.input, about.output, RULES, refuse)
    if about.engine == "onedal" and facts is not None:
        try:
            read_model(data, about.input.tensor, about.output.tensor, len(about.input.features))
        except InvalidInputError as error:
            refuse("onedal-forest", plain(error.message))
    return facts, None


def _former_model(contract: ModelContract) -> str | None:
    return None if isinstance(contract.hardening, msgspec.UnsetType) else contract.hardening.model


def _scan_former(
    path: str, data: bytes, files: Mapping[str, bytes], contract: ModelContract, findings: _Findings
) -> None:
    """The model before hardening runs in the battery, so it is held to the same rules, by its own contract."""
    try:
        former = read_former(contract, files)
    except (StrongroomError, KeyError) as error:
        message = error.message if isinstance(error, StrongroomError) else "a file of the former package is missing"
        findings.add("former", path, plain(message))
        return
    if former is None:
        return
    _scan_model(data, former.contract, _refusal(findings, path))


def _sources(contract: ModelContract) -> tuple[str, ...]:
    return () if isinstance(contract.source, msgspec.UnsetType) else contract.source.files


def _code(contract: ModelContract) -> tuple[str, ...]:
    """The programs that a package may hold, those of its training; they are read as text here."""
    return () if isinstance(contract.training, msgspec.UnsetType) else contract.training.code


def _conversion(files: Mapping[str, bytes], contract: ModelContract, findings: _Findings) -> None:
    """The statement is of these files: of this model, made from this source, to this tolerance."""
    if not _sources(contract) or CONVERSION_FILE not in files:
        return
    try:
        model, stated = read_statement(files[CONVERSION_FILE])
    except InvalidInputError as error:
        findings.add("conversion", CONVERSION_FILE, plain(error.message))
        return
    source = contract.source
    named = {one.path: one.sha256 for one in stated.source}
    held = {path: digest_of(files[path]) for path in _sources(contract) if path in files}
    same = not isinstance(source, msgspec.UnsetType) and (stated.order.format, stated.order.tolerance) == (
        source.format,
        source.tolerance,
    )
    if model != digest_of(files.get(contract.samples.model, b"")) or named != held or not same:
        findings.add("conversion", CONVERSION_FILE, "the statement is of another model, source or tolerance")
    if stated.figures.beyond:
        findings.add("conversion", CONVERSION_FILE, "the converted model does not answer as its source")


def _licences(
    files: Mapping[str, bytes], contract: ModelContract, rules: LicenceRules, findings: _Findings
) -> LicenceFacts:
    """Licences of what the contract says that the model was made with, and of what its saved model asks for."""
    asked = FOLDER + "requirements.txt"
    packages, odd = needed(contract.lineage.environment, files[asked] if asked in _sources(contract) else None)
    facts = judge(packages, rules)
    severity: Severity = "refuse" if rules.unknown == "refuse" else "note"
    for one in facts.packages:
        said = f"package `{one.package}` is under {plain(one.expression)}" if one.expression else ""
        if one.standing == "denied":
            findings.add("licence", "", f"{said}, which the policy denies; build the model without it")
        elif one.standing == "unknown":
            what = (
                f"{said}, which the policy does not judge" if said else f"the licence of `{one.package}` is not known"
            )
            findings.add("licence", "", f"{what}; the policy's `licences` can state it", severity)
    for line in odd:
        findings.add("licence", "", f"what `{plain(line)}` is cannot be said: no package by name", severity)
    return facts


def _expected(contract: ModelContract) -> list[str]:
    samples = contract.samples
    named = [samples.model, samples.development, samples.reference, samples.predictions, samples.protected]
    named += _code(contract)
    converted = [*_sources(contract), CONVERSION_FILE] if _sources(contract) else []
    former = _former_model(contract)
    hardened = [] if former is None else [former, CONTRACT, MANIFEST]
    return ["model.toml", *(path for path in named if path is not None), *converted, *hardened]


def _familiar(path: str, data: bytes, contract: ModelContract, findings: _Findings) -> bool:
    """A file of a kind that a package may hold, by name and by content."""
    lower = path.lower()
    for form, name in _FOREIGN:
        if form.match(data):
            findings.add("foreign-file", path, f"the file is {name}; a package holds ONNX, Parquet and text only")
            return False
    if len(data) > RULES.file_bytes:
        findings.add("file-size", path, f"the file has more than {RULES.file_bytes} bytes")
        return False
    if path == _former_model(contract):
        return True
    suffix = MODEL_SUFFIX[contract.engine]
    if lower.endswith(suffix):
        if path != contract.samples.model:
            findings.add("foreign-file", path, "the contract names another model file; a package holds one model")
        return path == contract.samples.model
    if path == contract.samples.model:
        findings.add("foreign-file", path, f"the model file's name must end with {suffix}")
        return False
    if lower.endswith(".parquet"):
        if path not in _expected(contract):
            findings.add("foreign-file", path, "the contract names no such sample")
        return path in _expected(contract)
    if path not in _code(contract) and not lower.endswith(TEXT_SUFFIXES):
        findings.add("foreign-file", path, "a package holds one model, Parquet, and text (.json .md .toml .txt) only")
        return False
    if len(data) > RULES.text_bytes:
        findings.add("file-size", path, f"a text file has more than {RULES.text_bytes} bytes")
        return False
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        findings.add("foreign-file", path, "the text file is not UTF-8")
        return False
    if "\0" in text:
        findings.add("foreign-file", path, "the text file holds binary data")
        return False
    return True


def _secrets(path: str, data: bytes, findings: _Findings) -> None:
    """Look for credentials, in model files too: exporters write comments and paths into them."""
    for kind, form in _SECRETS:
        found = form.search(data)
        if found:
            line = data.count(b"\n", 0, found.start()) + 1
            where = f"in line {line}" if path.lower().endswith(TEXT_SUFFIXES) else f"at byte {found.start()}"
            findings.add("secret", path, f"this looks like a {kind} ({where}); withdraw it and remove it")


def _packed_secrets(path: str, data: bytes, unpacker: Unpacker, findings: _Findings) -> None:
    """The same in what is compressed. What cannot be looked into to its end is told; what is too large is refused."""
    try:
        for where, pieces in unpacker.parts(data):
            seen = 0
            tail = b""
            for piece in pieces:
                window = tail + piece
                for kind, form in _SECRETS:
                    found = form.search(window)
                    if found:
                        at = seen - len(tail) + found.start()
                        message = (
                            f"this looks like a {kind} (unpacked: {where}, at byte {at}); withdraw it and remove it"
                        )
                        findings.add("secret", path, message)
                seen += len(piece)
                tail = window[-_SECRET_LENGTH:]
    except BeyondLimitsError as error:
        message = f"{plain(error)}, so nobody can look for secrets; save it with less compression, or smaller"
        findings.add("unpacked-size", path, message)
    for one in unpacker.unread:
        findings.add("unpacked-unread", path, f"a compressed part does not unpack to its end: {plain(one)}", "note")
    unpacker.unread.clear()


def _samples(files: Mapping[str, bytes], contract: ModelContract, findings: _Findings) -> tuple[SampleFacts, ...]:
    paths = contract.samples
    features = [feature.name for feature in contract.input.features]
    # a further column may be a feature as well
    known = list(dict.fromkeys([*features, paths.outcome, *contract.sample_columns.values()]))
    wanted = {
        paths.development: ("development", known),
        paths.reference: ("reference", known),
        paths.predictions: ("predictions", ["prediction"]),
    }
    if paths.protected is not None:
        wanted[paths.protected] = ("protected", list(contract.protected))
    facts: list[SampleFacts] = []
    rows: dict[str, int] = {}
    for path, (what, columns) in wanted.items():
        if path not in files:
            continue
        try:
            table = read_table(files[path], what)
            if table.num_rows > RULES.rows or table.num_columns > RULES.columns:
                findings.add("sample-size", path, f"more than {RULES.rows} rows or {RULES.columns} columns")
                continue
            for column in columns if what != "protected" else ():
                numbers(table, column, what)
        except InvalidInputError as error:
            findings.add("sample", path, plain(error.message))
            continue
        names = list(table.column_names)
        if len(set(names)) != len(names):
            findings.add("sample-columns", path, "column names repeat")
        if what == "protected" and set(names) != set(columns):
            findings.add("sample-columns", path, "the protected sample has exactly the protected attributes as columns")
        leaked = sorted(set(names) & set(contract.protected)) if what != "protected" else []
        if leaked:
            findings.add("sample-protected", path, f"protected attributes are kept apart: {plain(', '.join(leaked))}")
        elif set(names) - set(columns):
            findings.add("sample-columns", path, f"{len(set(names) - set(columns))} columns have no purpose", "note")
        rows[what] = table.num_rows
        facts.append(SampleFacts(file=plain(path), rows=table.num_rows, columns=table.num_columns))
    for what in ("predictions", "protected"):
        if what in rows and "reference" in rows and rows[what] != rows["reference"]:
            findings.add("sample-rows", "", f"{what} and reference sample have different numbers of rows")
    return tuple(facts)

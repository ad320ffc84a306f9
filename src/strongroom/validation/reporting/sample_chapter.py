"""What is proven of each sample, and what somebody only says: part of the report's section on data.

A digest proves which bytes were tested, and a signature who stands for them. That a model was trained on certain bytes
is proven by nothing but training it again from them.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UnsetType

from strongroom.validation.reporting import report
from strongroom.validation.reporting.battery_blocks import DASH, SAMPLES
from strongroom.validation.reporting.blocks import Block, Grid
from strongroom.validation.reporting.dossier import Dossier
from strongroom.vocabulary import Digest

CAME = {
    "same-bytes": "gave the served model, bit for bit",
    "within-tolerance": "gave a model that answers alike",
    "differs": "gave another model",
}
SEEN = "data.overlap/development and reference"


def proofs(d: Dossier) -> Iterable[Block]:
    """One line for each sample that was tested."""
    if d.results is None:
        return
    named = d.contract.samples
    paths = {
        "development": named.development, "reference": named.reference, "predictions": named.predictions,
        "protected": named.protected,
    }  # fmt: skip
    rows = []
    for sample in d.results.samples:
        role = sample.role
        proven = [_chosen(d) if role.startswith("validation") else _submitted(d, paths.get(role), sample.sha256)]
        said: list[str] = []
        if role == "development":
            shown, told = _learnt(d, sample.sha256)
            proven, said = [*proven, *shown], told
        elif role == "reference":
            proven.append(_seen(d))
            said = ["that training has not seen it"]
        elif role == "predictions":
            said = ["that the source model gave these answers"]
        elif role == "validation":
            said = [f"that its rows are what {d.sample.person} says of them" if d.sample else "where its rows are from"]
        elif role.endswith("protected"):
            said = ["that these are the groups of these very people"]
        rows.append((SAMPLES.get(role, role), _listed(proven), _listed(said)))
    yield Grid(
        "What is proven of the samples",
        "Proven: by digests and signatures, or by doing it again. Only said: by the author, or by whoever chose the "
        "sample; nothing here shows it to be so.",
        ("Sample", "Proven", "Only said"), (False,) * 3, tuple(rows),
    )  # fmt: skip


def _submitted(d: Dossier, path: str | None, tested: Digest) -> str:
    """Whether the tested bytes are those of the submission, as the scan found its files."""
    if d.scan is None or path is None:
        return ""
    files = {file.path: file.sha256 for file in d.scan.files}
    if files.get(path) == tested:
        return f"the tested bytes are those that {d.author} signed and submitted"
    return f"the tested bytes are not those that {d.author} submitted"


def _chosen(d: Dossier) -> str:
    if d.sample is None or d.validation is None or d.validation.sample != d.sample.manifest:
        return ""
    return f"the tested bytes are those that {d.sample.person} chose and signed, and not the author"


def _learnt(d: Dossier, tested: Digest) -> tuple[list[str], list[str]]:
    """What shows that the model learnt from the development sample, and what is only said of it."""
    said, training = d.replication, d.contract.training
    if d.results is None or said is None or said.artifact != d.results.artifact_sha256:
        said = None
    came = CAME.get(said.outcome) if said else None
    data = None if said is None or isinstance(said.data, UnsetType) else said.data
    reader = "that the training code learns from its data and brings no model along: whoever reads the code sees it"
    if not isinstance(training, UnsetType) and not isinstance(training.data, UnsetType) and training.data != tested:
        other = f"that the sample is like the file {training.data[:12]} on which the model was trained"
        if came and data == training.data:
            return [f"training repeated from the file {training.data[:12]} {came}"], [other, reader]
        return [], [f"{other}, as the contract says; training was not repeated from that file"]
    if came is None or data != tested:
        return [], ["that the model was trained on it: training was not repeated from these bytes"]
    if said and said.outcome == "differs":
        return [f"training repeated from these very bytes {came}"], ["that the model was trained on it all the same"]
    return [f"training repeated from these very bytes {came}"], [reader]


def _seen(d: Dossier) -> str:
    test = next((one for one in d.results.tests if one.id == SEEN), None) if d.results else None
    return f"{report.percent(test.figure)} of its rows stand in the development sample" if test and test.figure else ""


def _listed(words: list[str]) -> str:
    text = "; ".join(word for word in words if word)
    return text[:1].upper() + text[1:] + "." if text else DASH

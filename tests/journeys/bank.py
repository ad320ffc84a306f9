"""A bank that uses Strongroom through its command line alone: people, a room, a model's way in, a gateway.

Everything goes through `strongroom` commands with `--json`, in this process (a fresh interpreter for each would spend
the time on imports); only the gateway is a process of its own, as it is in life.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tomli_w
from demo.data import FEATURES, OUTCOME, PROTECTED, features, load
from typer.testing import CliRunner, Result

from strongroom.adapters.keys.keyring import ScryptParameters
from strongroom.cli import app
from tests.waiting import PATIENCE_S, until

SOURCE = Path(__file__).parents[2] / "src"
MODEL = "pd-cards"
ROLES: Mapping[str, tuple[str, ...]] = {
    "cora": ("custodian",),
    "cyril": ("custodian",),
    "celia": ("custodian",),
    "ann": ("author",),
    "vera": ("validator",),
    "paul": ("approver", "halter"),
    "petra": ("approver", "halter"),
    "omar": ("operator",),
    "audrey": ("auditor",),
    "dora": ("dpo",),
}
DEVELOPMENT, REFERENCE, VALIDATION, HELD_OUT = 1200, 600, 900, 300
"""3,000 real clients in all."""


@dataclass
class Bank:
    """Where its things lie, and short ways to speak to the command line."""

    folder: Path
    steps: dict[str, Any] = field(default_factory=dict)
    port: int = 0
    gateway: subprocess.Popen[str] | None = None

    @property
    def room(self) -> Path:
        return self.folder / "room"

    @property
    def node(self) -> Path:
        return self.folder / "gw-1"

    @property
    def policy(self) -> Path:
        return self.room / "trust" / "log-policy"

    @property
    def openings(self) -> Path:
        return self.room / "trust" / "openings"

    def secret(self, name: str, value: str | None = None) -> Path:
        """A file with a passphrase or token; random unless given."""
        path = self.folder / "secrets" / name
        if value is not None or not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_text(value or secrets.token_hex(12))
            path.chmod(0o600)
        return path

    def environment(self, person: str | None) -> dict[str, str]:
        """What a person's shell profile would set."""
        settings = {
            "STRONGROOM_ROOM": str(self.room),
            "STRONGROOM_ROOM_PASSPHRASE_FILE": str(self.secret("room")),
            "STRONGROOM_NODE": str(self.node),
            "STRONGROOM_NODE_PASSPHRASE_FILE": str(self.secret("node")),
        }
        if person is not None:
            settings["STRONGROOM_HOME"] = str(self.folder / "homes" / person)
            settings["STRONGROOM_PASSPHRASE_FILE"] = str(self.secret(person))
        return settings

    def try_(self, person: str | None, *words: object, **changes: str) -> Result:
        """Run one command, whatever comes of it."""
        arguments = [str(word) for word in words]
        return CliRunner().invoke(app, arguments, env={**self.environment(person), **changes}, prog_name="strongroom")

    def run(self, person: str | None, *words: object, code: int = 0) -> Any:
        """Run one command with --json, demand its exit code, and hand back the document."""
        done = self.try_(person, *words, "--json")
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, f"{words}: {done.exit_code}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def refused(self, person: str | None, *words: object, code: int = 3) -> dict[str, Any]:
        """Run one command that must not work; the complaint as JSON."""
        found: dict[str, Any] = self.run(person, *words, code=code)
        assert set(found) == {"error", "message", "details", "entry"}
        return found

    # steps -----------------------------------------------------------------------------------------------------------

    def hire(self) -> None:
        """Ten people make their keys; what they print goes into the file that `init` reads."""
        people = []
        for name, roles in ROLES.items():
            home = self.folder / "homes" / name
            made = self.run(name, "people", "new", home, "--person", name)
            people.append({"person_id": name, "roles": list(roles), "key_pem": made["key_pem"]})
        (self.folder / "people.toml").write_text(tomli_w.dumps({"people": people}))

    def found(self) -> None:
        """`init`, and two custodians."""
        words = ("--org", "first-bank", "--name", "credit", "--people", self.folder / "people.toml")
        self.steps["init"] = self.run(None, "init", self.room, *words)
        self.steps["before signing"] = self.refused("ann", "show", MODEL)
        self.steps["sign 1"] = self.run("cora", "people", "sign", "--yes")
        self.steps["sign 2"] = self.run("cyril", "people", "sign", "--yes")

    def package(self, name: str, trees: int, parent: str | None = None) -> Path:
        """What the data scientist hands in, made by `strongroom package` from an ONNX file and Parquet samples."""
        work = self.folder / "work" / name
        work.mkdir(parents=True)
        development, reference, _, _ = samples()
        model, predictions = train(development, reference, trees)
        (work / "m.onnx").write_bytes(model)
        development.to_parquet(work / "d.parquet")
        reference.to_parquet(work / "r.parquet")
        pd.DataFrame({"prediction": predictions}).to_parquet(work / "p.parquet")
        (work / "c.toml").write_text(tomli_w.dumps(contract(parent)))
        target = self.folder / "packages" / name
        target.parent.mkdir(exist_ok=True)
        self.steps[f"package {name}"] = self.run(
            None, "package", target,
            "--model", work / "m.onnx", "--contract", work / "c.toml", "--development", work / "d.parquet",
            "--reference", work / "r.parquet", "--predictions", work / "p.parquet", "--outcome", OUTCOME,
        )  # fmt: skip
        return target

    def converted(self, name: str, trees: int, parent: str | None = None) -> Path:
        """What a data scientist hands in who has a saved LightGBM model, made by `strongroom convert`."""
        work = self.folder / "work" / name
        work.mkdir(parents=True)
        development, reference, _, _ = samples()
        (work / "m.txt").write_text(saved_lightgbm(development, trees))
        (work / "train.py").write_text(TRAINING.replace("TREES", str(trees)))
        development.to_parquet(work / "d.parquet")
        reference.to_parquet(work / "r.parquet")
        (work / "c.toml").write_text(tomli_w.dumps(contract(parent) | {"output": converted_output()}))
        target = self.folder / "packages" / name
        target.parent.mkdir(exist_ok=True)
        self.steps[f"convert {name}"] = self.run(
            None, "convert", target, "--source", work / "m.txt", "--format", "lightgbm", "--contract", work / "c.toml",
            "--development", work / "d.parquet", "--reference", work / "r.parquet", "--outcome", OUTCOME,
            "--training", work / "train.py",
        )  # fmt: skip
        return target

    def put_forward(self, package: Path, fallback: str | None = None, more: Sequence[str] = ()) -> str:
        """From `submit` to the terms that approvers read, `more` among them. Returns the manifest's digest."""
        name = package.name
        manifest: str = self.run("ann", "submit", package)["manifest"]
        this = f"{MODEL}@{manifest[:16]}"
        work = self.folder / "work" / name
        _, _, validation, _ = samples()
        validation[[*FEATURES, OUTCOME]].astype("float64").to_parquet(work / "v.parquet")
        validation[list(PROTECTED)].astype("float64").to_parquet(work / "a.parquet")
        self.steps[f"sample {name}"] = self.run(
            "vera", "sample", this, "--validation", work / "v.parquet", "--protected", work / "a.parquet",
            "--source", "drawn by the validator",
        )  # fmt: skip
        self.steps[f"scan {name}"] = self.run("omar", "scan", this)
        report = self.folder / f"report-{name}.html"
        self.steps[f"validate {name}"] = self.run("omar", "validate", this, "--report", report)
        self.steps[f"review {name}"] = self.run(
            "vera", "review", this, "--opinion", "fit", "--finding", "low:small sample"
        )
        words = work / "rated.txt"
        words.write_text("A small book, and boosted trees.")
        self.run(
            "vera", "write", this, "--section", "identity", "--role", "validator", "--file", words,
            "--materiality", "low", "--complexity", "high",
        )  # fmt: skip
        terms = (*(("--fallback", fallback) if fallback else ()), *more)
        self.steps[f"propose {name}"] = self.run("omar", "propose", this, "--days", 365, *terms)
        return manifest

    def let_in(self, package: Path, fallback: str | None = None, more: Sequence[str] = ()) -> str:
        """From `submit` to the second approval. Returns the manifest's digest."""
        name, manifest = package.name, self.put_forward(package, fallback, more)
        this = f"{MODEL}@{manifest[:16]}"
        if fallback is None:
            self.steps["author approves"] = self.refused("ann", "approve", this, "--yes")
            self.steps["validator approves"] = self.refused("vera", "approve", this, "--yes")
            self.steps["unread"] = self.refused("paul", "approve", this)
        self.steps[f"approve 1 {name}"] = self.run("paul", "approve", this, "--yes")
        self.steps[f"approve 2 {name}"] = self.run("petra", "approve", this, "--yes")
        return manifest

    def delegate(self) -> None:
        """A model needs approvers; custodians sign who they are."""
        self.steps["delegate"] = self.run(
            "cora", "people", "delegate", MODEL, "--approver", "paul", "--approver", "petra"
        )
        self.run("celia", "people", "sign", "--yes")
        self.steps["sign delegation"] = self.run("cora", "people", "sign", "--yes")

    def make_node(self) -> None:
        """A gateway beside the room, on free ports."""
        self.steps["node"] = self.run(
            "omar", "node", "create", self.node, "--name", "gw-1", "--jurisdiction", "TW", "--jurisdiction", "EU",
            "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0",
        )  # fmt: skip

    def grant(self) -> None:
        """A calling system; its key goes into a file."""
        self.steps["grant"] = self.run(
            "omar",
            "grant",
            "add",
            "loan-desk",
            "--model",
            MODEL,
            "--jurisdiction",
            "TW",
            "--purpose",
            "credit-decision",
        )
        self.secret("loan-desk", self.steps["grant"]["api_key"])

    def serve(self) -> None:
        """`strongroom serve` as a process; it prints one JSON line when it answers."""
        self.gateway = subprocess.Popen(
            [sys.executable, "-m", "strongroom", "serve", str(self.node), "--json"],
            env={**os.environ, **self.environment(None), "PYTHONPATH": str(SOURCE)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.gateway.stdout is not None
        self.steps["serve"] = json.loads(self.gateway.stdout.readline() or "{}")
        assert "serving on port" in self.steps["serve"].get("event", ""), self.steps["serve"]
        self.port = int(self.steps["serve"]["event"].split("port ")[1].split()[0])

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self.gateway is None:
            return 0
        self.gateway.terminate()
        code = self.gateway.wait(60)
        self.gateway.communicate()
        self.gateway = None
        return code

    def score(self, rows: pd.DataFrame, *words: object, code: int = 0) -> Any:
        """As the calling system, from a file."""
        file = self.folder / "work" / f"rows-{secrets.token_hex(4)}.parquet"
        rows.to_parquet(file)
        return self.run(
            None, "score", file, "--url", f"http://127.0.0.1:{self.port}", "--purpose", "credit-decision",
            "--jurisdiction", "TW", "--token-file", self.secret("loan-desk"), "--model", MODEL, *words, code=code,
        )  # fmt: skip

    def wait_for(self, holds: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
        """Until a gateway has seen what was published."""
        until(holds, seconds, every_s=0.1)


@contextmanager
def each_key_derived_once() -> Iterator[None]:
    """Remember what scrypt gave. A hundred commands open one room, and each would spend half a second on the same key;
    the first derivation of each passphrase is real, and the gateway, a process of its own, always derives."""
    known: dict[tuple[ScryptParameters, bytes, bytes], bytes] = {}
    derive = ScryptParameters.derive

    def remembered(self: ScryptParameters, passphrase: bytes, salt: bytes) -> bytes:
        if (self, passphrase, salt) not in known:
            known[self, passphrase, salt] = derive(self, passphrase, salt)
        return known[self, passphrase, salt]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScryptParameters, "derive", remembered)
        yield


_drawn: list[tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]] = []


def samples() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Development, reference, validation and held-out rows of the UCI data."""
    if not _drawn:
        whole = load()
        _drawn.append(
            (
                whole.development.head(DEVELOPMENT),
                whole.reference.head(REFERENCE),
                whole.validation.head(VALIDATION),
                whole.held_out.head(HELD_OUT),
            )
        )
    return _drawn[0]


def applicants(count: int, prefix: str, first: int = 0) -> pd.DataFrame:
    """Held-out rows, each with a subject of its own."""
    rows = samples()[3].iloc[first : first + count].reset_index(drop=True)
    return rows.assign(subject=[f"{prefix}-{number}" for number in range(count)])


def train(development: pd.DataFrame, reference: pd.DataFrame, trees: int) -> tuple[bytes, Any]:
    """A small boosted model as ONNX, and what the source model says of the reference sample."""
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType
    from xgboost import XGBClassifier

    fitted = XGBClassifier(
        n_estimators=trees, max_depth=2, learning_rate=0.15, min_child_weight=20, random_state=7, n_jobs=1
    ).fit(development[list(FEATURES)].to_numpy("float32"), development[OUTCOME])
    converted = onnxmltools.convert_xgboost(
        fitted, name="model", initial_types=[("input", FloatTensorType([None, len(FEATURES)]))], target_opset=15
    )
    scores = fitted.predict_proba(reference[list(FEATURES)].to_numpy("float32"))[:, 1]
    return bytes(converted.SerializeToString()), np.asarray(scores, "float64")


TRAINING = """
import lightgbm

def train(development, features, outcome, parameters):
    fitted = lightgbm.LGBMClassifier(
        n_estimators=TREES, max_depth=2, learning_rate=0.08, min_child_samples=80, random_state=7, n_jobs=1, verbose=-1
    )
    return fitted.fit(development.select(features).to_pandas(), development[outcome].to_numpy())
"""


def saved_lightgbm(development: pd.DataFrame, trees: int) -> str:
    """A small boosted model as LightGBM saves it: text."""
    import lightgbm

    fitted = lightgbm.LGBMClassifier(
        n_estimators=trees, max_depth=2, learning_rate=0.08, min_child_samples=80, random_state=7, n_jobs=1, verbose=-1
    ).fit(development[list(FEATURES)], development[OUTCOME])
    return str(fitted.booster_.model_to_string())


def converted_output() -> dict[str, str]:
    """The output of a contract whose tensor and column the converter knows."""
    return {key: value for key, value in contract()["output"].items() if key != "tensor"}


def contract(parent: str | None = None) -> dict[str, Any]:
    """What model.toml should say."""
    lineage: dict[str, Any] = {"code_commit": "journey", "data": {}}
    if parent is not None:
        lineage["parent"] = parent
    return {
        "name": MODEL,
        "kind": "pd",
        "tier": 2,
        "title": "Probability of default, credit cards",
        "owner": "ann",
        "product": "credit cards",
        "process": "loan origination",
        "purposes": ["credit-decision"],
        "jurisdictions": ["TW", "EU"],
        "environments": ["production"],
        "protected": list(PROTECTED),
        "input": {"features": features(), "max_rows": 1000},
        "output": {"name": "pd", "unit": "probability", "minimum": "0", "maximum": "1", "tensor": "probabilities"},
        "cut_offs": [
            {"decision": "accept", "below": "0.3"},
            {"decision": "refer", "below": "0.5"},
            {"decision": "decline"},
        ],
        # the second version's graph is altered afterwards and no forest any more
        **({} if parent else {"explanation": explanation()}),
        "lineage": lineage,
    }


LETTERS: Mapping[str, tuple[str, str, str, str]] = {
    "en": ("Your application", "We could not approve your application. The principal reasons are:",
           "You may ask us within 60 days for a person to look at the decision again.", "Reference"),
    "de": ("Ihr Antrag", "Wir konnten Ihren Antrag nicht annehmen. Die wichtigsten Gründe sind:",
           "Sie können innerhalb von 60 Tagen verlangen, dass ein Mensch die Entscheidung überprüft.", "Aktenzeichen"),
    "fr": ("Votre demande", "Nous n'avons pas pu accepter votre demande. Les motifs principaux sont\u00a0:",
           "Vous pouvez demander, dans un délai de 60 jours, qu'une personne réexamine la décision.", "Référence"),
}  # fmt: skip
REASONS: Mapping[str, tuple[str, str, str]] = {
    "R01": ("Your credit line", "Ihr Kreditrahmen", "Votre ligne de crédit"),
    "R02": ("Late payments in the last six months", "Verspätete Zahlungen in den letzten sechs Monaten",
            "Retards de paiement au cours des six derniers mois"),
    "R03": ("What you owed on your statements", "Ihre Rechnungsbeträge", "Le montant de vos relevés"),
    "R04": ("What you paid each month", "Ihre monatlichen Zahlungen", "Vos paiements mensuels"),
}  # fmt: skip


def explanation() -> dict[str, Any]:
    """Reason codes with every answer, and letters of them in three languages."""
    starts = {"R02": ("PAY_", "EDUCATION"), "R03": ("BILL_AMT",), "R04": ("PAY_AMT",)}
    code = {name: next((c for c in ("R03", "R04", "R02") if name.startswith(starts[c])), "R01") for name in FEATURES}
    rows = samples()[1][list(FEATURES)].head(8).astype("float64")
    return {
        "v": 2,
        "method": "interventional",
        "code_map": "2026-11",
        "always": True,
        "reference": [[repr(value) for value in row] for row in rows.to_numpy().tolist()],
        "groups": [
            {"code": name, "features": [one for one in FEATURES if code[one] == name]} for name in sorted(REASONS)
        ],
        "letters": {
            "version": "2026-11",
            "decisions": ["decline"],
            "texts": [
                {
                    "language": language, "subject": subject, "opening": opening, "closing": closing,
                    "reference": reference, "reasons": {name: words[place] for name, words in REASONS.items()},
                }
                for place, (language, (subject, opening, closing, reference)) in enumerate(LETTERS.items())
            ],
        },
    }  # fmt: skip

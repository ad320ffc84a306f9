"""The chapters of the story, in order. Each uses the same functions as the command line."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import strongroom
from demo import attempts, claims
from demo.data import FEATURES, OUTCOME, PROTECTED, Samples, features, stress
from demo.house import CALLER, ENVIRONMENT, JURISDICTIONS, PURPOSE, House, wait_until
from demo.story import Story
from strongroom.access.grants import TokenSubject
from strongroom.access.issuers import Issuer
from strongroom.errors import StrongroomError
from strongroom.monitoring.outcomes import Outcome
from strongroom.sealing.subjects import subject_tag
from strongroom.validation.sections import SectionKey
from strongroom.vocabulary import ModelRef, micros
from strongroom.wiring import judging, observing, reading, releasing, reporting, submitting
from strongroom.wiring.inspection import judge_repository
from strongroom.wiring.node import INDEX_KEY

BOOSTED, SIMPLE = "pd-cards", "pd-scorecard"
ACCEPT_BELOW = {BOOSTED: "0.2", SIMPLE: "0.3"}
"""At 0.2 the raw scorecard fails the four-fifths rule on age bands (0.72), as its validation says; at 0.3 it passes."""

TITLES = {BOOSTED: "Probability of default, credit cards", SIMPLE: "Scorecard, the simple benchmark"}


def found(house: House, story: Story) -> None:
    """A room, its people, its first register and policies."""
    settings = house.found()
    register = house.enter().register
    story.say(
        f"room [bold]{settings.org}/{settings.room}[/], region {settings.region}; log {settings.governance_origin}"
    )
    story.say(f"{len(register.people)} in the register: {', '.join(person.person_id for person in register.people)}")
    story.say("two of three custodians signed root and targets; the control plane never saw a private key")


def contract(name: str, tier: int, parent: str | None = None) -> dict[str, Any]:
    """What model.toml says."""
    lineage: dict[str, Any] = {"code_commit": "demo", "data": {}}
    if parent is not None:
        lineage["parent"] = parent
    return {
        "name": name,
        "kind": "pd",
        "tier": tier,
        "title": TITLES[name],
        "owner": "ann",
        "product": "credit cards",
        "process": "loan origination",
        "description": "Scores applicants for a credit card by their probability of default within a month.",
        "purposes": [PURPOSE],
        "jurisdictions": list(JURISDICTIONS),
        "environments": [ENVIRONMENT],
        "protected": list(PROTECTED),
        "input": {"features": features(), "max_rows": 1000},
        "output": {"name": "pd", "unit": "probability", "minimum": "0", "maximum": "1"},
        "cut_offs": [
            {"decision": "accept", "below": ACCEPT_BELOW[name]},
            {"decision": "refer", "below": "0.5"},
            {"decision": "decline"},
        ],
        "outcome": {
            "meaning": "the client does not make the payment that falls due in the month after the statement",
            "window": "one month after the statement",
        },
        "stress": stress(),
        "lineage": lineage,
    }


def submit(house: House, story: Story, name: str, model: Any, samples: Samples, folder: str, **terms: Any) -> ModelRef:
    """Package and hand in; the validator brings the validation sample."""
    development = samples.second_development if terms.get("parent") else samples.development
    package = house.folder / "packages" / folder
    package.parent.mkdir(exist_ok=True)
    strongroom.package(
        model,
        package,
        contract=contract(name, **terms),
        outcome=OUTCOME,
        development=development,
        reference=samples.reference,
    )
    ref = submitting.submit(house.desk("ann"), package).ref
    rows = samples.validation
    files = {
        "validation.parquet": _parquet(rows[[*FEATURES, OUTCOME]]),
        "protected.parquet": _parquet(rows[list(PROTECTED)]),
    }
    submitting.register_sample(house.desk("vera"), ref, files, "drawn by the validator from the held-back part")
    story.say(f"{TITLES[name]}: {ref}, submitted by ann; validation sample of {len(rows):,} registered by vera")
    return ref


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.astype("float64").to_parquet(buffer)
    return buffer.getvalue()


def validate(house: House, story: Story, ref: ModelRef, report: Path | None = None) -> None:
    """Scan and battery, both in the sandbox."""
    submitting.scan(house.desk("omar"), ref)
    validated = submitting.validate(house.desk("omar"), ref)
    if report is not None:
        report.write_bytes(house.enter().vault.blobs.get(validated.predicate.report))
    results = json.loads(house.enter().vault.blobs.get(validated.predicate.results))
    figures = {test["id"]: test["figure"] for test in results["tests"]}
    auc = float(figures["discrimination.auc"])
    story.figures[f"auc_{ref.name}"] = round(auc, 4)
    mode = validated.predicate.profile.mode
    story.say(f"{ref}: validation [bold]{validated.predicate.verdict}[/], AUC {auc:.3f}, numeric profile {mode}")
    for warning in validated.predicate.warnings:
        story.say(f"   [yellow]warning[/] {warning}")


WORDS: tuple[tuple[str, str, SectionKey, str], ...] = (
    ("ann", "author", "intended-use", "Decides on applications for the credit card; not for limits of customers."),
    ("ann", "author", "limitations", "One portfolio of one year; nothing is known of a downturn."),
    ("vera", "validator", "opinion", "Fit for use while the fall of AUC out of sample is watched."),
)
"""What people say in the report; the policy asks for it in tier 1."""


def judge(house: House, story: Story, ref: ModelRef, *, attempts_too: bool = False, **terms: Any) -> None:
    """Review, terms, two approvals, release."""
    judging.review(house.desk("vera"), ref, "fit", judging.findings_of(["low:watch the fall of AUC out of sample"]))
    judging.propose(house.desk("omar"), ref, days=365, **terms)
    for who, role, section, text in WORDS:
        reporting.write(house.desk(who), ref, section, role, text)
    rated = "high" if ref.name == BOOSTED else "low"
    reporting.write(
        house.desk("vera"), ref, "identity", "validator", "Decides on every application.", materiality="high",
        complexity=rated,
    )  # fmt: skip
    if attempts_too:
        attempts.before_first_approval(house, story, ref)
    judging.approve(house.desk("paul"), ref)
    if attempts_too:
        attempts.after_first_approval(house, story, ref)
    judging.approve(house.desk("petra"), ref)
    releasing.release(house.desk("omar"), ref)
    story.say(f"{ref}: reviewed by vera, approved by paul and petra, published by omar")


def delegate(house: House, name: str) -> None:
    """Custodians delegate a model to its two approvers."""
    submitting.delegate(house.desk("cora"), name, ["paul", "petra"])
    house.custodians_sign()


def grants(house: House) -> tuple[attempts.TokenIssuer, str]:
    """The calling system gets an API key and a pinned token issuer; another one may only ask the scorecard."""
    tokens = attempts.TokenIssuer()
    pinned: Issuer = tokens.issuer()
    house.api_key = str(
        releasing.grant(
            house.desk("omar"),
            CALLER,
            models=[BOOSTED, SIMPLE],
            environments=[ENVIRONMENT],
            jurisdictions=list(JURISDICTIONS),
            purposes=[PURPOSE],
            issuers=[pinned],
            tokens=[TokenSubject(issuer=pinned.issuer, subject=CALLER)],
        )
    )
    stranger = releasing.grant(
        house.desk("omar"),
        "marketing",
        models=[SIMPLE],
        environments=[ENVIRONMENT],
        jurisdictions=["EU"],
        purposes=[PURPOSE],
    )
    return tokens, str(stranger)


def serve(house: House, story: Story) -> None:
    """A gateway with an opened log; it admits the models by its own verification."""
    house.make_node()
    house.start_gateway()
    for name in (BOOSTED, SIMPLE):
        refs = judge_repository(
            house.desk("audrey"), house.layout.repository, name, environment=ENVIRONMENT, jurisdictions=JURISDICTIONS
        )
        story.prove(f"the gateway's own verification admits {name}", *claims.admitted(refs, house.refs[name]))
    story.say(f"gateway on port {house.port}; its log was opened by a governance entry before its first answer")


def score(house: House, story: Story, samples: Samples, models: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """Score the held-out applicants over HTTP, keep some receipts, replay in fresh processes."""
    held_out = samples.held_out.copy()
    held_out["subject"] = [f"client-{number:05d}" for number in range(len(held_out))]
    answers: dict[str, pd.DataFrame] = {}
    for name, rows in ((BOOSTED, held_out), (SIMPLE, held_out.head(500))):
        answers[name] = house.client(name).score(rows)
        source = models[name].predict_proba(rows[list(FEATURES)].to_numpy("float32"))[:, 1]
        story.prove(
            f"{name} answers what its source model answers",
            *claims.same_scores(answers[name]["pd"].to_numpy("float64"), np.asarray(source, "float64"), 1e-5),
        )
    story.figures["applicants_scored"] = sum(len(frame) for frame in answers.values())
    bearer = attempts_token_client(house)
    one = bearer.score(held_out.head(1))
    story.say(f"the calling system also signs in with an access token: decision {one['decision'].iloc[0]}")
    return answers


def attempts_token_client(house: House) -> strongroom.Client:
    """The calling system with an access token instead of its API key."""
    return house.client(BOOSTED, house.token)


def prove(house: House, story: Story, samples: Samples, answers: dict[str, pd.DataFrame]) -> None:
    """Receipts, replay, shards."""
    folder = house.folder / "receipts"
    folder.mkdir()
    rows = samples.held_out.head(1).assign(subject="client-00000")
    client = house.client(BOOSTED)
    answer = client.infer(rows, receipts=True)
    receipts = []
    given = [answer["parameters"]["receipt"]]
    given += list(
        client.score(samples.held_out.tail(5).assign(subject=[f"late-{n}" for n in range(5)]), receipts=True)["receipt"]
    )
    for number, text in enumerate(given):
        path = folder / f"receipt-{number}.json"
        path.write_text(text)
        receipts.append(path)
    trust = house.layout.trust_policy, house.layout.openings
    story.prove("receipts verify offline, with public keys alone", *claims.receipts_verify(receipts, *trust))
    story.prove("a receipt fails for another answer", *claims.receipt_binds_answer(receipts[0], answer, *trust, folder))
    story.figures["receipt_bytes"] = receipts[0].stat().st_size
    later = folder / "receipt-cosigned.json"
    done = house.command(
        "audrey", "receipt", str(answers[BOOSTED]["decision_id"].iloc[0]), "--to", str(later), "--node", str(house.node)
    )
    story.prove("the witness has cosigned what was answered", *claims.cosigned(done.returncode, later, *trust))
    runs = []
    expected: dict[str, float] = {}
    for name, batch in ((BOOSTED, 1), (BOOSTED, 7), (SIMPLE, 1), (SIMPLE, 64)):
        picked = answers[name].iloc[:: max(1, len(answers[name]) // 10)].head(10)
        expected.update(zip(picked["decision_id"], (float(value) for value in picked["pd"]), strict=True))
        done = house.command(
            "audrey", "replay", *picked["decision_id"], "--batch", str(batch), "--node", str(house.node), "--json"
        )
        runs.append((done.returncode, batch, done.stdout))
    story.prove("past decisions replay bit for bit", *claims.replays(runs, expected))


def watch(house: House, story: Story, samples: Samples, answers: dict[str, pd.DataFrame]) -> None:
    """Outcomes come in; PSI is quiet; then the input drifts and an alert is raised."""
    at_us = micros(house.enter().clock())
    outcomes = [
        Outcome(decision_id=str(one), outcome=1 if default else 0, observed_at_us=at_us)
        for one, default in zip(answers[BOOSTED]["decision_id"], samples.held_out[OUTCOME], strict=True)
    ]
    observing.post_outcomes(house.desk("omar"), BOOSTED, outcomes)
    with house.records() as records:
        desk = house.desk("omar")
        report = observing.read_drift(desk, records, BOOSTED)
        before = observing.drift_facts(
            report, observing.read_outcomes(desk, records, BOOSTED), observing.raise_alerts(desk, report)
        )
    found = before["outcomes"]
    story.say(f"outcomes joined to decisions: {json.dumps(found)[:160]}")
    story.figures["realised"] = found
    top = max(before["drift"], key=lambda row: row["psi"] or 0.0)
    story.say(f"largest PSI {top['psi']} ({top['column']}), by chance below {top['by_chance']}, limit {top['limit']}")
    since = micros(house.enter().clock())
    drifted = samples.held_out.head(1500).copy()
    drifted["LIMIT_BAL"] = np.clip(drifted["LIMIT_BAL"] * 3, 10_000, 1_000_000)
    drifted["subject"] = [f"drift-{number:05d}" for number in range(len(drifted))]
    house.client(BOOSTED).score(drifted)
    wait_until(lambda: _published(house) >= story.figures["applicants_scored"] + len(drifted))
    with house.records() as records:
        desk = house.desk("omar")
        report = observing.read_drift(desk, records, BOOSTED, since)
        after = observing.drift_facts(
            report, observing.read_outcomes(desk, records, BOOSTED), observing.raise_alerts(desk, report)
        )
    story.prove("drift shows, and only drift", *claims.drift_shows(before, after, "LIMIT_BAL"))
    for line in after["alerts"]:
        story.say(f"[yellow]alert[/] {line}")


def _published(house: House) -> int:
    lines = (house.shard / "checkpoint").read_text().split("\n")
    return int(lines[1])


def erase(house: House, story: Story, answers: dict[str, pd.DataFrame]) -> None:
    """One applicant's key is destroyed."""
    subject, decision = "client-00007", str(answers[BOOSTED]["decision_id"].iloc[7])
    with house.records() as records:
        tag = subject_tag(records.ring.get(INDEX_KEY), records.settings.region, subject)
    older = (house.shard / "checkpoint").read_bytes()
    wrapped = _wrapped_key(house, tag)
    found_before = claims.occurrences([house.node], wrapped)
    erased = house.command(
        "dora",
        "erase",
        subject,
        "--node",
        str(house.node),
        "--certificate",
        str(house.folder / "certificate.json"),
        "--json",
    )
    found_after = claims.occurrences([house.node], wrapped)
    replayed = house.command("audrey", "replay", decision, "--node", str(house.node), "--json")
    trust = ["--policy", str(house.layout.trust_policy), "--openings", str(house.layout.openings)]
    log = claims.offline("log", str(house.shard), *trust)
    earlier = house.folder / "checkpoint-before-erasure"
    earlier.write_bytes(older)
    past = claims.offline("consistency", str(earlier), str(house.shard), *trust)
    dates = json.loads(erased.stdout)
    story.say(f"certificate: unreadable online since {dates['online']}, in every backup from {dates['backups']}")
    story.prove(
        "an erased applicant's record is unreadable, and the log still verifies",
        *claims.erased(
            found_before, found_after, replayed.returncode, replayed.stdout, log.returncode, past.returncode == 0
        ),
    )
    story.refused.append(
        {
            "what": "replay of an erased applicant's decision",
            "reason": "{error}: {message}".format(**json.loads(replayed.stdout)),
            "entry": json.loads(replayed.stdout)["entry"],
        }
    )


def _wrapped_key(house: House, tag: bytes) -> bytes:
    """The wrapped key of one subject, as the store has it on disk, read by its keeper."""
    from strongroom.adapters.keystore.keeper_client import KeeperBackend
    from strongroom.sealing.records import KEY_ID_SIZE

    backend = KeeperBackend(house.node / "keystore")
    row = backend.find(tag)
    if row is None:
        raise StrongroomError("the subject has no key")
    return bytes(row[KEY_ID_SIZE:])


def move(house: House, story: Story, second: ModelRef, samples: Samples) -> None:
    """The second version answers, is rolled back within the plan; one person halts, two lift."""
    first = house.refs[BOOSTED]
    row = samples.held_out.head(1).assign(subject="client-99999")
    client = house.client(BOOSTED)
    champions = [_champion(client, row)]
    releasing.point(house.desk("omar"), BOOSTED, champion=second.manifest, reason="more data")
    moment = house.enter().clock()
    wait_until(lambda: _champion(client, row) == second.manifest)
    champions.append(_champion(client, row))
    releasing.rollback(house.desk("omar"), BOOSTED, "the second version was only tried")
    wait_until(lambda: _champion(client, row) == first.manifest)
    champions.append(_champion(client, row))
    change = reading.what_was_live(house.desk("audrey"), BOOSTED, moment)
    story.say(f"what was live at {moment:%H:%M:%S}? {str(change.champion)[:12]}, by {change.by}: {change.reason}")
    story.prove(
        "a second version was released and rolled back within the approved plan",
        *claims.went_back(champions, first.manifest, second.manifest, change.champion),
    )
    statuses = [_status(client, row)]
    releasing.halt(house.desk("paul"), first, "scores look wrong")
    wait_until(lambda: _status(client, row) != 200)
    statuses.append(_status(client, row))
    releasing.lift(house.desk("paul"), first, "cause found")
    time.sleep(1.5)  # long enough for the gateway to see the lift, were one enough
    statuses.append(_status(client, row))
    releasing.lift(house.desk("petra"), first, "checked as well")
    wait_until(lambda: _status(client, row) == 200)
    statuses.append(_status(client, row))
    story.prove("one person halts, two lift", *claims.halted(statuses))


def _champion(client: strongroom.Client, row: pd.DataFrame) -> str:
    return str(client.infer(row)["parameters"]["model_version"])


def _status(client: strongroom.Client, row: pd.DataFrame) -> int:
    try:
        client.score(row)
    except StrongroomError as error:
        return int(error.details.get("status", 503))
    return 200


def look_back(house: House, story: Story, package: Path) -> None:
    """The last checks: unsealed model, plaintext, fsck, shards."""
    target = house.folder / "unsealed"
    signature, key = reading.unseal(house.desk("audrey"), house.refs[BOOSTED], target, "the demo shows the public tool")
    story.prove("the public model_signing tool accepts the unsealed model", *_public_tool(target, signature, key))
    story.prove(
        "no plaintext of the model lies in room or gateway",
        *claims.no_plaintext(
            [house.layout.folder, house.node], (package / "model.onnx").read_bytes(), package / "model.onnx"
        ),
    )
    done = house.command("audrey", "fsck", "--node", str(house.node), "--json")
    story.prove("every stored byte is what was signed", *claims.whole(done.returncode, done.stdout))
    shards = claims.offline(
        "shards", str(house.layout.governance / "public"), str(house.shard),
        "--policy", str(house.layout.trust_policy), "--openings", str(house.layout.openings),
    )  # fmt: skip
    story.prove("logs and governance log account for each other", *claims.accounted(shards.returncode, shards.stdout))
    segments = sum(path.stat().st_size for path in (house.shard).rglob("*") if path.is_file())
    story.figures["public_log_bytes_a_decision"] = round(segments / max(1, _published(house)))
    story.figures["decisions_in_the_log"] = _published(house)


def _public_tool(folder: Path, signature: Path, key: Path) -> claims.Held:
    import subprocess
    import sys

    tool = [str(Path(sys.executable).with_name("model_signing")), "verify", "key", str(folder)]
    words = ["--signature", str(signature), "--public_key", str(key)]

    def run() -> int:
        return subprocess.run([*tool, *words], capture_output=True).returncode  # noqa: S603 - the public tool

    accepted = run()
    model = folder / "model.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(bytes(data))
    return claims.public_tool_accepts(accepted, run())

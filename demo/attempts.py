"""What must not work. Each attempt goes past the polite checks of our own client, straight to the door."""

from __future__ import annotations

import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import urllib3
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.jwk import ECKey

from demo.data import FEATURES
from demo.house import CALLER, ENVIRONMENT, JURISDICTIONS, PURPOSE, House, wait_until
from strongroom.access.issuers import Issuer, IssuerKey
from strongroom.adapters.releases.tuf_files import TufFiles
from strongroom.adapters.releases.tuf_repository import TufRepository
from strongroom.approval import actions as approval
from strongroom.approval.role_metadata import model_role
from strongroom.approval.signing import SignedApproval, sign_approval
from strongroom.approval.statements import Approval
from strongroom.errors import NotFoundError, RefusedError
from strongroom.ledger.leaf import Leaf
from strongroom.office.acts import EntryRef
from strongroom.sealing.dsse import sign_envelope
from strongroom.sealing.statements import APPROVAL, make_statement
from strongroom.vocabulary import ModelRef, micros
from strongroom.wiring import judging, releasing, submitting
from strongroom.wiring.inspection import judge_repository
from strongroom.wiring.person import AtDesk
from strongroom.wiring.records import NodeRecords

if TYPE_CHECKING:
    import pandas as pd

    from demo.story import Story

ISSUER = "https://login.first-bank.example"
AUDIENCE = "strongroom"


def forged_approval(desk: AtDesk, ref: ModelRef) -> SignedApproval:
    """An approval signed without our client's four-eyes check, as a patched client would send it."""
    checked = judging.check_papers(desk, ref)
    release = checked.release
    approval_ = Approval(
        v=1,
        manifest=release.manifest,
        release=checked.digest,
        evidence=release.evidence,
        policies=release.policies,
        diagram=release.diagram,
        case=release.case,
        decision="approve",
        conditions=(),
        plan=release.plan,
        tuf_draft=checked.draft.digest,
        person=desk.person,
        at_us=micros(desk.room.clock()),
        governance=checked.governance,
        findings=checked.findings,
    )
    envelope = sign_envelope(make_statement(ref, APPROVAL, approval_), desk.home)
    return SignedApproval(envelope, desk.home.public.key_id, desk.home.sign(checked.draft.signed))


def send_approval(desk: AtDesk, ref: ModelRef, signed: SignedApproval) -> None:
    """Hand an approval to the control plane."""
    room = desk.room
    who = desk.ask("approve", "Model", ref.name, signed.envelope)
    approval.approve(room.office, who, room.clock(), ref=ref, signed=signed, means=room.means())


def before_first_approval(house: House, story: Story, ref: ModelRef) -> None:
    """The author approves their own model; custodians are asked for a delegation to one key."""
    author = house.desk("ann")
    story.refuse(
        "the author approves their own model",
        "not-permitted",
        lambda: send_approval(author, ref, forged_approval(author, ref)),
    )
    story.refuse(
        "a model's threshold is lowered to one approver",
        "four-eyes",
        lambda: submitting.delegate(house.desk("cora"), ref.name, ["petra"]),
    )


def after_first_approval(house: House, story: Story, ref: ModelRef) -> None:
    """One approval only; the same person again with their other key."""
    story.refuse("a release with one approval only", "conflict", lambda: releasing.release(house.desk("omar"), ref))
    twin = house.second_desk("paul")
    story.refuse(
        "one person approves twice, with two keys",
        "four-eyes",
        lambda: send_approval(
            twin, ref, sign_approval(judging.check_papers(twin, ref), twin.home, twin.person, _us(twin))
        ),
    )


def _us(desk: AtDesk) -> int:
    return micros(desk.room.clock())


def hostile_repositories(house: House, story: Story, ref: ModelRef) -> None:
    """Copies of the release repository, changed, and judged with the gateway's own eyes by the auditor."""

    def judge(folder: Path, later: timedelta = timedelta()) -> None:
        auditor = house.desk("audrey")
        moment = auditor.room.clock() + later
        judge_repository(auditor, folder, ref.name, environment=ENVIRONMENT, jurisdictions=JURISDICTIONS, at=moment)

    story.refuse("a byte of the sealed model is changed", "tampered", lambda: judge(_changed_ciphertext(house)))
    story.refuse("an attestation is missing", "not-found", lambda: judge(_missing_evidence(house)))
    story.refuse(
        "custodians who collude sign a threshold of one for the gateway",
        "four-eyes",
        lambda: judge(_lowered_threshold(house, ref)),
    )
    story.refuse(
        "the repository's metadata is frozen until it expires",
        "expired",
        lambda: judge(_copy(house, "frozen"), timedelta(hours=2)),
    )


def _copy(house: House, name: str) -> Path:
    target = house.folder / "hostile" / name
    shutil.copytree(house.layout.repository, target)
    return target


def _changed_ciphertext(house: House) -> Path:
    folder = _copy(house, "changed-byte")
    largest = max(
        (path for path in (folder / "sealed").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.chmod(0o644)
    largest.write_bytes(bytes(data))
    return folder


def _missing_evidence(house: House) -> Path:
    folder = _copy(house, "missing-attestation")
    version = house.refs["pd-cards"]
    with house.enter().desk.begin() as transaction:
        review = transaction.books.versions.get(version).evidence["review"]
    (folder / "evidence" / review[:2] / review[2:]).unlink()
    return folder


def _lowered_threshold(house: House, ref: ModelRef) -> Path:
    """Two custodians really sign it: TUF alone would be content."""
    folder = _copy(house, "threshold-one")
    room = house.enter()
    staged = house.folder / "hostile" / "staged"
    repository = TufRepository(TufFiles(folder, staged), room.keys.signer("control-plane"))
    metadata = repository.files.published(_targets(), "targets")
    assert metadata is not None  # noqa: S101 - the room is founded
    targets = metadata.signed
    targets.version += 1
    role = targets.delegations.roles[model_role(ref.name)]
    role.threshold = 1
    role.keyids = role.keyids[:1]
    draft = repository.files.stage("targets", targets)
    for path in targets.targets:
        content = room.repository.target(path)
        if content is not None:
            repository.files.keep(content)
    for name in ("cora", "cyril"):
        home = house.home(name)
        repository.sign("targets", home.public.key_id, home.sign(draft))
    repository.publish("targets", room.clock())
    return folder


def _targets() -> Any:
    from tuf.api.metadata import Targets

    return Targets


class TokenIssuer:
    """The bank's own sign-in service, as far as the demo needs it: one key, access tokens by RFC 9068."""

    def __init__(self) -> None:
        self._key = ECKey.import_key(ec.generate_private_key(ec.SECP256R1()))
        self._kid = "demo-1"

    def issuer(self) -> Issuer:
        """What an operator pins."""
        public = self._key.as_dict(private=False)
        jwk = {name: public[name] for name in ("kty", "crv", "x", "y")}
        return Issuer(issuer=ISSUER, audience=AUDIENCE, keys=(IssuerKey(kid=self._kid, alg="ES256", jwk=jwk),))

    def token(self, lasts_s: int = 300, key: Any = None, audience: str = AUDIENCE) -> str:
        """An access token for the calling system."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": audience,
            "sub": CALLER,
            "client_id": CALLER,
            "iat": now - 600,
            "nbf": now - 600,
            "exp": now + lasts_s,
            "jti": f"demo-{now}-{lasts_s}",
        }
        return jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": self._kid}, claims, key or self._key)

    @staticmethod
    def foreign_key() -> Any:
        """A key that nobody pinned."""
        return ECKey.import_key(ec.generate_private_key(ec.SECP256R1()))


def hostile_calls(house: House, story: Story, rows: pd.DataFrame, tokens: TokenIssuer, stranger: str) -> None:
    """What the gateway refuses over HTTP. After authentication each refusal has an entry, before it one a window."""
    good = {"purpose": PURPOSE, "jurisdiction": "TW"}
    unlabelled = {"purpose": PURPOSE}
    outside = rows.assign(LIMIT_BAL=-1.0)
    story.refuse("a caller without rights to this model", "not-permitted", lambda: _call(house, stranger, rows, good))
    story.refuse(
        "an applicant outside the input contract", "invalid-input", lambda: _call(house, house.api_key, outside, good)
    )
    story.refuse(
        "a request without a jurisdiction", "not-permitted", lambda: _call(house, house.api_key, rows, unlabelled)
    )
    strangers = {
        "an expired token": tokens.token(-60),
        "a token signed by a key that nobody pinned": tokens.token(key=tokens.foreign_key()),
        "a token for another audience": tokens.token(audience="elsewhere"),
    }
    from_place = _size(house)
    for what, token in strangers.items():
        story.refuse(what, "not-authenticated", lambda token=token: _call(house, token, rows, good, recorded=False))
    entry = _count_of_strangers(house, from_place)
    for one in story.refused:
        if one["what"] in strangers:
            one["entry"] = entry


def _call(house: House, credential: str, rows: pd.DataFrame, labels: dict[str, str], recorded: bool = True) -> None:
    """One request as a caller without our client would send it."""
    matrix = rows[list(FEATURES)].to_numpy("float64")
    body = {
        "parameters": {**labels, "subject": str(rows["subject"].iloc[0])},
        "inputs": [{"name": "input", "datatype": "FP32", "shape": list(matrix.shape), "data": matrix.tolist()}],
    }
    answer = urllib3.request(
        "POST",
        f"http://127.0.0.1:{house.port}/v2/models/pd-cards/infer",
        json=body,
        headers={"authorization": f"Bearer {credential}"},
    )
    if answer.status == 200:
        return
    said = answer.json()
    error = RefusedError(said["error"])
    error.code = said["code"]  # type: ignore[misc]  # the gateway's own word for it
    if recorded:
        with house.records() as records:
            wait_until(lambda: _has(records, said["decision_id"]))
            stored, _, _ = records.receipt_parts(said["decision_id"])
        error.entry = EntryRef(records.settings.origin(0), stored.place)
    raise error


def _has(records: NodeRecords, decision_id: str) -> bool:
    try:
        records.receipt_parts(decision_id)
    except NotFoundError:
        return False
    return True


def _size(house: House) -> int:
    with house.records() as records:
        return records.readers[0].size


def _count_of_strangers(house: House, start: int) -> str | None:
    """Callers that nobody knows are counted a window; the count's entry comes when the window ends."""
    with house.records() as records:
        reader, found = records.readers[0], []

        def counted() -> bool:
            for stored in reader.records(start):
                leaf = Leaf.decode(stored.leaf)
                if leaf.type == "refusal" and leaf.release is None:
                    found.append(f"{records.settings.origin(0)}#{stored.place}")
            return bool(found)

        wait_until(counted, 30)
    return found[-1] if found else None

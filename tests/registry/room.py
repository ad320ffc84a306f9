"""A room in memory, with people who have keys, a door with the house's policies' shape, and a package to submit."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from strongroom.access.people import PeopleRegister, Person, person_key
from strongroom.access.principals import Principal
from strongroom.errors import NotPermittedError
from strongroom.office.acts import Act
from strongroom.office.door import Office
from strongroom.registry.actions import Vault, register_sample, submit
from strongroom.registry.packages import read_package
from strongroom.registry.samples import sign_sample
from strongroom.registry.versions import Version
from strongroom.sealing.keys import EcSigner
from strongroom.sealing.model_signature import sign_model
from strongroom.vocabulary import ModelRef, PersonId, micros
from tests.memory.blobs import MemoryBlobs, MemoryKeyRing
from tests.memory.office import MemoryBooks, MemoryDesk, MemoryLog

AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
LATER = AT + timedelta(hours=1)
ROLES = {"ann": ("author",), "olga": ("operator",), "vera": ("validator",), "zoe": ("author",)}
SIGNERS = {name: EcSigner.from_scalar(1000 + n) for n, name in enumerate(sorted(ROLES))}
MAY = {
    "submit": "author",
    "register-sample": "validator",
    "unseal": "validator",
    "show": "",
    "history": "",
    "rotate-key": "operator",
    "scan": "",
}


class RoleRules:
    """Who has the verb's role may."""

    def check(self, act: Act, /) -> None:
        if MAY[act.verb] and MAY[act.verb] not in act.who.roles:
            raise NotPermittedError(f"`{act.who.id}` may not `{act.verb}`")


def register() -> PeopleRegister:
    return PeopleRegister(
        1,
        tuple(
            Person(
                person_id=PersonId(name),
                kind="Person",
                keys=(person_key(SIGNERS[name].public.spki, 0),),
                roles=ROLES[name],
            )
            for name in sorted(ROLES)
        ),
    )


def principal(name: str) -> Principal:
    return Principal(PersonId(name), "Person", frozenset(ROLES[name]))


@cache
def package_files(name: str = "pd-small", tier: int = 2) -> Mapping[str, bytes]:
    # Here and not above: a control plane under strace imports this module, and needs neither.
    from sklearn.linear_model import LogisticRegression

    import strongroom
    from tests.registry.models import FEATURES, contract, frame

    rows = frame(200, 1)
    model = LogisticRegression().fit(rows[list(FEATURES)].to_numpy("float32") / 1000, rows["default"])
    with TemporaryDirectory() as folder:
        made = strongroom.package(
            model,
            Path(folder) / "package",
            contract={**contract(name), "tier": tier},
            outcome="default",
            development=rows,
            reference=frame(150, 2),
        )
    return made.files


def sample_files() -> dict[str, bytes]:
    files = package_files()
    return {"validation.parquet": files["development.parquet"], "protected.parquet": files["protected.parquet"]}


@dataclass
class Room:
    """Everything that the registry's verbs ask for."""

    desk: MemoryDesk = field(default_factory=MemoryDesk)
    log: MemoryLog = field(default_factory=MemoryLog)
    ring: MemoryKeyRing = field(default_factory=lambda: MemoryKeyRing(b"k" * 32))
    blobs: MemoryBlobs = field(default_factory=MemoryBlobs)
    people: PeopleRegister = field(default_factory=register)

    def __post_init__(self) -> None:
        numbers = itertools.count(1)
        self.door: Office[MemoryBooks] = Office(
            RoleRules(), self.desk, self.log, lambda: AT, lambda size: next(numbers).to_bytes(size, "big")
        )

    @property
    def vault(self) -> Vault:
        return Vault(self.ring, self.blobs)

    def submit(self, by: str = "ann", **changes: Any) -> Version:
        files = changes.get("files", package_files())
        ref = (
            read_package(package_files()).ref if "bundle" in changes or "files" in changes else read_package(files).ref
        )
        given: dict[str, Any] = {
            "name": ref.name,
            "files": files,
            "bundle": sign_model(ref.name, read_package(package_files()).manifest, SIGNERS[by]),
            "people": self.people,
            "vault": self.vault,
            "data_key": b"d" * 32,
        }
        return submit(self.door, principal(by), AT, **{**given, **changes})

    def register_sample(self, ref: ModelRef, by: str = "vera", **changes: Any) -> Version:
        files = changes.get("files", sample_files())
        envelope = sign_sample(
            ref, sample_files(), SIGNERS[by], person=PersonId(by), rows=200, source="held out", at_us=micros(LATER)
        )
        given: dict[str, Any] = {
            "ref": ref,
            "files": files,
            "envelope": envelope,
            "people": self.people,
            "vault": self.vault,
            "data_key": b"e" * 32,
        }
        return register_sample(self.door, principal(by), LATER, **{**given, **changes})

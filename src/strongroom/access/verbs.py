"""Every verb of the house, once: what it may be done to, and how its entry stands in the governance log.

The Cedar schema, the policies, the command line and the matrix of tests are all held against this table, so a verb that
is missing in one of them fails a test instead of being forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

EntryKind = Literal["act", "open", "close", "alert", "erasure"]

ROLES = (
    "alerter",
    "approver",
    "auditor",
    "author",
    "caller",
    "control-plane",
    "custodian",
    "dpo",
    "gateway",
    "halter",
    "operator",
    "risk",
    "scanner",
    "validation-service",
    "validator",
)
"""The roles that the people register, a grant and the policies may name."""

KINDS = ("Room", "Model", "Case", "Subject", "Log", "People", "Grant", "Node")
"""What acts are done to: the entity types of the schema."""


class Verb(StrEnum):
    """What can be asked of the house."""

    INIT = "init"
    PEOPLE = "people"
    PACKAGE = "package"
    SUBMIT = "submit"
    REGISTER_SAMPLE = "register-sample"
    SCAN = "scan"
    VALIDATE = "validate"
    REPLICATE = "replicate"
    WRITE = "write"
    FINDING = "finding"
    REVIEW = "review"
    APPROVE = "approve"
    REJECT = "reject"
    RELEASE = "release"
    ROLLBACK = "rollback"
    HALT = "halt"
    LIFT = "lift"
    SCORE = "score"
    METADATA = "metadata"
    OUTCOMES = "outcomes"
    MONITOR = "monitor"
    ALERT = "alert"
    VERIFY = "verify"
    REPLAY = "replay"
    ERASE = "erase"
    UNSEAL = "unseal"
    SHOW = "show"
    HISTORY = "history"
    FSCK = "fsck"
    ADD_GRANT = "add-grant"
    ROTATE_KEY = "rotate-key"
    OPEN_SHARD = "open-shard"
    CLOSE_SHARD = "close-shard"
    TIMESTAMP = "timestamp"
    POLICY_CHECK = "policy-check"
    BACKUP = "backup"
    RESTORE = "restore"
    REPAIR = "repair"
    RETAIN = "retain"
    HOLD = "hold"
    LIFT_HOLD = "lift-hold"


@dataclass(frozen=True, slots=True)
class VerbRule:
    """What holds for a verb whoever asks.

    Attributes:
        on: kinds of resource that it may be done to.
        entry: kind of its entry in the governance log.
        about: what it does, for help texts and the documentation.
    """

    on: tuple[str, ...]
    about: str
    entry: EntryKind = "act"


VERBS: Mapping[Verb, VerbRule] = MappingProxyType(
    {
        Verb.INIT: VerbRule(("Room",), "make a room"),
        Verb.PEOPLE: VerbRule(("People",), "enter, change or remove a person of the register"),
        Verb.PACKAGE: VerbRule(("Model",), "put a trained model and its samples into a package"),
        Verb.SUBMIT: VerbRule(("Model",), "hand a signed package in"),
        Verb.REGISTER_SAMPLE: VerbRule(("Model", "Case"), "register the validation sample"),
        Verb.SCAN: VerbRule(("Model", "Case"), "look for unsafe content"),
        Verb.VALIDATE: VerbRule(("Model", "Case"), "run the battery in the sandbox"),
        Verb.REPLICATE: VerbRule(("Model",), "train a model again from its own script, in the sandbox"),
        Verb.WRITE: VerbRule(("Model",), "sign words for a section of the model's report"),
        Verb.FINDING: VerbRule(("Model",), "raise, accept or close a finding"),
        Verb.REVIEW: VerbRule(("Model", "Case"), "sign the independent validator's judgement"),
        Verb.APPROVE: VerbRule(("Model", "Case"), "sign one of the two approvals"),
        Verb.REJECT: VerbRule(("Model", "Case"), "end a case with a reason"),
        Verb.RELEASE: VerbRule(("Model",), "publish an approved version and point at it within its plan"),
        Verb.ROLLBACK: VerbRule(("Model",), "point back at the fallback"),
        Verb.HALT: VerbRule(("Model",), "stop a model at once"),
        Verb.LIFT: VerbRule(("Model",), "sign one of the two statements that end a halt"),
        Verb.SCORE: VerbRule(("Model",), "ask for decisions"),
        Verb.METADATA: VerbRule(("Model",), "read a served model's contract"),
        Verb.OUTCOMES: VerbRule(("Model",), "post what became of past decisions"),
        Verb.MONITOR: VerbRule(("Model",), "read drift and performance"),
        Verb.ALERT: VerbRule(("Model",), "record that a monitor's limit was passed", "alert"),
        Verb.VERIFY: VerbRule(("Log", "Model"), "check receipts, logs and sealed models"),
        Verb.REPLAY: VerbRule(("Log", "Model"), "compute a past decision again"),
        Verb.ERASE: VerbRule(("Subject",), "destroy a data subject's key", "erasure"),
        Verb.UNSEAL: VerbRule(("Model",), "write a model's plain files to a named place"),
        Verb.SHOW: VerbRule(("Model", "Case", "Room"), "read about a model, a case or the room"),
        Verb.HISTORY: VerbRule(("Model", "Log", "Room"), "read who did what and when"),
        Verb.FSCK: VerbRule(("Room", "Log", "Node"), "check every stored byte against what was signed"),
        Verb.ADD_GRANT: VerbRule(("Grant",), "let a calling system in"),
        Verb.ROTATE_KEY: VerbRule(("Grant", "Room", "Node"), "replace a secret or a key"),
        Verb.OPEN_SHARD: VerbRule(("Log", "Node"), "open a decision log before its first answer", "open"),
        Verb.CLOSE_SHARD: VerbRule(("Log", "Node"), "close a decision log at its last root", "close"),
        Verb.TIMESTAMP: VerbRule(("Room",), "sign snapshot and timestamp metadata"),
        Verb.POLICY_CHECK: VerbRule(("Room",), "check policies and ask what they would say"),
        Verb.BACKUP: VerbRule(("Room", "Node"), "write an encrypted backup"),
        Verb.RESTORE: VerbRule(("Room", "Node"), "restore a backup"),
        Verb.REPAIR: VerbRule(("Room", "Node"), "make again what can be rebuilt of logs"),
        Verb.RETAIN: VerbRule(("Node",), "drop payloads whose term has passed"),
        Verb.HOLD: VerbRule(("Room",), "keep records whatever their term"),
        Verb.LIFT_HOLD: VerbRule(("Room",), "end a hold"),
    }
)

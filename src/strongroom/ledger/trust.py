"""The trust policy: which logs and witnesses are known, and which cosignatures suffice.

Source: c2sp.org/tlog-policy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from strongroom.errors import InvalidInputError, TamperedError
from strongroom.ledger.checkpoint import Checkpoint, open_checkpoint
from strongroom.ledger.note import COSIGNATURE_V1, ED25519, Note, VerifierKey

NONE = "none"
_SIZE_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """A trust policy file.

    Attributes:
        logs: verifier keys by origin.
        witnesses: verifier keys by their name in the policy.
        groups: threshold and members by name.
        quorum: the witness or group that must have cosigned, or `none`.
        urls: where witnesses are asked, by their name in the policy; verifiers do not need it.
    """

    logs: Mapping[str, VerifierKey]
    witnesses: Mapping[str, VerifierKey]
    groups: Mapping[str, tuple[int, tuple[str, ...]]]
    quorum: str
    urls: Mapping[str, str] = field(default_factory=dict)

    def accept(self, note: bytes, log: VerifierKey | None = None) -> tuple[Checkpoint, dict[str, int]]:
        """Open a checkpoint of a known log (or of `log`), and demand the quorum.

        Returns:
            The checkpoint, and the times (seconds since 1970) of the cosignatures by witness key name.

        Raises:
            TamperedError: not signed, badly cosigned, or short of the quorum.
        """
        try:
            parsed = Note.parse(note)
        except InvalidInputError as error:
            raise TamperedError(f"the checkpoint cannot be read: {error.message}") from error
        key = log if log is not None else self.logs.get(parsed.text.split(b"\n", 1)[0].decode())
        if key is None:
            raise TamperedError("the checkpoint is of a log that the trust policy does not name")
        checkpoint = open_checkpoint(note, key)
        times = parsed.cosigned_by(list(self.witnesses.values()))
        cosigned = {name for name, witness in self.witnesses.items() if witness.name in times}
        if self.quorum != NONE and not self._witnessed(self.quorum, cosigned):
            raise TamperedError(
                f"the checkpoint of `{checkpoint.origin}` lacks the cosignatures that the trust policy demands"
            )
        return checkpoint, times

    def _witnessed(self, name: str, cosigned: set[str]) -> bool:
        if name in self.witnesses:
            return name in cosigned
        threshold, members = self.groups[name]
        return sum(self._witnessed(member, cosigned) for member in members) >= threshold

    def encode(self) -> bytes:
        """The file."""
        lines = [f"log {key}" for key in self.logs.values()]
        lines += [f"witness {name} {key} {self.urls.get(name, '')}".rstrip() for name, key in self.witnesses.items()]
        lines += [f"group {name} {k} {' '.join(members)}" for name, (k, members) in self.groups.items()]
        # names and addresses may hold bytes that are not UTF-8; they go out as they came in
        return ("\n".join([*lines, f"quorum {self.quorum}"]) + "\n").encode("utf-8", "surrogateescape")


def read_trust(data: bytes) -> TrustPolicy:
    """Read a trust policy file.

    Raises:
        InvalidInputError: malformed, a key or name twice, an unknown reference, or no single quorum line.
    """
    if len(data) > _SIZE_LIMIT or any((byte < 0x20 and byte not in b"\t\n") or byte == 0x7F for byte in data):
        raise InvalidInputError("a trust policy is a text without control characters", rule="trust-policy")
    logs: dict[str, VerifierKey] = {}
    witnesses: dict[str, VerifierKey] = {}
    urls: dict[str, str] = {}
    groups: dict[str, tuple[int, tuple[str, ...]]] = {}
    quorum: str | None = None
    members_so_far: set[str] = set()
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
        words = re.split(r"[ \t]+", line.strip(" \t"))
        if words == [""] or words[0].startswith("#"):
            continue
        match words:
            case ["log", vkey] | ["log", vkey, _]:
                key = _key(vkey, ED25519, number)
                if key.name in logs:
                    raise InvalidInputError(f"line {number} of the trust policy names a log twice", rule="trust-policy")
                logs[key.name] = key
            case ["witness", name, vkey, *url] if len(url) <= 1 and _new(name, witnesses, groups):
                witnesses[name] = _key(vkey, COSIGNATURE_V1, number)
                if url:
                    urls[name] = url[0]
            case ["group", name, threshold, *members] if members and _new(name, witnesses, groups):
                for member in members:
                    if member in members_so_far or (member not in witnesses and member not in groups):
                        raise InvalidInputError(
                            f"line {number} of the trust policy uses a name twice or before it is defined",
                            rule="trust-policy",
                        )
                    members_so_far.add(member)
                groups[name] = (_threshold(threshold, members, number), tuple(members))
            case ["quorum", name] if quorum is None and (name == NONE or name in witnesses or name in groups):
                quorum = name
            case _:
                raise InvalidInputError(f"line {number} of the trust policy is not understood", rule="trust-policy")
    keys = [key.public for key in [*logs.values(), *witnesses.values()]]
    if quorum is None or len(set(keys)) != len(keys):
        raise InvalidInputError("a trust policy has one quorum line and no key twice", rule="trust-policy")
    return TrustPolicy(logs, witnesses, groups, quorum, urls)


def _key(text: str, kind: int, number: int) -> VerifierKey:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"line {number} of the trust policy has a key name that is not UTF-8", rule="vkey"
        ) from error
    key = VerifierKey.parse(text)
    if key.kind != kind:
        raise InvalidInputError(f"line {number} of the trust policy has a key of another type", rule="trust-policy")
    return key


def _new(name: str, *taken: Mapping[str, object]) -> bool:
    return name != NONE and not any(name in names for names in taken)


def _threshold(text: str, members: Sequence[str], number: int) -> int:
    if text in ("all", "any"):
        return len(members) if text == "all" else 1
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text, re.ASCII) or int(text) > len(members):
        raise InvalidInputError(f"line {number} of the trust policy has a threshold out of range", rule="trust-policy")
    return int(text)

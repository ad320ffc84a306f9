"""`[hardening]` in `model.toml`: from which package a hardened one was made, and what was done to it.

The former model file and `model.toml` stand beside the new ones, below `before/`, with the former package's manifest.
The manifest's digest names that package, so nobody can put an easier model in its place; the battery runs both models.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from strongroom.errors import InvalidInputError
from strongroom.vocabulary import Digest, parse_digest

FOLDER: Final = "before/"
CONTRACT: Final = FOLDER + "model.toml"
MANIFEST: Final = FOLDER + "manifest.json"
KINDS: Final = ("pd", "fraud")
"""Those whose battery has the robustness tests."""

Measure = Literal["monotone", "adversarial", "rounding", "band"]


class Hardening(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a hardened version was made from.

    Attributes:
        package: manifest digest of the former package.
        model: the former model file, below `before/`.
        measures: what was done: `monotone` constraints, `adversarial` training, `rounding` of scores, a `band` around
            each cut-off that is referred to a person.
        choices: how far, as text by name: `rounds`, `attacked`, `added`, `decimals`, `band`.
        referred: the decision of the band; with a band, and only there.
    """

    package: Digest
    model: str
    measures: tuple[Measure, ...]
    choices: dict[str, str] = {}
    referred: str | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        parse_digest(self.package)
        if not self.measures or len(set(self.measures)) != len(self.measures):
            raise _wrong("names one measure or more, each once", "measures")
        if not self.model.startswith(FOLDER) or self.model in (CONTRACT, MANIFEST):
            raise _wrong(f"names a model file below {FOLDER}", "folder")
        if ("band" in self.measures) != isinstance(self.referred, str):
            raise _wrong("names the decision of the band, and only there", "referred")
        if any(not (len(key) <= 32 and len(text) <= 64 and text.isprintable()) for key, text in self.choices.items()):
            raise _wrong("has choices of at most 64 printable characters", "choices")


class FileLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of the former package, as its manifest has it."""

    path: str
    role: str
    size_bytes: int
    sha256: Digest


def _wrong(what: str, rule: str) -> InvalidInputError:
    return InvalidInputError(f"`hardening` {what}", field="hardening", rule=rule)

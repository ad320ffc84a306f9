"""Read `model.toml`. What is not understood is refused: a misspelt rule must not become no rule.

Numbers that the contract keeps as decimal strings (bounds, cut-offs, training parameters) may be written as TOML
numbers; they become text in one way: whole numbers as they are, others as the shortest text of their float64.
"""

from __future__ import annotations

import math
import tomllib
from typing import Any, Final

import msgspec

from strongroom.errors import InvalidInputError, TooLargeError
from strongroom.registry.contract import MODEL_SUFFIX, ModelContract
from strongroom.registry.hardening import CONTRACT, MANIFEST
from strongroom.registry.kinds import CONTRACTS
from strongroom.registry.source import CONVERSION_FILE
from strongroom.sealing.manifest import check_path
from strongroom.vocabulary import parse_digest

FILE: Final = "model.toml"
CHOICES: Final = {"kind": tuple(CONTRACTS), "tier": (1, 2, 3), "runtime": tuple(MODEL_SUFFIX)}
"""What the words at a place may be, for whoever chose another one."""
SIZE_LIMIT = 256 * 1024
KEY_PARTS_LIMIT = 16
_DECIMAL: Final = frozenset({"minimum", "maximum", "below", "downturn_add_on", "cost", "budget", "tolerance"})
_AS_TEXT: Final = (("lineage", "parameters"), ("lineage", "environment"), ("hardening", "choices"))


def read_contract(data: bytes) -> ModelContract:
    """Read the bytes of `model.toml`.

    Raises:
        TooLargeError: more than 256 KiB.
        InvalidInputError: not TOML, an unknown or missing key, a wrong type, or a value outside its rule; `field`
            names the place.
    """
    if len(data) > SIZE_LIMIT:
        raise TooLargeError(f"{FILE} has {len(data)} bytes, more than {SIZE_LIMIT}", field=FILE, rule="size")
    try:
        text = data.decode("utf-8")
        # A key of thousands of parts costs the parser quadratic time.
        if any(line.count(".") > KEY_PARTS_LIMIT for line in _keys(text)):
            raise InvalidInputError(f"{FILE} has a key of more than {KEY_PARTS_LIMIT} parts", field=FILE, rule="toml")
        document = tomllib.loads(text, parse_float=_Fraction)
    # ValueError: not UTF-8, not TOML, or a number of thousands of digits.
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{FILE} is not TOML: {error}", field=FILE, rule="toml") from error
    plain = _plain(document, ())
    try:
        contract = msgspec.convert(plain, ModelContract)
    except msgspec.ValidationError as error:
        place, what = complaint(error)
        raise InvalidInputError(f"{FILE}, {place}: {what}", field=place, rule="schema") from error
    _check(contract)
    return contract


def complaint(error: msgspec.ValidationError) -> tuple[str, str]:
    """Where a contract breaks its form, and how, with what would be right."""
    what, _, where = str(error).partition(" - at ")
    place = where.strip("`").removeprefix("$").lstrip(".") or FILE
    what = what.lower()
    if place in CHOICES and "enum value" in what:
        what += f"; it is one of {', '.join(map(str, CHOICES[place]))}"
    elif "`str" in what and ("`float`" in what or "`int`" in what):
        what += '; numbers in a contract are texts, such as "0.2"'
    return place, what


def _check(contract: ModelContract) -> None:
    if contract.lineage.parent is not None:
        parse_digest(contract.lineage.parent)
    samples = contract.samples
    paths = [samples.model, samples.development, samples.reference, samples.predictions]
    paths += [samples.protected] if samples.protected is not None else []
    if not isinstance(contract.source, msgspec.UnsetType):
        paths += [*contract.source.files, CONVERSION_FILE]
    if not isinstance(contract.hardening, msgspec.UnsetType):
        paths += [contract.hardening.model, CONTRACT, MANIFEST]
    if not isinstance(contract.training, msgspec.UnsetType):
        paths += contract.training.code
    for path in paths:
        check_path(path)
    if len({path.casefold() for path in paths}) != len(paths):
        raise InvalidInputError("every sample has a file of its own", field="samples", rule="unique")
    if (samples.protected is None) != (not contract.protected):
        raise InvalidInputError(
            "protected attributes are listed in `protected` and kept in file `samples.protected`; give both or neither",
            field="samples.protected",
            rule="protected",
        )
    if samples.outcome in {feature.name for feature in contract.input.features} | set(contract.protected):
        raise InvalidInputError("the outcome is neither feature nor protected", field="samples.outcome", rule="outcome")
    used = {samples.outcome, *contract.protected, *contract.sample_columns.values()}
    if samples.subject in used | {feature.name for feature in contract.input.features}:
        raise InvalidInputError(
            "the column that tells whom a row is about has no other use: it is neither feature, outcome nor protected",
            field="samples.subject", rule="unique",
        )  # fmt: skip


class _Fraction:
    """A TOML float, kept apart so that it can become text where the contract wants text, and an error elsewhere."""

    def __init__(self, text: str) -> None:
        value = float(text)
        if not math.isfinite(value):
            raise InvalidInputError(f"{FILE} has a number that is not finite", field=FILE, rule="finite")
        self.text = repr(value)


def _plain(value: Any, path: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner, (*path, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, path) for inner in value]
    wants_text = bool(path) and (path[-1] in _DECIMAL or path[:-1] in _AS_TEXT)
    if isinstance(value, bool):
        return ("true" if value else "false") if wants_text and path[-1] not in _DECIMAL else value
    if isinstance(value, int):
        return str(value) if wants_text else value
    if isinstance(value, _Fraction):
        if wants_text:
            return value.text
        raise InvalidInputError(
            f"{FILE}, {'.'.join(path)}: a fraction has no place here", field=".".join(path), rule="type"
        )
    if isinstance(value, str):
        return value
    raise InvalidInputError(
        f"{FILE}, {'.'.join(path)}: dates and times have no place here", field=".".join(path), rule="type"
    )


def _keys(text: str) -> list[str]:
    """What stands before the first `=`, or in brackets, of every line: an upper bound of its keys."""
    return [line.split("=", 1)[0] for line in text.splitlines()]

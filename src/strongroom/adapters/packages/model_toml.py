"""Write `model.toml`. The standard library reads TOML and does not write it; this much of it is enough here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from strongroom.errors import InvalidInputError
from strongroom.registry.contract import ModelContract
from strongroom.registry.toml import read_contract

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")


def write_contract(contract: ModelContract) -> bytes:
    """`model.toml` for a contract; `read_contract` gives the contract back.

    Raises:
        InvalidInputError: the contract would not be read back, for example because a sample's path breaks a rule.
    """
    plain = _without_none(msgspec.to_builtins(contract))
    data = ("\n".join(_table(plain, "")).strip() + "\n").encode()
    if read_contract(data) != contract:
        raise InvalidInputError("the contract cannot be written as model.toml", field="contract", rule="round-trip")
    return data


def _table(table: Mapping[str, Any], prefix: str) -> Iterator[str]:
    nested = {key: value for key, value in table.items() if isinstance(value, Mapping) or _is_tables(value)}
    for key, value in table.items():
        if key not in nested:
            yield f"{_key(key)} = {_value(value)}"
    for key, value in nested.items():
        name = prefix + _key(key)
        for one in [value] if isinstance(value, Mapping) else value:
            yield ""
            yield f"[{name}]" if isinstance(value, Mapping) else f"[[{name}]]"
            yield from _table(one, name + ".")


def _is_tables(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(one, Mapping) for one in value)


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return [_without_none(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _key(key: str) -> str:
    return key if _BARE.match(key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    if isinstance(value, str):
        # JSON's escapes are TOML's too, but for DEL, which TOML wants escaped and JSON does not.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)

"""The few of many policies that a question can meet, so that 5,000 of them cost what a handful does.

A policy whose scope does not fit a question neither permits, nor forbids, nor errs: Cedar looks at the scope before the
conditions, and a scope cannot fail. So leaving such policies out changes neither the decision, nor the rules named for
it, nor the errors. What is left is evaluated in up to three parts (policies that name this very principal, this very
resource, neither), and put together as Cedar does within one set: forbidden if any part forbids, permitted if any part
permits, otherwise no. A scope of a form that is not known here is taken to fit everything.

Source: the Cedar policy language, its chapter on authorisation (a policy that does not match is not evaluated), and its
guidance on slicing policies by scope.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import cedarpy

from strongroom.access.verbs import VERBS

COMMON_LIMIT: Final = 64
NAMED_LIMIT: Final = 2048
"""Parts kept ready: of those that name nobody, which may be large, and of those that name one principal or resource."""
ROLE: Final = "Role"
_PRINCIPALS: Final = frozenset({"Person", "Service"})

Entity = tuple[str, str]
Rules = Mapping[str, Mapping[str, Any]]
SliceKey = tuple[str, str, frozenset[str], str]
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Slice:
    """Some policies, ready for use.

    Attributes:
        names: of the policies.
        policies: parsed, under the names that they have in the whole set.
        by_identity: whether one of them may look at which principal it is, beyond the attributes that the asker knows.
    """

    names: frozenset[str]
    policies: cedarpy.PolicySet
    by_identity: bool


class Slices:
    """The static policies of one set, sorted by what their scopes name.

    Args:
        rules: by Cedar's name of each, in Cedar's JSON form.
        attributes: of a principal, that the asker knows beside its identity; looking at others is looking at identity.
    """

    def __init__(self, rules: Rules, attributes: frozenset[str]) -> None:
        self._attributes = attributes
        self._by_principal: dict[Entity, dict[str, Mapping[str, Any]]] = {}
        self._by_resource: dict[Entity, dict[str, Mapping[str, Any]]] = {}
        self._rest: dict[str, Mapping[str, Any]] = {}
        for name, rule in rules.items():
            principal, resource = _named(rule["principal"]), _named(rule["resource"])
            if principal is not None and principal[0] != ROLE:
                self._by_principal.setdefault(principal, {})[name] = rule
            elif resource is not None:
                self._by_resource.setdefault(resource, {})[name] = rule
            else:
                self._rest[name] = rule
        self._parsing = threading.Lock()
        self._nothing = Slice(frozenset(), cedarpy.PolicySet.from_str(""), False)
        self._common: OrderedDict[SliceKey, Slice | None] = OrderedDict()
        self._of_principal: OrderedDict[Entity, Slice | None] = OrderedDict()
        self._of_resource: OrderedDict[tuple[Entity, SliceKey], Slice | None] = OrderedDict()

    def for_question(self, verb: str, who: Entity, roles: frozenset[str], resource: Entity) -> tuple[Slice, ...]:
        """Parts of the set that hold every policy whose scope fits; at least one, which may be empty."""
        key: SliceKey = (verb, who[0], roles, resource[0])
        if key in self._common:
            found = [self._common[key]]
        else:
            found = [self._keep(self._common, COMMON_LIMIT, key, _fitting(self._rest, key))]
        rules = self._by_principal.get(who)
        if rules is not None:
            kept = self._of_principal.get(who)
            found.append(kept or self._keep(self._of_principal, NAMED_LIMIT, who, rules))
        rules = self._by_resource.get(resource)
        if rules is not None:
            place = (resource, key)
            if place in self._of_resource:
                found.append(self._of_resource[place])
            else:
                found.append(self._keep(self._of_resource, NAMED_LIMIT, place, _fitting(rules, key)))
        return tuple(one for one in found if one is not None) or (self._nothing,)

    def _keep(self, kept: OrderedDict[K, Slice | None], limit: int, place: K, rules: Rules) -> Slice | None:
        """Parse, unless the same policies are parsed for another question already, and remember."""
        with self._parsing:
            names = frozenset(rules)
            made = next((one for one in self._common.values() if one is not None and one.names == names), None)
            if made is None and rules:
                made = self._parse(rules)
            if len(kept) >= limit:
                kept.popitem(last=False)
            kept[place] = made
        return made

    def _parse(self, rules: Rules) -> Slice:
        text = json.dumps({"templates": {}, "staticPolicies": rules, "templateLinks": []})
        by_identity = any(
            _by_identity(condition["body"], self._attributes)
            for rule in rules.values()
            for condition in rule.get("conditions", [])
        )
        return Slice(frozenset(rules), cedarpy.PolicySet.from_json_str(text), by_identity)


def _fitting(rules: Rules, key: SliceKey) -> dict[str, Mapping[str, Any]]:
    return {name: rule for name, rule in rules.items() if _fits(rule, *key)}


def _named(scope: Mapping[str, Any]) -> Entity | None:
    """The one entity that a scope is limited to, itself or what lies below it."""
    entity = scope.get("entity") if scope["op"] in ("==", "in") else None
    return _entity(entity) if entity is not None else None


def _entity(entity: Mapping[str, Any]) -> Entity:
    inner = entity.get("__entity", entity)
    return inner["type"], inner["id"]


def _fits(rule: Mapping[str, Any], verb: str, kind: str, roles: frozenset[str], on: str) -> bool:
    """Whether the scope may fit; never False for one that does."""
    return (
        _fits_action(rule["action"], verb)
        and _fits_principal(rule["principal"], kind, roles)
        and _fits_kind(rule["resource"], on)
    )


def _fits_action(scope: Mapping[str, Any], verb: str) -> bool:
    if scope["op"] == "==":
        return bool(_entity(scope["entity"])[1] == verb)
    if scope["op"] == "in":
        ids = [_entity(entity)[1] for entity in scope.get("entities") or [scope["entity"]]]
        # what is no verb of ours may be a group, and hold any
        return verb in ids or any(one not in VERBS for one in ids)
    return True


def _fits_principal(scope: Mapping[str, Any], kind: str, roles: frozenset[str]) -> bool:
    if not _fits_kind(scope, kind):
        return False
    above = scope.get("in") if scope["op"] == "is" else scope
    entity = above.get("entity") if isinstance(above, Mapping) and scope["op"] in ("in", "is") else None
    if entity is None:
        return True
    of, name = _entity(entity)
    return name in roles if of == ROLE else True


def _fits_kind(scope: Mapping[str, Any], kind: str) -> bool:
    return bool(scope["op"] != "is" or scope["entity_type"] == kind)


def _by_identity(node: Any, attributes: frozenset[str]) -> bool:
    """Whether an expression reads the principal other than by these attributes, its roles or its kind."""
    if isinstance(node, list):
        return any(_by_identity(inner, attributes) for inner in node)
    if not isinstance(node, dict):
        return False
    for operator in (".", "has"):
        inner = node.get(operator)
        if isinstance(inner, dict) and inner.get("left") == {"Var": "principal"}:
            return inner.get("attr") not in attributes
    inner = node.get("in")
    if isinstance(inner, dict) and inner.get("left") == {"Var": "principal"}:
        return not _all_roles(inner.get("right"))
    inner = node.get("is")
    if isinstance(inner, dict) and inner.get("left") == {"Var": "principal"} and set(inner) == {"left", "entity_type"}:
        return False
    value = node.get("Value")
    if isinstance(value, dict) and "__entity" in value and value["__entity"].get("type") in _PRINCIPALS:
        # one that is written out has attributes only if it is the principal
        return True
    if node.get("Var") == "principal":
        return True
    return any(_by_identity(inner, attributes) for inner in node.values())


def _all_roles(node: Any) -> bool:
    """Whether an expression is a role, or a set of roles, written out."""
    if not isinstance(node, dict):
        return False
    listed: Iterable[Any] = node["Set"] if isinstance(node.get("Set"), list) else [node]
    values = [one.get("Value") if isinstance(one, dict) else None for one in listed]
    return all(isinstance(value, dict) and value.get("__entity", {}).get("type") == ROLE for value in values)

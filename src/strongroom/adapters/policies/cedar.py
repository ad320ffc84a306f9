"""Cedar policies, parsed once and asked often.

cedarpy answers `NoDecision` for what cannot be parsed and skips a policy that errors; here both are raised, because a
forbidding rule that was skipped would be a permission.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import cedarpy

from strongroom.access.ports import Question, Ruling
from strongroom.access.principals import Principal
from strongroom.access.verbs import KINDS, ROLES, VERBS
from strongroom.adapters.policies.cedar_form import check_form
from strongroom.adapters.policies.cedar_slices import Slice, Slices
from strongroom.errors import InvalidInputError, NotPermittedError, TooLargeError
from strongroom.vocabulary import Digest, digest_of

SIZE_LIMIT = 4 * 1024 * 1024
RULINGS_LIMIT = 65_536
TIME = "at_us"
PROOFS = "proofs"
_NOTHING: frozenset[str] = frozenset()
NEEDED = ("people", "People")
"""By this act custodians sign a register and new policies; a schema without it could never be replaced."""
GRANTS = ("models", "environments", "jurisdictions", "purposes")


class CedarEngine:
    """One set of policies with its schema: `access.ports.PolicyEngine`.

    Args:
        policies: Cedar policies, UTF-8.
        schema: Cedar schema, UTF-8.
        earlier: they are in force and may be from before some verb, role or kind of the house. Nobody may do what their
            schema does not know, and nobody has a role that it does not know, until new ones are signed.

    Raises:
        InvalidInputError: not parseable, empty, not valid under the schema, an unnamed rule, a template; or a schema
            that misses a verb, a role or a kind of resource of the house, unless `earlier`; and in any case one that
            misses what new policies are signed with.
    """

    def __init__(self, policies: bytes, schema: bytes, *, earlier: bool = False) -> None:
        text, schema_text = _text(policies, "policies"), _text(schema, "schema")
        self.digest: Digest = digest_of(
            b"strongroom/access-policies/v1\n" + len(policies).to_bytes(8, "big") + policies + schema
        )
        try:
            self._schema = cedarpy.Schema.from_str(schema_text)
            rules = json.loads(cedarpy.policies_to_json_str(text))
            found = cedarpy.validate_policies(text, self._schema, release_gil=True)
        except (ValueError, RecursionError) as error:
            raise InvalidInputError(f"the access policies cannot be read: {error}", rule="cedar") from error
        if not found.validation_passed:
            listed = "; ".join(str(problem) for problem in found.errors[:5])
            raise InvalidInputError(f"the access policies do not fit their schema: {listed}", rule="cedar-schema")
        if rules["templates"] or not rules["staticPolicies"]:
            raise InvalidInputError("the access policies hold a template, or no rule at all", rule="cedar")
        self._names = _names(rules["staticPolicies"])
        self._has_proofs = self._takes_proofs()
        self._timed = frozenset(_timed(rules["staticPolicies"]))
        self._read = frozenset(_read(rules["staticPolicies"]))
        self._roles, self._unknown = frozenset(ROLES), frozenset[tuple[str, str]]()
        if earlier:
            self._learn_schema()
        else:
            self._check_schema()
        self._slices = Slices(rules["staticPolicies"], frozenset((*GRANTS, "units", PROOFS)))
        self._rulings: OrderedDict[Hashable, Ruling] = OrderedDict()

    def rule_on(self, question: Question) -> Ruling:
        """Evaluate, or repeat what was ruled on a question that no policy can tell from this one.

        A ruling depends on nothing but what its key holds: the policies never change, those that could apply look at
        the principal's id only if the key has it, and at the clock not at all.

        Raises:
            NotPermittedError: Cedar gave no decision or reported an error in any policy.
            InvalidInputError: the principal or resource does not fit the schema.
        """
        who = question.who
        slices = self._slices.for_question(
            str(question.verb), (who.kind, who.id), who.roles, (question.kind, question.id)
        )
        key = None if self.depends_on_time(question.verb) else _key(question, slices)
        known = self._rulings.get(key) if key is not None else None
        if known is not None:
            return known
        ruling = self._evaluate(question, slices)
        if key is not None:
            if len(self._rulings) >= RULINGS_LIMIT:
                self._rulings.popitem(last=False)
            self._rulings[key] = ruling
        return ruling

    def _evaluate(self, question: Question, slices: tuple[Slice, ...]) -> Ruling:
        who = question.who
        grants = {name: sorted(who.grants.get(name, ())) for name in GRANTS}
        entities = [
            {
                "uid": {"type": who.kind, "id": who.id},
                "attrs": {"name": who.id, "units": sorted(who.units), **grants, **self._proofs(who)},
                "parents": [{"type": "Role", "id": role} for role in sorted(who.roles & self._roles)],
            },
            {
                "uid": {"type": question.kind, "id": question.id},
                "attrs": {
                    "name": question.id,
                    **{
                        name: sorted(value) if isinstance(value, frozenset) else value
                        for name, value in question.attributes.items()
                    },
                },
                "parents": [],
            },
        ]
        if "name" in question.attributes:
            raise InvalidInputError(
                "the attribute `name` of a resource is its id and cannot be given", rule="cedar-schema"
            )
        try:
            parsed = cedarpy.Entities.from_json_str(json.dumps(entities), self._schema)
        except ValueError as error:
            raise InvalidInputError(
                "principal or resource does not fit the schema of the policies", rule="cedar-schema"
            ) from error
        request = {
            "principal": entities[0]["uid"],
            "action": {"type": "Action", "id": str(question.verb)},
            "resource": entities[1]["uid"],
            "context": {**question.context, TIME: question.at_us},
        }
        permitted: list[str] = []
        forbidden: list[str] = []
        for one in slices:
            result = cedarpy.is_authorized(request, one.policies, parsed, self._schema)
            if result.diagnostics.errors or result.decision is cedarpy.Decision.NoDecision:
                raise NotPermittedError("a policy could not be evaluated")
            allowed = result.decision is cedarpy.Decision.Allow
            (permitted if allowed else forbidden).extend(self._names[policy] for policy in result.diagnostics.reasons)
        return Ruling(bool(permitted) and not forbidden, tuple(sorted(forbidden or permitted)))

    def depends_on_time(self, verb: str) -> bool:
        """Whether a policy that could apply to `verb` reads `context.at_us`, or the context as a whole."""
        return "*" in self._timed or verb in self._timed

    def _proofs(self, who: Principal) -> dict[str, list[str]]:
        """How a machine proved who it is, where the schema has a place for it: policies of earlier rooms have none."""
        return {PROOFS: sorted(who.proofs)} if who.kind == "Service" and self._has_proofs else {}

    def _takes_proofs(self) -> bool:
        attributes = {"name": "x", "units": [], **{name: [] for name in GRANTS}}
        entity = {"uid": {"type": "Service", "id": "x"}, "attrs": {**attributes, PROOFS: []}, "parents": []}
        try:
            cedarpy.Entities.from_json_str(json.dumps([entity]), self._schema)
        except ValueError:
            return False
        return True

    def reads(self, attribute: str) -> bool:
        """Whether a policy reads `context.<attribute>`, or asks whether there is one."""
        return attribute in self._read

    def knows(self, verb: str, kind: str) -> bool:
        """Whether the schema has such an act."""
        return (verb, kind) not in self._unknown

    @property
    def unknown(self) -> tuple[str, ...]:
        """Acts of the house that the schema is from before, in words."""
        return tuple(f"{verb} on {kind}" for verb, kind in sorted(self._unknown))

    def _acts(self) -> Iterator[tuple[str, str]]:
        """Acts of the house that the schema does not have: asked of Cedar itself, not of the text."""
        for verb, rule in VERBS.items():
            for kind in rule.on:
                if not any(self._has(principal, verb, kind) for principal in ("Person", "Service")):
                    yield str(verb), kind

    def _learn_schema(self) -> None:
        """What the schema of an earlier version does not know is nobody's to do, instead of a refusal to start."""
        self._unknown = frozenset(self._acts())
        if NEEDED in self._unknown:
            raise InvalidInputError(f"the schema has no action `{NEEDED[0]}` on {NEEDED[1]}", rule="cedar-schema")
        probe = '@id("r") permit(principal in Role::"{}", action, resource);'
        self._roles = frozenset(
            role
            for role in ROLES
            if cedarpy.validate_policies(probe.format(role), self._schema, release_gil=True).validation_passed
        )

    def _check_schema(self) -> None:
        """The schema knows every verb on every kind, and every role."""
        for verb, kind in self._acts():
            raise InvalidInputError(f"the schema has no action `{verb}` on {kind}", rule="cedar-schema")
        roles = "".join(
            f'@id("r{n}") permit(principal in Role::"{role}", action, resource);' for n, role in enumerate(ROLES)
        )
        kinds = "".join(f'@id("k{n}") permit(principal, action, resource is {kind});' for n, kind in enumerate(KINDS))
        found = cedarpy.validate_policies(roles + kinds, self._schema)
        if not found.validation_passed:
            raise InvalidInputError(f"the schema misses a role or a kind: {found.errors[0]}", rule="cedar-schema")

    def _has(self, principal: str, verb: str, kind: str) -> bool:
        probe = {
            "principal": {"type": principal, "id": "x"},
            "action": {"type": "Action", "id": str(verb)},
            "resource": {"type": kind, "id": "x"},
            "context": {TIME: 0},
        }
        nothing = cedarpy.PolicySet.from_str("forbid(principal, action, resource);")
        result = cedarpy.is_authorized(probe, nothing, "[]", self._schema)
        return result.decision is cedarpy.Decision.Deny and not result.diagnostics.errors


def _key(question: Question, slices: tuple[Slice, ...]) -> Hashable:
    """Everything that these policies may look at; None when it cannot be compared.

    A slice is kept only while its policies are, so the names of all policies at hand stand for them.
    """
    who = question.who
    named = who.id if any(one.by_identity for one in slices) else None
    try:
        key = (
            tuple([one.names for one in slices]), named, who.kind, who.roles, who.units,
            tuple([who.grants.get(name, _NOTHING) for name in GRANTS]), who.proofs,
            question.verb, question.kind, question.id, _typed(question.attributes), _typed(question.context),
        )  # fmt: skip
        hash(key)
    except TypeError:
        return None
    return key


def _typed(values: Mapping[str, object]) -> frozenset[tuple[str, object, type]]:
    """With types, because 1 and true are equal here and not in Cedar."""
    return frozenset([(name, value, type(value)) for name, value in values.items()])


def _text(data: bytes, what: str) -> str:
    if len(data) > SIZE_LIMIT:
        raise TooLargeError(f"the access {what} are larger than {SIZE_LIMIT} bytes", rule="size")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"the access {what} are not UTF-8", rule="utf-8") from error
    check_form(text, what)
    return text


def _names(rules: dict[str, Any]) -> dict[str, str]:
    names = {policy: str(rule.get("annotations", {}).get("id") or "") for policy, rule in rules.items()}
    if not all(names.values()) or len(set(names.values())) != len(names):
        raise InvalidInputError(
            'every access rule needs an @id("...") of its own, which refusals can name', rule="cedar"
        )
    return names


def _timed(rules: dict[str, Any]) -> Iterator[str]:
    """Verbs whose decisions may change with the clock alone; `*` for all."""
    for rule in rules.values():
        if not any(_reads_time(condition["body"]) for condition in rule.get("conditions", [])):
            continue
        scope = rule["action"]
        if scope["op"] == "==":
            yield scope["entity"]["id"]
        elif scope["op"] == "in" and "entities" in scope:
            yield from (entity["id"] for entity in scope["entities"])
        else:
            yield "*"


def _reads_time(node: Any) -> bool:
    """Whether an expression reads the time: `context.at_us`, or `context` in any other way than one named attribute."""
    if isinstance(node, list):
        return any(_reads_time(inner) for inner in node)
    if not isinstance(node, dict):
        return False
    for operator in (".", "has"):
        inner = node.get(operator)
        if isinstance(inner, dict) and inner.get("left") == {"Var": "context"}:
            return inner.get("attr") == TIME or not isinstance(inner.get("attr"), str)
    if node.get("Var") == "context":
        return True
    return any(_reads_time(inner) for inner in node.values())


def _read(node: Any) -> Iterator[str]:
    """Attributes of the context that an expression names."""
    if isinstance(node, list):
        for inner in node:
            yield from _read(inner)
    elif isinstance(node, dict):
        for operator in (".", "has"):
            inner = node.get(operator)
            if (
                isinstance(inner, dict)
                and inner.get("left") == {"Var": "context"}
                and isinstance(inner.get("attr"), str)
            ):
                yield inner["attr"]
        for inner in node.values():
            yield from _read(inner)

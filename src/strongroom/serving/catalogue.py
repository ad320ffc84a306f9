"""Which models answer now, and until when: one immutable value, swapped as a whole."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from strongroom.errors import HaltedError, NotFoundError, UnavailableError
from strongroom.serving.canary import Canary, canary_secret, covers, same_question
from strongroom.serving.served import ServedModel

log = logging.getLogger(__name__)

ANSWERING = ("champion", "fallback")


def halted_words(name: str) -> str:
    """What a caller is told of a halt: neither who nor why, which is between the bank's own people."""
    return f"model `{name}` is halted; nothing is answered until two persons lift it"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The admitted models.

    Attributes:
        models: by name; every admitted version, champion first.
        halted: why a model may not answer, by name; for the node's own people, never for callers.
        fresh_until_us: when the release metadata expires; from then on nothing is answered.
        trouble: why nothing can be answered at all just now, or None.
        canaries: by model; the challengers that answer a share of its subjects.
        standby: by model that may fail; who answers then, in order.
        shadows: by champion; the challenger that sees copies of what it answered.
    """

    models: Mapping[str, tuple[ServedModel, ...]] = field(default_factory=dict)
    halted: Mapping[str, str] = field(default_factory=dict)
    fresh_until_us: int = 0
    trouble: str | None = None
    canaries: Mapping[str, Canary] = field(default_factory=dict)
    standby: Mapping[ServedModel, tuple[ServedModel, ...]] = field(default_factory=dict)
    shadows: Mapping[ServedModel, ServedModel] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        models: Iterable[ServedModel],
        halted: Mapping[str, str],
        fresh_until_us: int,
        secrets: Mapping[int, bytes] = MappingProxyType({}),
    ) -> Catalogue:
        """Arrange admitted models by name, champions first.

        Args:
            models: as admitted.
            halted: see the class.
            fresh_until_us: see the class.
            secrets: the peppers of the room's nodes by number; there is no canary without the one that it names.
        """
        by_name: dict[str, tuple[ServedModel, ...]] = {}
        for model in sorted(models, key=lambda one: (one.ref.name, one.role != "champion", one.ref.manifest)):
            by_name[model.ref.name] = (*by_name.get(model.ref.name, ()), model)
        canaries: dict[str, Canary] = {}
        standby: dict[ServedModel, tuple[ServedModel, ...]] = {}
        shadows: dict[ServedModel, ServedModel] = {}
        for name, versions in by_name.items():
            champion = versions[0]
            if champion.role != "champion":
                continue
            wanted = champion.release.plan.fallback
            behind = tuple(one for one in versions[1:] if one.ref.manifest == wanted and covers(champion, one))
            if behind:
                standby[champion] = behind
            for one in versions[1:]:
                if one.role != "challenger":
                    continue
                if not one.canary_percent:
                    shadows[champion] = one
                elif not same_question(champion, one):
                    log.warning("the canary of `%s` takes other inputs than its champion, so it answers nobody", name)
                elif (secret := secrets.get(one.canary_pepper)) is None:
                    log.warning(
                        "the canary of `%s` answers nobody: this node lacks pepper %d of its room; as an operator, run "
                        "`strongroom node take-keys`",
                        name,
                        one.canary_pepper,
                    )
                else:
                    canaries[name] = Canary(one, one.canary_percent, canary_secret(secret, one.release_digest))
                    standby[one] = (champion, *(other for other in behind if other is not one))
        return cls(
            MappingProxyType(by_name),
            MappingProxyType(dict(halted)),
            fresh_until_us,
            canaries=MappingProxyType(canaries),
            standby=MappingProxyType(standby),
            shadows=MappingProxyType(shadows),
        )

    def demand_fresh(self, now_us: int) -> None:
        """Raises UnavailableError when nothing may be answered: no metadata yet, or expired."""
        if self.trouble is not None:
            raise UnavailableError(self.trouble, rule="trouble")
        if now_us >= self.fresh_until_us:
            raise UnavailableError(
                "the release metadata has expired and could not be refreshed, so nothing is answered", rule="expired"
            )

    def find(self, name: str, version: str | None) -> ServedModel:
        """The model that answers.

        Raises:
            NotFoundError: no such model or version is released here, or that version does not answer callers.
            HaltedError: a named person has halted it.
        """
        versions = self.models.get(name)
        if name in self.halted:
            raise HaltedError(halted_words(name), rule="halted")
        for served in versions or ():
            if (
                (served.role == "champion")
                if version is None
                else (served.version == version and served.role in ANSWERING)
            ):
                return served
        raise NotFoundError(
            f"no model `{name}` is released here" if version is None else f"model `{name}` has no such version here",
            rule="released",
        )

    def find_any(self, name: str, version: str | None) -> ServedModel:
        """The model whether or not it is halted; for metadata.

        Raises:
            NotFoundError: no such model or version answers callers here.
            HaltedError: it is halted, and not here to be described.
        """
        for served in self.models.get(name, ()):
            if served.role in ANSWERING and version in (None, served.version):
                return served
        if name in self.halted:
            # the node may not hold a model that was halted before it started; a caller is told why all the same
            raise HaltedError(halted_words(name), rule="halted")
        raise NotFoundError(f"no model `{name}`, or no such version of it, is released here", rule="released")

    def not_ready(self, now_us: int) -> str | None:
        """Why no model could answer now, in words that name none; None when one could."""
        if self.trouble is not None:
            return "no release is in force"
        if now_us >= self.fresh_until_us:
            return "the release metadata has expired and could not be refreshed"
        if all(name in self.halted for name in self.models):
            return "no model is released here that is not halted"
        return None

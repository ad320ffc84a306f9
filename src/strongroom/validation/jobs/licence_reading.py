"""Licences, read from the metadata of what is installed beside the job, or as the policy states them. No file of the
package is believed about them. SPDX expressions are read by `license-expression`.

Sources: SPDX specification 2.3, annex D (expressions); PEP 639 (`License-Expression`); PEP 503 (names).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import metadata
from types import MappingProxyType
from typing import Any, Final, Literal

from strongroom.errors import InvalidInputError
from strongroom.validation.scans.licences import (
    EXPRESSION_LIMIT,
    PACKAGES_LIMIT,
    Licence,
    LicenceFacts,
    LicenceRules,
    Standing,
    normal,
)

ToldBy = Literal["metadata", "words", "house", "nobody"]
_ORDER: Final[list[Standing]] = ["allowed", "unknown", "denied"]


_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "apache 2.0": "Apache-2.0",
        "apache license 2.0": "Apache-2.0",
        "apache license v2.0": "Apache-2.0",
        "apache license, version 2.0": "Apache-2.0",
        "bsd 3-clause": "BSD-3-Clause",
        "bsd 3-clause license": "BSD-3-Clause",
        "mit license": "MIT",
        "mozilla public license 2.0": "MPL-2.0",
    }
)
"""What the free field `License` says where it is no expression."""

_CLASSIFIERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Apache Software License": "Apache-2.0",
        # it does not say which: held to both
        "BSD License": "BSD-2-Clause AND BSD-3-Clause",
        "MIT License": "MIT",
        "ISC License (ISCL)": "ISC",
        "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
        "Python Software Foundation License": "PSF-2.0",
        "zlib/libpng License": "Zlib",
        "The Unlicense (Unlicense)": "Unlicense",
        "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
        "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
        "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
        "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
        "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.1-or-later",
        "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
        "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
        "GNU Affero General Public License v3": "AGPL-3.0-only",
        "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    }
)
"""Trove classifiers `License :: OSI Approved :: ...` as expressions; others say too little."""


def needed(environment: Mapping[str, str], requirements: bytes | None) -> tuple[dict[str, str], list[str]]:
    """Packages that a model's package names, with the version if it names one.

    Args:
        environment: `lineage.environment` of the contract.
        requirements: `requirements.txt` of an MLflow folder, or None. Read as a list of names; nothing is fetched.

    Returns:
        Versions by normalised name; lines that are no requirement by name.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    found: dict[str, str] = {}
    odd: list[str] = []
    for name, number in environment.items():
        try:
            found[normal(name)] = number
        except InvalidInputError:
            odd.append(name)
    for line in (requirements or b"").decode("utf-8", "replace").splitlines():
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            one = Requirement(text[:1000])
            exact = [spec.version for spec in one.specifier if spec.operator in ("==", "===")]
            found.setdefault(normal(one.name), exact[0] if exact else "")
            if one.url:
                odd.append(text)
        except (InvalidRequirement, InvalidInputError):
            odd.append(text)
    return found, odd


@cache
def _spdx() -> Any:
    """The identifiers of SPDX, which take a while to read."""
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


class Judge:
    """Reads and judges SPDX expressions by the house's rules."""

    def __init__(self, rules: LicenceRules) -> None:
        self._rules = rules
        self._licensing = _spdx()

    def licence(self, name: str, wanted: str) -> Licence:
        """One package, by its normalised name."""
        installed = ""
        expression: str | None = None
        told_by: ToldBy = "nobody"
        stated = self._rules.stated.get(name)
        try:
            found = metadata.metadata(name)
            installed = found["Version"] or ""
            expression, told_by = self._told(found)
        except metadata.PackageNotFoundError:
            pass
        if stated is not None and told_by != "metadata":
            expression, told_by = self.read(stated), "house"
        return Licence(
            package=name,
            wanted=wanted[:80],
            installed=installed,
            expression=expression,
            told_by=told_by if expression else "nobody",
            standing=self.standing(expression) if expression else "unknown",
        )

    def read(self, text: str) -> str | None:
        """An SPDX expression in its normal form, or None if it is none."""
        if not 0 < len(text) <= EXPRESSION_LIMIT or "\n" in text:
            return None
        from license_expression import ExpressionError

        try:
            node = self._licensing.parse(text, validate=True, strict=True)
        except (ExpressionError, RecursionError):
            return None
        return None if node is None else str(node)

    def standing(self, expression: str) -> Standing:
        """What the rules say of an expression.

        Raises:
            InvalidInputError: it is none.
        """
        if self.read(expression) is None:
            raise InvalidInputError("that is no SPDX expression", field="expression", rule="spdx")
        return self._standing(self._licensing.parse(expression))

    def _standing(self, node: Any) -> Standing:
        if isinstance(node, self._licensing.OR):
            return min((self._standing(one) for one in node.args), key=_ORDER.index)
        if isinstance(node, self._licensing.AND):
            return max((self._standing(one) for one in node.args), key=_ORDER.index)
        name = str(node)
        if name in self._rules.denied:
            return "denied"
        return "allowed" if name in self._rules.allowed else "unknown"

    def _told(self, found: Any) -> tuple[str | None, ToldBy]:
        expression = self.read(found["License-Expression"] or "")
        if expression is not None:
            return expression, "metadata"
        words = (found["License"] or "").strip()
        expression = self.read(words) or _WORDS.get(words.lower())
        if expression is not None:
            return expression, "words"
        heads = [one.rpartition(" :: ")[2] for one in found.get_all("Classifier") or () if one.startswith("License ::")]
        read = [_CLASSIFIERS[head] for head in heads if head in _CLASSIFIERS]
        # several classifiers do not say whether one may choose: held to all
        return (" AND ".join(dict.fromkeys(read)) if read and len(read) == len(heads) else None), "words"


def judge(packages: Mapping[str, str], rules: LicenceRules) -> LicenceFacts:
    """Judge packages by name and version.

    Raises:
        InvalidInputError: more packages than are looked up.
    """
    if len(packages) > PACKAGES_LIMIT:
        raise InvalidInputError(f"a model's package names more than {PACKAGES_LIMIT} packages", rule="count")
    one = Judge(rules)
    return LicenceFacts(rules=rules, packages=tuple(one.licence(name, packages[name]) for name in sorted(packages)))

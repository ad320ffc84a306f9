"""How deep and how long one Cedar rule may be.

Cedar's parser and evaluator call themselves once for each level: a thousand brackets inside one another overflow the
stack and end the process (cedarpy 4.12; found by `tests/attacks/test_hostile_cedar.py`). So the text is measured before
it is parsed.
"""

from __future__ import annotations

import re
from typing import Final

from strongroom.errors import TooLargeError

DEPTH_LIMIT: Final = 32
OPERATORS_LIMIT: Final = 120

# a text that nobody closes reaches to the end, so that no part of it is looked at twice
_TOKEN: Final = re.compile(
    r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|//[^\n]*|[()\[\]{};]|&&|\|\||[.+*!<>-]|\b(?:if|has|in|like|is|when|unless)\b',
    re.DOTALL,
)


def check_form(text: str, what: str) -> None:
    """Refuse what would be parsed too deep.

    Args:
        text: policies or a schema.
        what: the noun for the message.

    Raises:
        TooLargeError: brackets more than 32 deep, or a rule with more than 120 operators: split it.
    """
    depth = operators = 0
    for found in _TOKEN.finditer(text):
        mark = found[0]
        if mark[0] in '"/':
            continue
        if mark == ";":
            operators = 0
        elif mark in "([{":
            depth += 1
        elif mark in ")]}":
            depth -= 1
        else:
            operators += 1
        if depth > DEPTH_LIMIT:
            raise TooLargeError(f"the access {what} nest brackets more than {DEPTH_LIMIT} deep", rule="depth")
        if operators > OPERATORS_LIMIT:
            raise TooLargeError(
                f"a rule of the access {what} has more than {OPERATORS_LIMIT} operators; make it several rules",
                rule="size",
            )

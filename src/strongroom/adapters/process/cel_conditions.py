"""Conditions of diagrams in CEL (Common Expression Language), cut down to what cannot loop, call or grow."""

from __future__ import annotations

import re
from collections.abc import Mapping

import cel

from strongroom.approval.process import Answer
from strongroom.errors import InvalidInputError, TooLargeError

LENGTH_LIMIT = 500
DEPTH_LIMIT = 16

# A name before a bracket is a call. CEL's macros (map, filter, all, exists) are written as calls too; nothing limits
# their cost, and nested ones run for hours. `in (...)` is the one word that may stand there.
_CALL = re.compile(r"(?<![A-Za-z0-9_])(?!in\s*\()[A-Za-z_][A-Za-z0-9_]*\s*\(|\.\s*[A-Za-z_][A-Za-z0-9_]*\s*\(")
# no braces (messages, maps), no backslashes (escapes), no back ticks, no line ends
_PLAIN = re.compile(r"[A-Za-z0-9_ .,'\"()\[\]=!<>&|?:+-]*\Z")


class CelCondition:
    """Implements `approval.process.Condition`."""

    def __init__(self, text: str) -> None:
        if len(text) > LENGTH_LIMIT:
            raise TooLargeError(f"a condition has at most {LENGTH_LIMIT} characters", field="condition", rule="size")
        if not text.strip() or not _PLAIN.match(text):
            raise InvalidInputError("a condition is one line of comparisons", field="condition", rule="characters")
        if _CALL.search(text):
            raise InvalidInputError(
                "a condition compares; macros and functions are refused",
                field="condition",
                rule="call",
            )
        if _depth(text) > DEPTH_LIMIT:
            raise TooLargeError(f"a condition nests at most {DEPTH_LIMIT} deep", field="condition", rule="depth")
        try:
            self._program = cel.compile(text)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of the library below derives from BaseException
            raise InvalidInputError("a condition is not CEL", field="condition", rule="syntax") from error

    def evaluate(self, names: Mapping[str, object]) -> bool:
        """The value over plain values by name.

        Raises:
            InvalidInputError: a name is unknown, types do not fit, or the value is not true or false.
        """
        try:
            value = self._program.execute(dict(names))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # as above
            raise InvalidInputError(
                "a condition names a step that was not done yet, or compares what does not compare",
                field="condition",
                rule="evaluation",
            ) from error
        if not isinstance(value, bool):
            raise InvalidInputError("a condition is true or false, nothing else", field="condition", rule="type")
        return value

    def holds(self, answers: Mapping[str, Answer]) -> bool:
        """See `approval.process.Condition.holds`."""
        return self.evaluate({task: {"outcome": answer} for task, answer in answers.items()})


class CelConditions:
    """Implements `approval.process.Conditions`."""

    def compile(self, text: str) -> CelCondition:
        """See `approval.process.Conditions.compile`."""
        return CelCondition(text)


def _depth(text: str) -> int:
    """Nesting of brackets, and length of chains that the compiler descends into."""
    depth = deepest = 0
    for character in text:
        if character in "([":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")]":
            depth -= 1
    chains = max(len(re.findall(r"\?", text)), len(re.findall(r"!(?!=)", text)), len(re.findall(r"(?<!\w)-", text)))
    return max(deepest, chains)

"""One event, one line: how the processes of a node and the command line write their logs.

Names, reasons and error messages come from signed documents and from callers. A line break or an escape in them must
neither make a second line that looks like ours nor speak to the terminal of whoever reads the log.
"""

from __future__ import annotations

import copy
import logging
from typing import Any, Final, TextIO

from strongroom.vocabulary import one_line

MARGIN: Final = "    | "
"""Before each line of a traceback, so that none can pass for an event."""


class LineFormatter(logging.Formatter):
    """Spells out control characters, escapes and direction marks."""

    def format(self, record: logging.LogRecord) -> str:
        """The event as one line; a traceback as lines behind a margin, rendered here and not by another formatter."""
        event = copy.copy(record)
        event.exc_info = event.exc_text = event.stack_info = None
        parts = [one_line(super().format(event))]
        if record.exc_info:
            parts += _margin(self.formatException(record.exc_info))
        if record.stack_info:
            parts += _margin(self.formatStack(record.stack_info))
        return "\n".join(parts)


def log_to(stream: TextIO | None, form: str) -> None:
    """Write warnings and worse to a stream (standard error when None), unless something else was set up already.

    Args:
        stream: where to.
        form: a `logging` format.
    """
    handler: logging.StreamHandler[Any] = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(form))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _margin(text: str) -> list[str]:
    return [MARGIN + one_line(line) for line in text.split("\n")]

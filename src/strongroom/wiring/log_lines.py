"""One event, one line: how the processes of a node and the command line write their logs.

Names, reasons and error messages come from signed documents and from callers. A line break or an escape in them must
neither make a second line that looks like ours nor speak to the terminal of whoever reads the log.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, TextIO

from strongroom.vocabulary import one_line

MARGIN: Final = "    | "
"""Before each line of a traceback, so that none can pass for an event."""

SAY_AGAIN_S: Final = 10.0
EVENTS_KNOWN: Final = 256


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


class FewRepeats(logging.Filter):
    """Lets the same event through once in ten seconds, with how often it came meanwhile.

    What fails with each request, such as a full disk, would else fill the disk that the log is on.

    Args:
        clock_s: seconds, monotonic.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock_s = clock_s
        self._lock = threading.RLock()
        self._seen: OrderedDict[tuple[str, int, str, str], tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is written; then with how often it was not."""
        text, error = record.getMessage(), record.exc_info[1] if record.exc_info else None
        key = record.name, record.levelno, text, f"{type(error).__name__} {error}"
        now_s = self._clock_s()
        # a handler filters before it takes its lock, and threads log at once
        with self._lock:
            said_s, unsaid = self._seen.pop(key, (now_s - SAY_AGAIN_S, 0))
            if now_s - said_s < SAY_AGAIN_S:
                self._seen[key] = said_s, unsaid + 1
                return False
            self._seen[key] = now_s, 0
            if len(self._seen) > EVENTS_KNOWN:
                self._seen.popitem(last=False)
        if unsaid:
            record.msg, record.args = f"{text} ({unsaid} more times since this was last said)", None
        return True


def log_to(stream: TextIO | None, form: str) -> None:
    """Write warnings and worse to a stream (standard error when None), unless something else was set up already.

    Args:
        stream: where to.
        form: a `logging` format.
    """
    handler: logging.StreamHandler[Any] = logging.StreamHandler(stream)
    handler.addFilter(FewRepeats())
    handler.setFormatter(LineFormatter(form))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _margin(text: str) -> list[str]:
    return [MARGIN + one_line(line) for line in text.split("\n")]

"""How the demo tells its story: steps with their time, what was refused, what was proven, one summary file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from strongroom.errors import StrongroomError

NOT_REFUSED = "it was NOT refused"
WRONGLY = "refused for ANOTHER reason:"


@dataclass
class Story:
    """Collects what happened; every `held` is computed by the caller from what it saw."""

    console: Console
    steps: list[dict[str, Any]] = field(default_factory=list)
    proven: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A chapter: a heading, a spinner while it lasts, its seconds at the end."""
        number = len(self.steps) + 1
        self.console.print(f"\n[bold]{number}. {name}[/]")
        start = time.monotonic()
        with self.console.status(f"{name} ..."):
            yield
        seconds = round(time.monotonic() - start, 2)
        self.steps.append({"name": name, "seconds": seconds})
        self.console.print(f"   [dim]{seconds:.1f} s[/]")

    def say(self, text: str) -> None:
        """One line of the story."""
        self.console.print(f"   {text}", soft_wrap=True, highlight=False)

    def prove(self, what: str, held: bool, how: str) -> None:
        """Record a claim with what was computed about it."""
        self.proven.append({"what": what, "held": bool(held), "how": how})
        self.console.print(
            f"   [{'green' if held else 'bold red'}]{'held' if held else 'DID NOT HOLD'}[/]  {what}", soft_wrap=True
        )

    def refuse(self, what: str, code: str, attempt: Callable[[], object]) -> bool:
        """Try what must not work, and record the reason and the ledger entry it got.

        Args:
            what: was tried.
            code: of the refusal that it must get; another one would mean that something else was in the way.
            attempt: tries it.

        Returns:
            Whether it was refused with that code (anything but one of our errors is a bug and shows).
        """
        try:
            attempt()
        except StrongroomError as error:
            entry = getattr(error, "entry", None)
            reason = f"{error.code}: {error.message}"
            if error.code != code:
                reason = f"{WRONGLY} {reason}"
            self.refused.append({"what": what, "reason": reason, "entry": None if entry is None else str(entry)})
            self.console.print(f"   [yellow]refused[/]  {what}", soft_wrap=True)
            self.console.print(f"            [dim]{reason}[/]", soft_wrap=True)
            return error.code == code
        self.refused.append({"what": what, "reason": NOT_REFUSED, "entry": None})
        self.console.print(f"   [bold red]NOT REFUSED[/]  {what}", soft_wrap=True)
        return False

    @property
    def good(self) -> bool:
        """Whether every claim held."""
        return bool(self.proven) and all(claim["held"] for claim in self.proven)

    def close(self, summary: Path) -> None:
        """Print the table of what was proven and write the summary."""
        table = Table(title="What was proven", title_justify="left", show_edge=False, pad_edge=False)
        table.add_column("held")
        table.add_column("what", overflow="fold")
        table.add_column("how it was computed", overflow="fold", style="dim")
        for claim in self.proven:
            table.add_row("[green]yes[/]" if claim["held"] else "[bold red]NO[/]", claim["what"], claim["how"])
        self.console.print()
        self.console.print(table)
        document = {"steps": self.steps, "proven": self.proven, "refused": self.refused, "figures": self.figures}
        summary.write_text(json.dumps(document, indent=2) + "\n")

"""A challenger's way: shadow, canary, promotion and roll-back by signed rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from strongroom import verify
from strongroom.approval.automatic import read_rules
from strongroom.vocabulary import Digest
from tests.journeys.bank import Bank, applicants

RULES = """
[[rule]]
name = "withdraw"
then = "roll-back"
window_rows = 100
windows = 1
min_s = 0
[[rule.when]]
figure = "psi"
above = "1.5"

[[rule]]
name = "promote"
then = "promote"
window_rows = 30
windows = 2
min_s = 0
[[rule.when]]
figure = "error-rate"
below = "0.2"
[[rule.when]]
figure = "latency-p99-s"
below = "60"
[[rule.when]]
figure = "psi"
below = "6"
[[rule.when]]
figure = "score-shift"
below = "0.6"
[[rule.when]]
figure = "ks"
below = "0.9"
"""
PERCENT = 60
FIGURES = {"error_rate", "latency_p99_s", "psi", "score_shift", "ks"}


def terms(folder: Path) -> tuple[str, ...]:
    """What `propose` adds for a version that may be a canary and moved by rules."""
    file = folder / "rules.toml"
    file.write_text(RULES)
    return ("--canary", str(PERCENT), "--on-failure", "refer", "--rules", str(file))


def digest_of_rule(name: str) -> Digest:
    """As pointers and entries name it."""
    return next(rule.digest for rule in read_rules(RULES.encode()) if rule.name == name)


def enter_machine(bank: Bank) -> None:
    """A machine of the bank's with a key of its own and the role `operator`, signed by two custodians."""
    home, key = bank.folder / "homes" / "night-watch", bank.folder / "work" / "night-watch.pem"
    key.write_text(bank.run("night-watch", "people", "new", home, "--person", "night-watch")["key_pem"])
    words = ("people", "enter", "night-watch", "--key", key, "--service")
    assert bank.refused("cora", *words, "--role", "approver")["error"] == "invalid-input"
    bank.run("cora", *words, "--role", "operator")
    for custodian in ("cyril", "celia"):
        (signed,) = bank.run(custodian, "people", "sign", "--yes")
    assert any("+ service night-watch: operator" in line for line in signed["signed"])


def extremes(count: int, prefix: str) -> pd.DataFrame:
    """One and the same client again and again, under other names: the scores leave the reference behind."""
    one = applicants(1, prefix)
    return pd.concat([one] * count, ignore_index=True).assign(subject=[f"{prefix}-{n}" for n in range(count)])


def acts_by_rule(bank: Bank, rule: str) -> list[dict[str, Any]]:
    """Entries of the governance log that name a rule."""
    rows = bank.run("audrey", "log", "--last", 2000)
    return [row for row in rows if row["facts"].get("rule") == rule and row["outcome"] == "done"]


def verify_logs(bank: Bank) -> int:
    """As an auditor with `verify.py` and public keys alone: every entry of governance log and decision log."""
    trust = ["--policy", str(bank.policy), "--openings", str(bank.openings)]
    logs = (bank.room / "ledger" / "governance" / "public", bank.node / "ledger" / "0" / "public")
    return max(verify.main(["log", str(folder), *trust]) for folder in logs)

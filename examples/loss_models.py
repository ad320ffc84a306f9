"""Worked models of losses and exposures: fit, say honestly how well they fit, and write a package to submit.

    python -m examples.loss_models lgd OUT                    drawn from stated distributions
    python -m examples.loss_models ead OUT                    the same, credit conversion factors
    python -m examples.loss_models lendingclub OUT FILE       consumer loans
    python -m examples.loss_models sba OUT FILE               small-business loans
    python -m examples.loss_models cards OUT FILE             credit conversion factors of cards
    python -m examples.loss_models lendingclub-ead OUT FILE   what is left of consumer loans at their charge-off

OUT gets `package` (for `strongroom submit`) and `sample/validation.parquet` (for the validator, who would choose rows
of their own), with `sample/protected.parquet` where the data has a protected attribute. The models are small on
purpose; none is tuned.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestRegressor
from xgboost import XGBRegressor

import strongroom
from examples import loss_samples as samples
from strongroom.validation.results import evaluable
from strongroom.validation.statistics import losses, ordering

WHY = {"purpose": "bears on what is lost", "legal_basis": "GDPR Art. 6(1)(c)"}
UNITS = {
    "secured": "flag", "loan_to_value": "ratio", "seniority": "rank", "amount": "currency", "utilisation": "ratio",
    "limit": "currency", "months_on_book": "months", "int_rate": "percent a year", "sub_grade": "rank",
    "installment_share": "ratio", "gross": "dollar", "guaranteed": "ratio", "employees": "persons",
    "new_business": "flag", "urban": "code", "revolving": "flag", "low_doc": "flag", "real_estate": "flag",
    "payment_status": "months late, 0 or below: not late", "repaid": "ratio",
}  # fmt: skip
WHO: Mapping[str, Any] = {"samples": {"subject": "subject"}}
MOMENTS = {"time": "observed", "outcome_time": "outcome_known"}
LOSS = "share of the exposure at default that was lost: 1 - (recoveries - costs) / exposure"


@dataclass(frozen=True)
class Split:
    """Rows for development, for the reference sample, and for the validator."""

    development: pd.DataFrame
    reference: pd.DataFrame
    validation: pd.DataFrame


@dataclass(frozen=True)
class Worked:
    """A model with its samples.

    Attributes:
        contract: for `strongroom.package`.
        features, outcome: columns.
        split: the samples.
        model: fitted.
    """

    contract: Mapping[str, Any]
    features: tuple[str, ...]
    outcome: str
    split: Split
    model: Any

    def write(self, folder: Path) -> Any:
        """Write `package` and `sample` into a folder."""
        (folder / "sample").mkdir(parents=True)
        columns = [*self.features, self.outcome, *dict.fromkeys(self._columns())]
        self.split.validation[list(dict.fromkeys(columns))].to_parquet(folder / "sample" / "validation.parquet")
        protected = list(self.contract.get("protected", ()))
        if protected:
            self.split.validation[protected].to_parquet(folder / "sample" / "protected.parquet")
        return strongroom.package(
            self.model, folder / "package", contract=self.contract, outcome=self.outcome,
            development=self.split.development, reference=self.split.reference,
        )  # fmt: skip

    def figures(self) -> dict[str, float]:
        """How well it fits, in and out of the development sample."""
        found = {}
        for name, sample in (("development", self.split.development), ("validation", self.split.validation)):
            came = sample[self.outcome].to_numpy(float)
            told = self.model.predict(sample[list(self.features)].to_numpy(np.float32)).astype(float)
            tested, ordered = losses.t_test(came, told), ordering.gauc(came, told)
            found |= {
                f"{name} rows": float(len(sample)),
                f"{name} mean realised": float(came.mean()),
                f"{name} mean estimated": float(told.mean()),
                f"{name} R2": float(evaluable(losses.r_squared(came, told))),
                f"{name} gAUC": float(getattr(ordered, "value", np.nan)),
                f"{name} p": float(getattr(tested, "upper", np.nan)),
            }
        return found

    def _columns(self) -> list[str]:
        names = ("exposure", "limit", "drawn", "downturn", "time", "outcome_time")
        subject = self.contract.get("samples", {}).get("subject")
        named = [self.contract["outcome"][name] for name in names if name in self.contract["outcome"]]
        return named if subject is None else [*named, subject]


def drawn_lgd(rows: int = 6000, seed: int = 1) -> Worked:
    """A loss given default on drawn loans."""
    table = samples.drawn_lgd(rows, seed)
    outcome = {"parameter": "lgd", "exposure": "ead", "downturn": "downturn", "downturn_add_on": "0.08", **MOMENTS}
    split = _dated(_shuffled(table, seed), 1080.0)
    return _lgd("lgd-drawn", "LGD of drawn loans", table, samples.LGD_FEATURES, split, outcome)


def drawn_ead(rows: int = 6000, seed: int = 1) -> Worked:
    """A credit conversion factor on drawn credit lines."""
    table = samples.drawn_ead(rows, seed)
    contract = _contract(
        "ead-drawn", "CCF of drawn credit lines", "ead", table, samples.EAD_FEATURES,
        {"name": "ccf", "unit": "credit conversion factor", "minimum": "-0.5", "maximum": "1.5"},
        {
            "meaning": "share of the limit undrawn a year before the default that was drawn by then",
            "window": "12 months before the default", "parameter": "ccf", "limit": "limit", "drawn": "drawn", **MOMENTS,
        },
    )  # fmt: skip
    split = _dated(_shuffled(table, seed), 365.0)
    return Worked(contract, samples.EAD_FEATURES, "ccf", split, _fit(split, samples.EAD_FEATURES, "ccf"))


def lendingclub(file: Path) -> Worked:
    """Built on loans of April to June, referred to those of July, tested on those of August."""
    table = samples.lendingclub(file)
    outcome = {"parameter": "lgd", "exposure": "ead", "time": "observed"}
    features = samples.LENDING_FEATURES
    return _lgd("lgd-lendingclub", "LGD of consumer loans", table, features, _by_month(table), outcome)


def sba(file: Path) -> Worked:
    """Rows are dealt at random: by date there would be too few on one side of the recession."""
    table = samples.sba(file)
    outcome = {"parameter": "lgd", "exposure": "ead", "downturn": "downturn"}
    return _lgd("lgd-sba", "Loss on small-business loans", table, samples.SBA_FEATURES, _shuffled(table, 3), outcome)


def cards(file: Path) -> Worked:
    """Rows are dealt at random: all share one reference date and one horizon, so there is no later year to test on."""
    table = samples.cards(file)
    contract = _contract(
        "ccf-cards", "CCF of credit cards", "ead", table, samples.CARD_FEATURES,
        {"name": "ccf", "unit": "credit conversion factor", "minimum": "0", "maximum": "2"},
        {
            "meaning": "share of what was undrawn at the April statement that was drawn by the September statement, "
            "the last before the default in October: not below 0, not cut above; with interest and fees, and without "
            "what was drawn between the last statement and the default",
            "window": "6 months before the default, at fixed horizon", "minimum": "0", "parameter": "ccf",
            "limit": "limit", "drawn": "drawn", **MOMENTS,
        },
    )  # fmt: skip
    contract["product"] = "credit cards"
    # a card that is nearly drawn is out of scope, and the gateway says so
    contract["input"]["features"][0]["maximum"] = str(1.0 - samples.HEADROOM)
    split, features = _shuffled(table, 3), samples.CARD_FEATURES
    model = _forest(split, features, "ccf")
    return Worked({**contract, **WHO, "protected": ["sex"]}, features, "ccf", split, model)


def lendingclub_ead(file: Path) -> Worked:
    """The loans of `lendingclub` as commitments, all undrawn on the day of signing; built and tested as there."""
    table = samples.lendingclub(file)
    contract = _contract(
        "ead-lendingclub", "Exposure of consumer loans at charge-off", "ead", table, samples.LENDING_FEATURES,
        {"name": "ccf", "unit": "credit conversion factor", "minimum": "0", "maximum": "1"},
        {
            "meaning": "share of the amount lent that was outstanding at charge-off: principal, without interest and "
            "fees; the loan is read as a commitment with nothing drawn when it is signed, so this is amortisation "
            "and no drawing behaviour",
            "window": "from signing to charge-off, at most 36 months", "minimum": "0", "maximum": "1",
            "parameter": "ccf", "limit": "amount", "drawn": "drawn", "time": "observed",
        },
    )  # fmt: skip
    split, features = _by_month(table), samples.LENDING_FEATURES
    return Worked({**contract, **WHO}, features, "ccf", split, _forest(split, features, "ccf"))


def _lgd(
    name: str, title: str, table: pd.DataFrame, features: tuple[str, ...], split: Split, outcome: Mapping[str, str]
) -> Worked:
    output = {"name": "lgd", "unit": "share of exposure", "minimum": "-0.5", "maximum": "1.5"}
    told = {"meaning": LOSS, "window": "to the end of the workout, at most 36 months after the default", **outcome}
    contract = _contract(name, title, "lgd", table, features, output, told)
    return Worked(contract, features, "lgd", split, _fit(split, features, "lgd"))


def _fit(split: Split, features: tuple[str, ...], outcome: str) -> XGBRegressor:
    model = XGBRegressor(
        n_estimators=40, max_depth=2, learning_rate=0.15, min_child_weight=20, n_jobs=1, random_state=1
    )
    rows = split.development[list(features)].to_numpy(np.float32)
    return model.fit(rows, split.development[outcome].to_numpy(float))


def _forest(split: Split, features: tuple[str, ...], outcome: str) -> RandomForestRegressor:
    """Means of outcomes: no estimate lies outside of what was seen, so none below 0."""
    model = RandomForestRegressor(60, max_depth=6, min_samples_leaf=25, random_state=1, n_jobs=1)
    rows = split.development[list(features)].to_numpy(np.float32)
    return model.fit(rows, split.development[outcome].to_numpy(float))


def _contract(
    name: str, title: str, kind: str, table: pd.DataFrame, features: tuple[str, ...], output: Mapping[str, str],
    outcome: Mapping[str, str],
) -> dict[str, Any]:  # fmt: skip
    def feature(column: str) -> dict[str, Any]:
        values = table[column]
        whole = bool(np.issubdtype(values.dtype, np.integer))
        span = float(values.max() - values.min())
        low, high = float(values.min()) - 0.5 * span, float(values.max()) + 0.5 * span
        # nothing that counts or measures goes below zero because a sample is wide
        low = max(low, 0.0) if values.min() >= 0 else low
        bounds = (f"{low:.6g}", f"{high:.6g}")
        if whole:
            bounds = ("0", "1") if UNITS[column] == "flag" else (str(int(np.floor(low))), str(int(np.ceil(high))))
        return {
            "name": column, "type": "integer" if whole else "float", "unit": UNITS[column],
            "minimum": bounds[0], "maximum": bounds[1], **WHY,
        }  # fmt: skip

    return {
        "name": name, "kind": kind, "tier": 2, "title": title, "owner": "capital models", "product": "loans",
        "process": "capital", "purposes": ["capital"], "jurisdictions": ["EU"], "environments": ["production"],
        "input": {"features": [feature(column) for column in features], "max_rows": 1000},
        "output": dict(output), "outcome": dict(outcome),
    }  # fmt: skip


def _shuffled(table: pd.DataFrame, seed: int) -> Split:
    order = np.random.default_rng(seed).permutation(len(table))
    first, second = int(0.5 * len(table)), int(0.65 * len(table))
    return Split(table.iloc[order[:first]], table.iloc[order[first:second]], table.iloc[order[second:]])


def _by_month(table: pd.DataFrame) -> Split:
    month = table["month"].str[:7]
    return Split(table[month <= "2015-06"], table[month == "2015-07"], table[month == "2015-08"])


def _dated(split: Split, until_days: float) -> Split:
    """The drawn rows in the order of their samples, observed day by day over four years, the outcome known later on."""

    def dated(rows: pd.DataFrame, since: int) -> pd.DataFrame:
        places = since + np.arange(len(rows))
        observed = np.floor(1460.0 * places / total)
        return rows.assign(observed=observed, outcome_known=observed + 1.0 + (37.0 * places) % until_days)

    total = len(split.development) + len(split.reference) + len(split.validation)
    first, second = len(split.development), len(split.development) + len(split.reference)
    return Split(dated(split.development, 0), dated(split.reference, first), dated(split.validation, second + 5))


READERS: Mapping[str, Callable[..., Worked]] = {
    "lgd": drawn_lgd, "ead": drawn_ead, "lendingclub": lendingclub, "sba": sba, "cards": cards,
    "lendingclub-ead": lendingclub_ead,
}  # fmt: skip


def main(arguments: list[str]) -> None:
    """See the module's docstring."""
    if len(arguments) not in (2, 3) or arguments[0] not in READERS:
        raise SystemExit(__doc__)
    made = READERS[arguments[0]](*map(Path, arguments[2:]))
    package = made.write(Path(arguments[1]))
    for name, value in made.figures().items():
        print(f"{name:<28}{value:12.4f}")
    print(package.ref)


if __name__ == "__main__":
    main(sys.argv[1:])

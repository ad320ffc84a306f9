"""Write `docs/reference/portfolio-columns.md` from the columns that the code knows."""

from __future__ import annotations

import math
from pathlib import Path

from strongroom.adapters.tables.portfolio_files import EXPOSURES
from strongroom.planning.portfolio import AMOUNT_LIMIT, COLUMNS, ROWS_LIMIT, TEXT_LIMIT, Column

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "portfolio-columns.md"
WORDS = {
    "row": "number in the portfolio, from 0", "exposure": "as in the portfolio", "group": "as in the portfolio",
    "class": "as in the portfolio", "treatment": "how it is weighed, and why", "pd": "after floors; 1 in default",
    "lgd": "after floors, or supervisory", "ead": "after floors, or converted", "risk_weight": "a fraction",
    "rwa": "risk-weighted amount", "standardised_rwa": "if it were standardised",
    "expected_loss": "regulatory; 0 where standardised", "stage": "IFRS 9; null for equity, which is not impaired",
    "ecl_12m": "weighted over scenarios; null where a PD or LGD is missing", "ecl_lifetime": "the same over its life",
    "ecl": "the one of its stage", "pd_decision_id": "null where not scored", "lgd_decision_id": "the same",
    "ead_decision_id": "the same",
}  # fmt: skip


def _may_hold(column: Column) -> str:
    if column.kind == "choice":
        return ", ".join(f"`{one}`" for one in column.choices)
    if column.kind == "text":
        return f"text or whole number, up to {TEXT_LIMIT} characters"
    if column.kind == "flag":
        return "true, false"
    top = "" if column.high == AMOUNT_LIMIT else f" to {column.high:g}"
    return f"{'whole number' if column.kind == 'whole' else 'number'} from {column.low:g}{top}"


def _default(column: Column) -> str:
    if column.required:
        return "required"
    if math.isnan(column.default):
        return ""
    if column.kind == "choice":
        named = column.choices[int(column.default)]
        return f"`{named}`"
    return "false" if column.kind == "flag" else f"{column.default:g}"


def page() -> str:
    """The page's text."""
    lines = [
        "# Columns of a portfolio", "",
        "This page is made from the code (`python -m tools.make_columns`); a test fails when it is stale.", "",
        f"`strongroom plan` reads Parquet with 1 to {ROWS_LIMIT:,} rows. All amounts are in one currency.",
        "Other columns are not read, but for the features of models that are asked, and those that `--pd-column`,",
        "`--lgd-column` and `--ead-column` name. A null is the default.",
        "", "| column | holds | may hold | default |", "|---|---|---|---|",
    ]  # fmt: skip
    lines += [f"| `{one.name}` | {one.words} | {_may_hold(one)} | {_default(one)} |" for one in COLUMNS]
    lines += [
        "",
        "## Columns of the result",
        "",
        "`exposures.parquet` has a row for each exposure, in the same order.",
        "",
    ]
    lines += ["| column | type | holds |", "|---|---|---|"]
    lines += [f"| `{field.name}` | {field.type} | {WORDS[field.name]} |" for field in EXPOSURES]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())

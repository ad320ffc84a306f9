"""What the committee reads: a plan's figures as words and tables, made of its document alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from strongroom.planning.drawing import pictures
from strongroom.planning.money import Money
from strongroom.planning.results import Inputs, Plan

NAMES_SHOWN: Final = 10
MONTHS_SHOWN: Final = 12


class Sheet(msgspec.Struct, frozen=True):
    """A table; with `right`, all columns but the first stand right."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: bool = True


class Listing(msgspec.Struct, frozen=True):
    """Many short lines under one head, set in columns."""

    title: str
    lines: tuple[str, ...]


class Image(msgspec.Struct, frozen=True):
    """A picture, how it is called and how it is read."""

    name: str
    words: str
    svg: str


class Chapter(msgspec.Struct, frozen=True):
    """A section of the paper."""

    title: str
    notes: tuple[str, ...] = ()
    tables: tuple[Sheet, ...] = ()
    pictures: tuple[Image, ...] = ()
    lists: tuple[Listing, ...] = ()


class Headline(msgspec.Struct, frozen=True):
    """A figure of the first page."""

    name: str
    value: str
    words: str


class Paper(msgspec.Struct, frozen=True):
    """The whole paper, for `pages/committee.typ`."""

    title: str
    subtitle: str
    footer: str
    figures: tuple[Headline, ...]
    sections: tuple[Chapter, ...]


def percent(text: str | None, places: int = 2) -> str:
    """A share in percent; empty for None."""
    return "" if text is None else f"{100.0 * float(text):.{places}f}%"


def paper_of(plan: Plan, plan_sha256: str) -> Paper:
    """The paper.

    Args:
        plan: the document.
        plan_sha256: of its bytes, which the paper names on every page.
    """
    money, drawn = Money(plan), {one.name: Image(one.name, one.words, str(one.svg)) for one in pictures(plan)}

    def shown(*names: str) -> tuple[Image, ...]:
        return tuple(drawn[name] for name in names if name in drawn)

    inputs = plan.inputs
    return Paper(
        title=f"Capital plan: {inputs.scenario_name}",
        subtitle=(
            f"{inputs.exposures:,} exposures as of {inputs.as_of}, rules of {inputs.regime} ({inputs.rules_version}), "
            f"amounts in {money.unit}"
        ),
        footer=f"Made of plan {plan_sha256[:16]}. Research rules, no legal advice.",
        figures=_headlines(plan, money),
        sections=(
            Chapter("Capital by exposure class", _treatments(plan, money), (_classes(plan, money),)),
            Chapter(
                "Output floor and provisions", _floor_notes(plan, money), (_floor(plan, money),), shown("Output floor")
            ),
            Chapter(
                "Expected credit losses (IFRS 9)", _ecl_notes(plan, money), _ecl(plan, money),
                shown("Expected credit losses"),
            ),
            Chapter(
                "Stress", _stress_notes(plan), (_stress(plan, money),),
                shown("RWA under stress", "CET1 ratio under stress"),
            ),
            Chapter("Concentration", (), _concentration(plan, money), shown("Largest names")),
            Chapter("Repayments", (), (_repayments(plan, money),), shown("Repayments")),
            Chapter(
                "Where the figures come from", (), _sources(plan),
                lists=(*_by_default(inputs), Listing("Where the rules stand", inputs.rules_sources)),
            ),
            Chapter("Limits of this plan", lists=(Listing("", plan.limitations),)),
        ),
    )  # fmt: skip


def _headlines(plan: Plan, money: Money) -> tuple[Headline, ...]:
    floor, ratios = plan.output_floor[0], plan.ratios
    bound = "the output floor binds" if floor.binding else "the output floor does not bind"
    found = [
        Headline(f"Risk-weighted assets, {money.unit}", money(floor.rwa), bound),
        Headline(f"Expected loss, {money.unit}", money(plan.provisions.expected_loss), "regulatory, IRB exposures"),
        Headline(f"Expected credit losses, {money.unit}", money(plan.ifrs9.ecl), "IFRS 9, weighted over scenarios"),
    ]
    if ratios is not None:
        found.append(Headline("CET1 ratio", percent(ratios.after_floor), "after shortfall and floor"))
        stressed = [(float(row.cet1_ratio), row) for row in plan.stress if row.cet1_ratio is not None]
        if stressed:
            _, worst = min(stressed, key=lambda pair: pair[0])
            words = f"scenario {worst.scenario}, year {worst.year}"
            found.append(Headline("Lowest CET1 ratio under stress", percent(worst.cet1_ratio), words))
    else:
        found.append(
            Headline(
                f"Capital at 8%, {money.unit}", money(plan.total.capital), "of risk-weighted assets before the floor"
            )
        )
    return tuple(found)


def _treatments(plan: Plan, money: Money) -> tuple[str, ...]:
    notes = [
        f"{one.exposures:,} {'exposure is' if one.exposures == 1 else 'exposures are'} weighed {one.words} "
        f"(EAD {money(one.ead)}, RWA {money(one.rwa)})."
        for one in plan.treatments
    ]
    floors = plan.floors
    notes.append(
        f"Floors moved the PD of {floors.pd:,}, the LGD of {floors.lgd:,} and the EAD of {floors.ead:,} exposures; "
        f"{floors.supervisory_lgd:,} {'has' if floors.supervisory_lgd == 1 else 'have'} a supervisory LGD."
    )
    if floors.risk_weight is not msgspec.UNSET:
        notes.append(f"A floor of the risk weight moved {floors.risk_weight:,} exposures.")
    return tuple(notes)


def _classes(plan: Plan, money: Money) -> Sheet:
    return Sheet(
        ("Class", "Number", "In default", "EAD", "PD", "LGD", "RWA", "Density", "Standardised", "EL", "Capital (8%)"),
        tuple(
            (
                row.name, f"{row.exposures:,}", f"{row.defaulted:,}", money(row.ead), percent(row.mean_pd),
                percent(row.mean_lgd, 1), money(row.rwa), percent(row.density, 1), money(row.standardised_rwa),
                money(row.expected_loss), money(row.capital),
            )
            for row in (*plan.classes, plan.total)
        ),
    )  # fmt: skip


def _floor_notes(plan: Plan, money: Money) -> tuple[str, ...]:
    against = plan.provisions
    return (
        f"Expected loss of {money(against.expected_loss)} against provisions of {money(against.provisions)}: "
        f"{money(against.cet1_deduction)} comes off CET1, {money(against.tier2_addback)} counts as Tier 2.",
    )


def _floor(plan: Plan, money: Money) -> Sheet:
    rows = [
        (
            row.day, "none" if row.percent is None else f"{float(row.percent):g}%", money(row.before),
            money(row.standardised), money(row.rwa), money(row.added), "yes" if row.binding else "no",
        )
        for row in plan.output_floor
    ]  # fmt: skip
    return Sheet(("Day", "Floor", "RWA before", "Standardised", "RWA", "Added", "Binds"), tuple(rows))


def _ecl_notes(plan: Plan, money: Money) -> tuple[str, ...]:
    found, more = plan.ifrs9, float(plan.ifrs9.ecl) - float(plan.ifrs9.at_mean_path)
    notes = [
        f"All in stage 1 it would be {money(found.twelve_months)}, all in stage 2 {money(found.lifetime)}. "
        f"The mean path alone gives {money(found.at_mean_path)}: taking all scenarios adds {money(str(more))}."
    ]
    if found.not_evaluable:
        notes.append(
            f"{found.not_evaluable:,} exposures (EAD {money(found.not_evaluable_ead)}) have no ECL, since a PD or LGD "
            "is missing."
        )
    if found.not_in_scope is not msgspec.UNSET and found.not_in_scope_ead is not msgspec.UNSET:
        notes.append(
            f"Equity is not impaired (IFRS 9 5.5.1) and has no stage: {found.not_in_scope:,} "
            f"{'exposure' if found.not_in_scope == 1 else 'exposures'}, EAD {money(found.not_in_scope_ead)}."
        )
    return tuple(notes)


def _ecl(plan: Plan, money: Money) -> tuple[Sheet, ...]:
    stages = tuple(
        (str(row.stage), f"{row.exposures:,}", money(row.ead), money(row.ecl), percent(row.coverage))
        for row in plan.ifrs9.stages
    )
    scenarios = tuple(
        (row.name, percent(row.weight, 0), money(row.ecl), ", ".join(f"{float(z):+.2f}" for z in row.z))
        for row in plan.ifrs9.scenarios
    )
    return (
        Sheet(("Stage", "Number", "EAD", "ECL", "Coverage"), stages),
        Sheet(("Scenario", "Weight", "ECL if certain", "State z by year"), scenarios),
    )


def _stress_notes(plan: Plan) -> tuple[str, ...]:
    return (
        f"Paths move PD by the {plan.inputs.link} link and LGD by its slope, as the scenario document says. "
        "The balance sheet is static: no income, no tax, no new business.",
    )


def _stress(plan: Plan, money: Money) -> Sheet:
    return Sheet(
        ("Scenario", "Year", "PD", "Losses", "EL", "RWA before floor", "RWA", "CET1 ratio"),
        tuple(
            (
                row.scenario, str(row.year), percent(row.mean_pd), money(row.losses), money(row.expected_loss),
                money(row.rwa_before_floor), money(row.rwa), percent(row.cet1_ratio),
            )
            for row in plan.stress
        ),
    )  # fmt: skip


def _concentration(plan: Plan, money: Money) -> tuple[Sheet, ...]:
    groupings = tuple(
        (
            row.name, f"{row.groups:,}", f"{float(row.by_exposure):.4g}", f"{float(row.by_number):.4g}",
            f"{float(row.effective):,.1f}",
        )
        for row in plan.concentration
    )  # fmt: skip
    names = tuple(
        (f"rank {row.rank}, group of row {row.first_row}", money(row.ead), percent(row.share))
        for row in plan.largest[:NAMES_SHOWN]
    )
    return (
        Sheet(("Over", "Groups", "HHI by exposure", "HHI by number", "Effective number"), groupings),
        Sheet(("Largest groups of connected clients", "EAD", "Share"), names),
    )


def _repayments(plan: Plan, money: Money) -> Sheet:
    return Sheet(
        ("Month", "Principal", "Interest", "Expected principal", "Of it prepaid", "Expected interest", "Balance"),
        tuple(
            (
                str(row.month), money(row.principal), money(row.interest), money(row.expected_principal),
                money(row.prepaid), money(row.expected_interest), money(row.balance),
            )
            for row in plan.repayments[:MONTHS_SHOWN]
        ),
    )  # fmt: skip


def _signed(inputs: Inputs) -> tuple[tuple[str, str], ...]:
    found = inputs.scenario_signed
    if isinstance(found, msgspec.UnsetType):
        return (("scenario signed by", "nobody"),)
    return (
        (
            "scenario signed by",
            f"{found.author}, for days from {found.effective_from} until before {found.effective_until}",
        ),
        ("signature of the scenario", found.signature_sha256),
    )


def _by_default(inputs: Inputs) -> tuple[Listing, ...]:
    found = inputs.columns_by_default
    if isinstance(found, msgspec.UnsetType) or not found:
        return ()
    return (Listing("Columns that the portfolio does not have, each taken at its default", found),)


def _sources(plan: Plan) -> tuple[Sheet, ...]:
    inputs = plan.inputs
    rows: list[tuple[str, ...]] = [
        (
            one.figure.upper(),
            {"model": "scored by model", "column": "given in column", "rule": "by rule"}[one.kind] + f" {one.name}",
            f"{one.answered:,} decisions, {one.refused:,} refused" if one.kind == "model" else "not scored",
            one.proof_sha256 or "",
        )
        for one in inputs.sources
    ]
    digests: Sequence[tuple[str, str]] = (
        ("portfolio", inputs.portfolio_sha256), ("exposures with decision ids", plan.exposures_sha256),
        ("scenario document", inputs.scenario_sha256), *_signed(inputs), ("rules", inputs.rules_sha256),
        ("rules not held against the text", str(inputs.rules_unchecked)),
    )  # fmt: skip
    heads: tuple[str, ...] = ("Figure", "Source", "Rows", "SHA-256 of the proof")
    if not any(row[-1] for row in rows):
        # nothing was scored, so nothing has a proof
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    return (
        Sheet(heads, tuple(rows), right=False),
        Sheet(("What", "SHA-256 or value"), tuple(digests), right=False),
    )

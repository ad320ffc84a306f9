"""One run over a portfolio: part after part goes in, sums are kept, one document comes out."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.planning.classes import CLASSES, Flags, Floats
from strongroom.planning.concentration import concentration, largest
from strongroom.planning.expected_loss import against_provisions
from strongroom.planning.outlook import Outlook, StressSums, losses_ahead, stress
from strongroom.planning.output_floor import Floored, apply_floor
from strongroom.planning.portfolio import Part
from strongroom.planning.repayments import Month, forecast
from strongroom.planning.results import (
    ClassRow,
    ConcentrationRow,
    Floors,
    FloorYear,
    Ifrs9,
    Inputs,
    MonthRow,
    NameRow,
    Plan,
    Provisions,
    Ratios,
    ScenarioRow,
    StageRow,
    StressRow,
    Treatment,
    amount,
    share,
)
from strongroom.planning.rules import RuleBook, Rules, cap_on, floor_on
from strongroom.planning.scenario import Document
from strongroom.planning.weighing import REASONS, Weighed, weigh
from strongroom.vocabulary import Digest

CAPITAL_SHARE: Final = 0.08
"""Minimum total capital over risk-weighted assets (RBC20.1)."""
NAMES_SHOWN: Final = 20
FLOOR_YEARS: Final = 6


@dataclass(frozen=True, slots=True)
class Figures:
    """What a part came to, one value an exposure; see `Weighed` and `Outlook`."""

    weighed: Weighed
    outlook: Outlook


@dataclass(slots=True)
class Tally:
    """Sums so far. Arrays over classes have one place more, for nothing: the total is summed from them.

    Args:
        rules: in force.
        document: scenarios.
    """

    rules: Rules
    document: Document
    sums: dict[str, Floats] = field(default_factory=dict)
    bound: NDArray[np.int64] = field(default_factory=lambda: np.zeros(5, np.int64))
    reasons: Floats = field(default_factory=lambda: np.zeros((3, len(REASONS))))
    stages: Floats = field(default_factory=lambda: np.zeros((3, 3)))
    losses: Floats = field(default_factory=lambda: np.zeros(7))
    by_scenario: Floats = field(default_factory=lambda: np.zeros(0))
    irb: Floats = field(default_factory=lambda: np.zeros(2))
    stressed: list[StressSums] = field(default_factory=list)
    months: list[Month] = field(default_factory=list)

    def add(self, part: Part) -> Figures:
        """Weigh a part and keep its sums."""
        weighed = weigh(part, self.rules)
        outlook = losses_ahead(part, weighed, self.rules, self.document)
        self._by_class(part, weighed)
        self._by_reason(part, weighed)
        self._ahead(part, weighed, outlook)
        return Figures(weighed, outlook)

    def _by_class(self, part: Part, weighed: Weighed) -> None:
        alive = ~part.defaulted
        known_pd, known_lgd = ~np.isnan(weighed.pd) & alive, ~np.isnan(weighed.lgd)
        columns = {
            "exposures": np.ones(len(part)), "defaulted": part.defaulted.astype(float), "drawn": part.drawn,
            "ead": weighed.ead, "rwa": weighed.rwa, "standardised_rwa": weighed.standardised_rwa,
            "expected_loss": weighed.expected_loss,
            "pd_ead": np.where(known_pd, weighed.pd * weighed.ead, 0.0), "of_pd": np.where(known_pd, weighed.ead, 0.0),
            "lgd_ead": np.where(known_lgd, weighed.lgd * weighed.ead, 0.0),
            "of_lgd": np.where(known_lgd, weighed.ead, 0.0),
        }  # fmt: skip
        for name, values in columns.items():
            found: Floats = np.bincount(part.classes, weights=values, minlength=len(CLASSES)).astype(np.float64)
            self.sums[name] = found if name not in self.sums else self.sums[name] + found

    def _by_reason(self, part: Part, weighed: Weighed) -> None:
        for place, values in enumerate((np.ones(len(part)), weighed.ead, weighed.rwa)):
            self.reasons[place] += np.bincount(weighed.reason, weights=values, minlength=len(REASONS))
        marks = (weighed.pd_bound, weighed.lgd_bound, weighed.ead_bound, weighed.supervisory, weighed.weight_bound)
        self.bound += np.array([np.count_nonzero(mark) for mark in marks])
        modelled = weighed.internal
        self.irb += np.array([weighed.rwa[modelled].sum(), part.provisions[modelled].sum()])

    def _ahead(self, part: Part, weighed: Weighed, outlook: Outlook) -> None:
        for place, values in enumerate((np.ones(len(part)), outlook.ead, outlook.ecl)):
            self.stages[place] += np.bincount(outlook.stage - 1, weights=values * outlook.in_scope, minlength=3)
        unknown, outside = ~outlook.evaluable & outlook.in_scope, ~outlook.in_scope
        self.losses += np.array(
            [
                outlook.ecl_12m.sum(), outlook.ecl_lifetime.sum(), outlook.at_mean.sum(), np.count_nonzero(unknown),
                outlook.ead[unknown].sum(), np.count_nonzero(outside), outlook.ead[outside].sum(),
            ]
        )  # fmt: skip
        found = outlook.by_scenario.sum(axis=1)
        self.by_scenario = found if not len(self.by_scenario) else self.by_scenario + found
        self.stressed = _added(self.stressed, stress(part, weighed, outlook, self.rules, self.document))
        months = forecast(
            part.drawn, part.eir, part.months, part.amortisation, np.nan_to_num(part.pd),
            np.asarray((outlook.stage == 3) | outside), self.document.horizon_months, self.document.prepayment_rate,
        )  # fmt: skip
        if self.months:
            months = [
                Month(mine.month, *(a + b for a, b in zip(mine[1:], other[1:], strict=True)))
                for mine, other in zip(self.months, months, strict=True)
            ]
        self.months = months

    @property
    def total(self) -> dict[str, float]:
        """Sums over all classes."""
        return {name: float(values.sum()) for name, values in self.sums.items()}


def _added(mine: list[StressSums], other: list[StressSums]) -> list[StressSums]:
    if not mine:
        return other
    names = [one.name for one in fields(StressSums)]
    return [
        StressSums(**{name: getattr(a, name) + getattr(b, name) for name in names})
        for a, b in zip(mine, other, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Groups:
    """Groupings of the whole portfolio for concentration. Shape [exposures].

    Attributes:
        clients: code of the group of connected clients, from 0.
        segments: code of the segment.
        ead: amounts.
    """

    clients: NDArray[np.int64]
    segments: NDArray[np.int64]
    ead: Floats


def document_of(tally: Tally, groups: Groups, inputs: Inputs, book: RuleBook, exposures_sha256: Digest) -> Plan:
    """The document of a run whose last part is in.

    Args:
        tally: of all parts.
        groups: of the whole portfolio.
        inputs: what it was made of.
        book: for the floor's steps of later years.
        exposures_sha256: of the file with a row for each exposure.
    """
    document, total, day = tally.document, tally.total, tally.rules.day
    loss = against_provisions(total["expected_loss"], float(tally.irb[1]), float(tally.irb[0]))
    floors = [
        _floor(tally, book, _years_on(day, year), total["rwa"], total["standardised_rwa"])
        for year in range(FLOOR_YEARS)
    ]
    return Plan(
        inputs=inputs,
        total=_class_row("all", total),
        classes=tuple(
            _class_row(name, {key: float(values[code]) for key, values in tally.sums.items()})
            for code, name in enumerate(CLASSES)
            if tally.sums["exposures"][code]
        ),
        floors=Floors(
            pd=int(tally.bound[0]), lgd=int(tally.bound[1]), ead=int(tally.bound[2]),
            supervisory_lgd=int(tally.bound[3]),
            risk_weight=int(tally.bound[4]) if tally.rules.weight_floor.any() else msgspec.UNSET,
        ),
        treatments=tuple(
            Treatment(words=words, exposures=int(count), ead=amount(ead), rwa=amount(rwa))
            for words, count, ead, rwa in zip(REASONS, *tally.reasons, strict=True)
            if count
        ),
        output_floor=tuple(row for row, _ in floors),
        provisions=Provisions(
            expected_loss=amount(loss.expected_loss), provisions=amount(loss.provisions),
            cet1_deduction=amount(loss.cet1_deduction), tier2_addback=amount(loss.tier2_addback),
        ),
        ratios=_ratios(document, loss.cet1_deduction, floors[0][1]),
        ifrs9=_ifrs9(tally),
        stress=tuple(_stress(tally, book, loss.provisions)),
        concentration=tuple(_concentration(groups)),
        largest=tuple(_largest(groups)),
        repayments=tuple(
            MonthRow(
                month=one.month, principal=amount(one.principal), interest=amount(one.interest),
                expected_principal=amount(one.expected_principal), expected_interest=amount(one.expected_interest),
                prepaid=amount(one.prepaid), balance=amount(one.balance),
            )
            for one in tally.months
        ),
        exposures_sha256=exposures_sha256,
    )  # fmt: skip


def _quotient(some: float, of: float) -> str | None:
    return share(some / of) if of > 0.0 else None


def _class_row(name: str, sums: dict[str, float]) -> ClassRow:
    return ClassRow(
        name=name,
        exposures=int(sums["exposures"]),
        defaulted=int(sums["defaulted"]),
        drawn=amount(sums["drawn"]),
        ead=amount(sums["ead"]),
        mean_pd=_quotient(sums["pd_ead"], sums["of_pd"]),
        mean_lgd=_quotient(sums["lgd_ead"], sums["of_lgd"]),
        rwa=amount(sums["rwa"]),
        density=_quotient(sums["rwa"], sums["ead"]),
        standardised_rwa=amount(sums["standardised_rwa"]),
        expected_loss=amount(sums["expected_loss"]),
        capital=amount(CAPITAL_SHARE * sums["rwa"]),
    )


def _years_on(day: date, years: int) -> date:
    # 29 February becomes the 28th
    last = 28 if (day.month, day.day) == (2, 29) else day.day
    return day.replace(year=day.year + years, day=last)


def _floor(tally: Tally, book: RuleBook, day: date, rwa: float, standardised: float) -> tuple[FloorYear, Floored]:
    """The floor on a day over the whole bank, other risks included where the document has them."""
    funds = tally.document.own_funds
    before = rwa + (funds.other_rwa if funds else 0.0)
    general = standardised + (funds.other_rwa_standardised if funds else 0.0)
    step, cap = floor_on(book, tally.rules.regime, day), cap_on(book, tally.rules.regime, day)
    found = apply_floor(before, general, float(step.value) if step else 0.0, float(cap.value) if cap else None)
    row = FloorYear(
        day=day.isoformat(),
        percent=share(found.percent) if step else None,
        cap_percent=share(float(cap.value)) if cap else None,
        source=step.source if step else None,
        before=amount(before),
        standardised=amount(general),
        rwa=amount(found.rwa),
        added=amount(found.added),
        binding=found.binding,
        capped=found.capped,
    )
    return row, found


def _ratios(document: Document, deduction: float, floored: Floored) -> Ratios | None:
    if document.own_funds is None:
        return None
    cet1 = document.own_funds.cet1 - deduction
    return Ratios(
        cet1=amount(cet1), before_floor=_quotient(cet1, floored.before), after_floor=_quotient(cet1, floored.rwa)
    )


def _ifrs9(tally: Tally) -> Ifrs9:
    document = tally.document
    first, life, at_mean, unknown, unknown_ead, outside, outside_ead = tally.losses
    return Ifrs9(
        ecl=amount(tally.stages[2].sum()),
        twelve_months=amount(first),
        lifetime=amount(life),
        at_mean_path=amount(at_mean),
        not_evaluable=int(unknown),
        not_evaluable_ead=amount(unknown_ead),
        not_in_scope=int(outside) if outside else msgspec.UNSET,
        not_in_scope_ead=amount(outside_ead) if outside else msgspec.UNSET,
        stages=tuple(
            StageRow(
                stage=place + 1, exposures=int(count), ead=amount(ead), ecl=amount(ecl), coverage=_quotient(ecl, ead)
            )
            for place, (count, ead, ecl) in enumerate(tally.stages.T)
        ),
        scenarios=tuple(
            ScenarioRow(
                name=name, weight=share(path.weight), ecl=amount(ecl),
                z=tuple(share(document.z(name, year)) for year in range(1, document.years + 1)),
            )
            for (name, path), ecl in zip(document.scenarios.items(), tally.by_scenario, strict=True)
        ),
    )  # fmt: skip


def _stress(tally: Tally, book: RuleBook, provisions: float) -> list[StressRow]:
    document, rows = tally.document, []
    sums = iter(tally.stressed)
    for name in document.scenarios:
        lost = 0.0
        for year in range(1, document.years + 1):
            one = next(sums)
            lost += one.losses
            _, floored = _floor(tally, book, _years_on(tally.rules.day, year), one.rwa, tally.total["standardised_rwa"])
            cet1 = None
            if document.own_funds is not None:
                missing = max(0.0, one.expected_loss - provisions - lost)
                cet1 = document.own_funds.cet1 - lost - missing
            rows.append(
                StressRow(
                    scenario=name, year=year, z=share(document.z(name, year)), mean_pd=_quotient(one.pd_ead, one.ead),
                    losses=amount(one.losses), expected_loss=amount(one.expected_loss),
                    rwa_before_floor=amount(floored.before), rwa=amount(floored.rwa), floor_binding=floored.binding,
                    cet1=None if cet1 is None else amount(cet1),
                    cet1_ratio=None if cet1 is None else _quotient(cet1, floored.rwa),
                )
            )  # fmt: skip
    return rows


def _concentration(groups: Groups) -> list[ConcentrationRow]:
    found = []
    for name, codes in (("groups of connected clients", groups.clients), ("segments", groups.segments)):
        one = concentration(codes, groups.ead)
        if one is not None:
            found.append(
                ConcentrationRow(
                    name=name, groups=one.groups, by_exposure=share(one.by_exposure), by_number=share(one.by_number),
                    effective=share(one.effective),
                )
            )  # fmt: skip
    return found


def _largest(groups: Groups) -> list[NameRow]:
    found = largest(groups.clients, groups.ead, NAMES_SHOWN) if groups.ead.sum() > 0.0 else []
    firsts: dict[int, int] = {}
    for code, _, _ in found:
        firsts[code] = int(np.argmax(groups.clients == code))
    return [
        NameRow(rank=place + 1, first_row=firsts[code], ead=amount(ead), share=share(part))
        for place, (code, ead, part) in enumerate(found)
    ]


def rows_of(figures: Figures) -> dict[str, Any]:
    """Columns of a row for each exposure, beside identifier and decision ids. Shape [exposures] each."""
    weighed, outlook = figures.weighed, figures.outlook
    return {
        "treatment": weighed.reason,
        "pd": weighed.pd,
        "lgd": weighed.lgd,
        "ead": weighed.ead,
        "risk_weight": weighed.weight,
        "rwa": weighed.rwa,
        "standardised_rwa": weighed.standardised_rwa,
        "expected_loss": weighed.expected_loss,
        "stage": np.where(outlook.in_scope, outlook.stage, np.nan),
        "ecl_12m": _known(outlook.ecl_12m, outlook.evaluable),
        "ecl_lifetime": _known(outlook.ecl_lifetime, outlook.evaluable),
        "ecl": _known(outlook.ecl, outlook.evaluable),
    }


def _known(values: Floats, evaluable: Flags) -> Floats:
    return np.where(evaluable, values, np.nan)

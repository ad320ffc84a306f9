"""What each exposure of a part comes to: parameters, approach, risk weights, expected loss, stages.

An exposure is weighed by a model where it may be and every figure is there; otherwise it falls back to the
standardised weight, and says why. Nothing is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom.planning import irb
from strongroom.planning.classes import CORPORATE, Flags, Floats, is_specialised
from strongroom.planning.expected_loss import expected_loss
from strongroom.planning.parameters import (
    converted_ead,
    floored_ead,
    floored_lgd,
    floored_pd,
    own_lgd_allowed,
    supervisory_lgd,
)
from strongroom.planning.portfolio import Part
from strongroom.planning.rules import Rules
from strongroom.planning.special_rules import SHORT_YEARS, SLOTS
from strongroom.planning.standardised import demand_weights, weights

REASONS: Final = (
    "by IRB", "standardised: the portfolio says so", "standardised: no PD", "standardised: no LGD",
    "standardised: in default without ELBE", "standardised: the regime lets no model weigh this class",
    "by supervisory slot",
)  # fmt: skip
"""How an exposure is weighed, by code."""
IRB: Final = 0
SLOTTED: Final = 6


@dataclass(frozen=True, slots=True)
class Weighed:
    """Arrays of the shape [exposures].

    Attributes:
        reason: code of `REASONS`.
        pd, lgd, ead: after floors; PD and LGD are NaN where there is none. 1 is the PD in default.
        elbe: best estimate of expected loss in default, NaN elsewhere.
        pd_bound, lgd_bound, ead_bound, weight_bound: where a floor moved the figure.
        supervisory: LGD of the foundation approach.
        weight: risk weight by the approach that is used, a fraction.
        rwa: by that approach.
        standardised_rwa: if all were standardised, for the output floor.
        expected_loss: amount, 0 where standardised.
        dilution_rwa: part of `rwa` for the dilution of purchased receivables.
    """

    reason: NDArray[np.int8]
    pd: Floats
    lgd: Floats
    ead: Floats
    elbe: Floats
    pd_bound: Flags
    lgd_bound: Flags
    ead_bound: Flags
    weight_bound: Flags
    supervisory: Flags
    weight: Floats
    rwa: Floats
    standardised_rwa: Floats
    expected_loss: Floats
    dilution_rwa: Floats

    @property
    def internal(self) -> Flags:
        """Whether it is weighed by the internal approach: by a model, or by a supervisory slot."""
        return np.asarray((self.reason == IRB) | (self.reason == SLOTTED))


def demand_weighable(part: Part, rules: Rules) -> None:
    """Refuse a part with an exposure that the rules have no standardised weight for.

    Raises:
        InvalidInputError: which.
    """
    found = weights(
        rules, part.classes, part.ratings, part.turnover_m, part.ltv, np.zeros(len(part), np.bool_),
        np.zeros(len(part)), part.terms,
    )  # fmt: skip
    demand_weights(rules, part.classes, part.terms.secured_by, found, part.first_row)


def weigh(part: Part, rules: Rules) -> Weighed:
    """All of a part.

    Args:
        part: of the portfolio.
        rules: in force.
    """
    classes = part.classes
    pd = floored_pd(rules, classes, part.pd)
    own = own_lgd_allowed(classes, part.turnover_m, part.large_financial, rules.sales.large_m)
    given = floored_lgd(rules, classes, part.lgd, part.collateral, part.collateral_share)
    ruled = supervisory_lgd(
        rules, classes, part.collateral, part.collateral_share, part.subordinated, part.large_financial
    )
    by_rule = (~own | np.isnan(part.lgd)) & ~np.isnan(ruled)
    lgd = np.where(by_rule, ruled, given.value)
    converted = converted_ead(rules, part.drawn, part.limit, part.commitments)
    at_default = floored_ead(rules, classes, part.ead, part.drawn, part.limit, part.commitments)
    by_model = own & ~np.isnan(part.ead)
    ead = np.where(by_model, at_default.value, converted)
    # the foundation approach has no best estimate: the supervisory LGD is the expected loss (CRE35.3)
    elbe = np.where(part.defaulted, np.where(by_rule, lgd, part.elbe), np.nan)
    slotted, slot_weight, slot_loss = _slots(part, rules)
    reason = np.select(
        [
            ~rules.modelled[classes], part.standardised, slotted, ~rules.special.by_pd[classes],
            np.isnan(part.pd) & ~part.defaulted, np.isnan(lgd), part.defaulted & np.isnan(elbe),
        ],
        [5, 1, SLOTTED, 5, 2, 3, 4], IRB,
    ).astype(np.int8)  # fmt: skip
    modelled = reason == IRB
    living = irb.weigh(
        classes, np.nan_to_num(pd.value, nan=0.5), lgd, part.maturity_years, part.turnover_m, part.large_financial,
        rules.sales[:2],
    )  # fmt: skip
    dead = irb.weigh_defaulted(lgd, elbe)
    share = np.minimum(part.provisions / np.maximum(converted, 1e-9), 1.0)
    general = weights(rules, classes, part.ratings, part.turnover_m, part.ltv, part.defaulted, share, part.terms)
    standard_rwa = general * np.maximum(converted - part.provisions, 0.0)
    least = rules.weight_floor[classes]
    weight = np.where(modelled, np.where(part.defaulted, dead.weight, np.maximum(living.weight, least)), general)
    slotted = reason == SLOTTED
    weight = np.where(slotted, slot_weight, weight)
    diluted = _dilution(part, modelled, rules)
    weight = weight + diluted
    rwa = np.where(modelled | slotted, weight * ead, standard_rwa)
    pd_used = np.where(part.defaulted, 1.0, pd.value)
    loss = np.where(modelled, expected_loss(pd_used, lgd, ead, elbe, part.defaulted), 0.0)
    loss = np.where(slotted, slot_loss * ead, loss + np.where(diluted > 0.0, part.dilution * ead, 0.0))
    return Weighed(
        reason=reason,
        pd=pd_used,
        lgd=lgd,
        ead=np.where(modelled | slotted, ead, converted),
        elbe=elbe,
        pd_bound=pd.bound & modelled & ~part.defaulted,
        lgd_bound=given.bound & ~by_rule & modelled,
        ead_bound=at_default.bound & by_model & (modelled | slotted),
        weight_bound=(living.weight < least) & modelled & ~part.defaulted,
        supervisory=by_rule & modelled,
        weight=weight,
        rwa=rwa,
        standardised_rwa=standard_rwa,
        expected_loss=loss,
        dilution_rwa=diluted * ead,
    )


def _slots(part: Part, rules: Rules) -> tuple[Flags, Floats, Floats]:
    """Where a supervisory slot weighs, its weight and its expected loss. Shape [exposures] each."""
    slot = np.where(part.defaulted & (part.slots > 0), SLOTS.index("default"), part.slots)
    short = (part.maturity_years < SHORT_YEARS).astype(np.int8)
    weight = rules.special.slots[part.classes, short, slot]
    loss = rules.special.losses[part.classes, short, slot]
    return np.asarray(is_specialised(part.classes) & ~np.isnan(weight) & ~np.isnan(loss)), weight, loss


def _dilution(part: Part, modelled: Flags, rules: Rules) -> Floats:
    """Weight for the dilution of purchased receivables: a corporate's, at the expected loss, an LGD of 100% and a year.

    Source: CRE34.8; CRR Articles 157(5), 160(6), 161(1)(g).
    """
    at = np.flatnonzero(modelled & (part.dilution > 0.0) & ~part.defaulted)
    found = np.zeros(len(part))
    if len(at):
        rows = len(at)
        found[at] = irb.weigh(
            np.full(rows, CORPORATE, np.int8), part.dilution[at], np.ones(rows), np.ones(rows), np.full(rows, np.nan),
            np.zeros(rows, np.bool_), rules.sales[:2],
        ).weight  # fmt: skip
    return found


def stressed_rwa(part: Part, weighed: Weighed, rules: Rules, pd: Floats, lgd: Floats) -> Floats:
    """Risk-weighted assets under another PD and LGD; what is in default or standardised stays as it is.

    Args:
        part: of the portfolio.
        weighed: the same, as it is.
        rules: in force then.
        pd: stressed, before floors.
        lgd: stressed, before floors; read only where it is an own estimate.
    """
    floored = floored_pd(rules, part.classes, pd).value
    own = floored_lgd(rules, part.classes, lgd, part.collateral, part.collateral_share).value
    severity = np.where(weighed.supervisory, weighed.lgd, own)
    found = irb.weigh(
        part.classes, np.nan_to_num(floored, nan=0.5), severity, part.maturity_years, part.turnover_m,
        part.large_financial, rules.sales[:2],
    )  # fmt: skip
    living = (weighed.reason == IRB) & ~part.defaulted
    weight = np.maximum(found.weight, rules.weight_floor[part.classes])
    return np.where(living, weight * weighed.ead + weighed.dilution_rwa, weighed.rwa)

"""Every vector of tests/vectors/validation.json, at its own tolerance, against the function it belongs to."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strongroom.registry.explanation import Explanation, ReasonGroup
from strongroom.validation.batteries import reason_ranking, reasons
from strongroom.validation.results import evaluable
from strongroom.validation.statistics import (
    bins,
    calibration,
    detection,
    discrimination,
    disparity,
    fairness,
    forecasting,
    lifetime,
    migration,
    parity,
    stability,
)

VECTORS = {
    v["id"]: v for v in json.loads((Path(__file__).parents[1] / "vectors" / "validation.json").read_text())["vectors"]
}


def jeffreys(i: dict[str, Any]) -> dict[str, Any]:
    return {"p": evaluable(calibration.jeffreys(i["N"], i["D"], i["PD"]))}


def jeffreys_grades(i: dict[str, Any]) -> dict[str, Any]:
    found = calibration.jeffreys_scale(i["N"], i["D"], i["PD"])
    return {
        "p_grades": [evaluable(p) for p in found.grades],
        "PD_portfolio": found.portfolio_pd,
        "p_portfolio": found.portfolio,
    }


def binomial(i: dict[str, Any]) -> dict[str, Any]:
    return {"p": evaluable(calibration.binomial(i["N"], i["D"], i["PD"]))}


def critical(i: dict[str, Any]) -> dict[str, Any]:
    return {"critical_defaults": calibration.critical_defaults(i["N"], i["PD"], i["q"], i["rho"])}


def vasicek(i: dict[str, Any]) -> dict[str, Any]:
    n, d, pd = i["N"], i["D"], i["PD"]
    return {"p": calibration.binomial_correlated(n, d, pd, i["rho"]), "p_independent": calibration.binomial(n, d, pd)}


def hosmer_lemeshow(i: dict[str, Any]) -> dict[str, Any]:
    out = evaluable(calibration.hosmer_lemeshow(i["N"], i["D"], i["PD"]))
    inside = evaluable(calibration.hosmer_lemeshow(i["N"], i["D"], i["PD"], fitted_here=True))
    return {
        "chi2": out.statistic, "df_validation": out.freedom, "p_df_G": out.p_value, "p_df_G_minus_2": inside.p_value,
    }  # fmt: skip


def spiegelhalter(i: dict[str, Any]) -> dict[str, Any]:
    found = evaluable(calibration.spiegelhalter(i["y"], i["p"]))
    return {"z": found.z, "p_two_sided": found.two_sided, "p_one_sided_upper": found.upper}


def murphy(i: dict[str, Any]) -> dict[str, Any]:
    found = evaluable(calibration.murphy(i["N"], i["D"], i["PD"]))
    return {
        "brier": found.brier, "reliability": found.reliability, "resolution": found.resolution,
        "uncertainty": found.uncertainty, "brier_skill": found.skill,
        "check_rel_minus_res_plus_unc": found.reliability - found.resolution + found.uncertainty,
    }  # fmt: skip


def line(i: dict[str, Any]) -> dict[str, Any]:
    found = evaluable(calibration.calibration_line(i["y"], i["p"]))
    return {
        "intercept": found.intercept, "slope": found.slope, "intercept_slope1": found.offset,
        "se_intercept": found.intercept_se, "se_slope": found.slope_se,
    }  # fmt: skip


def ece(i: dict[str, Any]) -> dict[str, Any]:
    return {"ece": calibration.calibration_error(i["N"], i["D"], i["PD"])}


def normal(i: dict[str, Any]) -> dict[str, Any]:
    found = evaluable(calibration.normal_test(i["default_rates"], i["pd"]))
    return {"z": found.z, "p_one_sided": found.upper}


def traffic_light(i: dict[str, Any]) -> dict[str, Any]:
    tail = {k: evaluable(calibration.binomial(i["N"], k, i["p"])) for k in [5, 10, *(c + 1 for c in i["counts"])]}
    return {"cum": [1 - tail[c + 1] for c in i["counts"]], "tail_ge5": tail[5], "tail_ge10": tail[10]}


def auc(i: dict[str, Any]) -> dict[str, Any]:
    found = evaluable(discrimination.auc(i["y"], i["score"]))
    v10, v01 = evaluable(discrimination.placements(i["y"], i["score"]))
    assert found.variance is not None
    return {
        "auc": found.auc, "var": found.variance, "se": math.sqrt(found.variance), "gini": found.gini,
        "V10": v10.tolist(), "V01": v01.tolist(),
    }  # fmt: skip


def auc_change(i: dict[str, Any]) -> dict[str, Any]:
    found = evaluable(discrimination.auc(i["y"], i["score"]))
    change = evaluable(discrimination.auc_change(i["auc_init"], found))
    assert found.variance is not None
    return {"auc": found.auc, "s": math.sqrt(found.variance), "S": change.statistic, "p": change.p_value}


def delong(i: dict[str, Any]) -> dict[str, Any]:
    found = evaluable(discrimination.paired(i["y"], i["s1"], i["s2"]))
    return {"auc1": found.first, "auc2": found.second, "var_diff": found.variance, "z": found.z, "p": found.p_value}


def hanley(i: dict[str, Any]) -> dict[str, Any]:
    return {"se": discrimination.hanley_mcneil(i["auc"], i["n_bad"], i["n_good"])}


def ks(i: dict[str, Any]) -> dict[str, Any]:
    found = evaluable(discrimination.ks(i["y"], i["score"]))
    return {"ks": found.distance, "at": found.at}


def bandwidth(i: dict[str, Any]) -> dict[str, Any]:
    found = evaluable(migration.weighted_bandwidth(i["counts"]))
    return {"lower": found.lower, "upper": found.upper}


def migration_z(i: dict[str, Any]) -> dict[str, Any]:
    cells = {f"{a}-{b}": evaluable(v) for (a, b), v in migration.migration_z(i["counts"]).items()}
    return {"z": {k: v[0] for k, v in cells.items()}, "p": {k: v[1] for k, v in cells.items()}}


def herfindahl(i: dict[str, Any]) -> dict[str, Any]:
    found = evaluable(migration.concentration(i["current"], i["initial"]))
    return {
        "cv_curr": found.variation, "hi_curr": found.index, "cv_init": found.initial_variation,
        "hi_init": found.initial_index, "S": found.statistic, "p": found.p_value,
    }  # fmt: skip


def psi(i: dict[str, Any]) -> dict[str, Any]:
    found = evaluable(stability.psi(i["expected"], i["actual"], bins.Floor.parse("0.0001")))
    return {"psi": found.value, "chi2_critical_95": found.sampling_point}


def psi_empty(i: dict[str, Any]) -> dict[str, Any]:
    floors = {"eps_1e_4": "0.0001", "eps_1e_10": "1e-10", "half_count": "half-count"}
    return {
        name: evaluable(stability.psi(i["expected"], i["actual"], bins.Floor.parse(floor))).value
        for name, floor in floors.items()
    }


def air(i: dict[str, Any]) -> dict[str, Any]:
    found = evaluable(
        fairness.adverse_impact(i["approved_protected"], i["n_protected"], i["approved_reference"], i["n_reference"])
    )
    return {
        "air": found.ratio, "parity_diff": found.difference, "z": found.z, "p": found.z_p,
        "four_fifths_pass": found.ratio >= 0.8,
    }  # fmt: skip


def odds(i: dict[str, Any]) -> dict[str, Any]:
    found = evaluable(fairness.equalised_odds(i["y"], i["pred"], [str(g) for g in i["group"]]))
    return {
        "tpr": dict(found.true_rates), "fpr": dict(found.false_rates), "tpr_diff": found.true_gap,
        "fpr_diff": found.false_gap, "eod": found.gap,
    }  # fmt: skip


def smd(i: dict[str, Any]) -> dict[str, Any]:
    found = evaluable(disparity.mean_gap(i["scores_protected"], i["scores_reference"]))
    return {"smd_pooled": found.pooled, "smd_total_sd": found.overall}


def cdd(i: dict[str, Any]) -> dict[str, Any]:
    strata = [(a, b, c, d) for _, a, b, c, d in i["strata"]]
    mean, parts = evaluable(fairness.conditional_disparity(strata))
    total = evaluable(fairness.conditional_disparity([tuple(sum(column) for column in zip(*strata, strict=True))]))  # type: ignore[list-item]  # four sums
    return {"dd_total": total[0], "dd_by_stratum": list(parts), "cdd": mean}


def flips(i: dict[str, Any]) -> dict[str, Any]:
    found = evaluable(parity.parity(i["scores"], i["perturbed"], 1e-9, [i["cutoff"]]))
    return {"flip_rate": found.flips / found.n, "max_abs_delta": found.largest}


def fraud(i: dict[str, Any]) -> dict[str, Any]:
    table = evaluable(detection.steps(i["y"], i["score"], i["amount"]))
    best, costs = evaluable(detection.top(table, 5)), detection.costs(table, i["cost_fp"])
    return {
        "average_precision": evaluable(detection.average_precision(i["y"], i["score"])).value,
        "precision_at_5": best.precision, "recall_at_5": best.recall, "value_detection_at_5": best.value,
        "min_cost_threshold": costs.best, "min_cost": costs.least,
        "bayes_threshold_calibrated": detection.calibrated_threshold(i["cost_fp"], i["cost_fn"]),
    }  # fmt: skip


def forecast_errors(i: dict[str, Any]) -> dict[str, Any]:
    return {
        "mase": forecasting.scaled_error(i["y"], i["f"], i["train"], i["m"]),
        "wape": forecasting.weighted_error(i["y"], i["f"]), "bias": forecasting.bias(i["y"], i["f"]),
        "rmsse": forecasting.scaled_root_error(i["y"], i["f"], i["train"], i["m"]),
    }  # fmt: skip


def forecast_quantiles(i: dict[str, Any]) -> dict[str, Any]:
    y, low, high = i["y"], i["q10"], i["q90"]
    return {
        "pinball10": forecasting.pinball(y, low, 0.1), "pinball90": forecasting.pinball(y, high, 0.9),
        "coverage80": forecasting.inside(y, low, high) / len(y),
        "winkler80": forecasting.winkler(y, low, high, 0.8),
    }  # fmt: skip


def kupiec(i: dict[str, Any]) -> dict[str, Any]:
    found = evaluable(forecasting.kupiec(i["T"], i["x"], i["p"]))
    return {"LR": found.statistic, "p": found.p_value}


def diebold_mariano(i: dict[str, Any]) -> dict[str, Any]:
    by = {h: evaluable(forecasting.diebold_mariano(i["y"], i["f1"], i["f2"], h, i["loss"])) for h in (1, 3)}
    return {
        "h1_stat": by[1].statistic, "h1_p": by[1].p_value, "h3_stat": by[3].statistic, "h3_p": by[3].p_value,
    }  # fmt: skip


def sicr(i: dict[str, Any]) -> dict[str, Any]:
    found = evaluable(
        lifetime.staging(
            i["defaulted_via_stage2"], i["defaulted_direct_from_stage1"], i["stage2_not_defaulted"],
            i["stage1_not_defaulted"],
        )
    )  # fmt: skip
    return {
        "hit_rate": found.hit_rate, "jump_to_default": found.jump_to_default, "stage2_precision": found.precision,
        "false_alarm": found.false_alarm,
    }  # fmt: skip


def nonlinearity(i: dict[str, Any]) -> dict[str, Any]:
    found = evaluable(lifetime.nonlinearity(i["pd_ttc"], i["rho"], i["z"], i["weights"]))
    return {"pit_pd": found.by_scenario, "weighted": found.weighted, "at_mean_z": found.at_mean}


def reason_codes(i: dict[str, Any]) -> dict[str, Any]:
    beta, x, names = np.array(i["beta"]), np.array(i["x"]), tuple(i["names"])
    groups = tuple(ReasonGroup(code=name, features=(name,)) for name in names)
    found: dict[str, Any] = {"phi": {}, "top4": {}, "additivity": {}, "f_minus_base": {}}
    for name, against in i["references"].items():
        wish = Explanation(
            v=2, method="interventional", code_map="1", groups=groups, reference=(tuple(map(str, against)),)
        )
        ranking, values = reasons.Ranking.of(wish, names), beta * (x - np.array(against))
        found["phi"][name] = values.tolist()
        first = ranking.principal(ranking.weights(values[None, :]))[0]
        found["top4"][name] = [ranking.codes[n] for n in first]
        found["additivity"][name] = float(values.sum())
        found["f_minus_base"][name] = float(beta @ x - beta @ np.array(against))
    return found


def jaccard(i: dict[str, Any]) -> dict[str, Any]:
    return {"jaccard": reason_ranking.jaccard(i["a"], i["b"])}


FUNCTIONS = {
    "fraud.pr": fraud, "fc.mase_wape": forecast_errors, "fc.pinball_interval": forecast_quantiles,
    "fc.kupiec": kupiec, "fc.diebold_mariano": diebold_mariano, "ifrs9.sicr": sicr,
    "ifrs9.nonlinearity": nonlinearity,
    "pd.jeffreys.1": jeffreys, "pd.jeffreys.2_zero_defaults": jeffreys, "pd.jeffreys.3_grades": jeffreys_grades,
    "pd.binomial.1": binomial, "pd.binomial.crit_rho0": critical, "pd.binomial.crit_rho0.05": critical,
    "pd.binomial.crit_rho0.1": critical, "pd.binomial.crit_rho0.15": critical, "pd.binomial.crit_rho0.2": critical,
    "pd.binomial.2_vasicek": vasicek, "pd.hosmer_lemeshow": hosmer_lemeshow, "pd.spiegelhalter": spiegelhalter,
    "pd.brier_murphy": murphy, "pd.calibration_line": line, "pd.ece_grades": ece, "pd.normal_test": normal,
    "market.traffic_light": traffic_light, "disc.auc_delong": auc, "disc.auc_vs_initial": auc_change,
    "disc.delong_paired": delong, "disc.hanley_mcneil": hanley, "disc.ks": ks, "rating.mwb_matlab": bandwidth,
    "rating.mwb_meliora_doc": bandwidth, "rating.mwb_4": bandwidth, "rating.migration_z": migration_z,
    "rating.herfindahl": herfindahl, "stab.psi": psi, "stab.psi_empty_bin": psi_empty, "fair.air": air,
    "fair.equalized_odds": odds, "fair.smd": smd, "fair.cdd": cdd, "robust.flip_rate": flips,
    "xai.reason_codes_linear": reason_codes, "xai.topk_jaccard": jaccard,
}  # fmt: skip


def test_no_vector_is_left_out() -> None:
    assert set(FUNCTIONS) == set(VECTORS)


@pytest.mark.parametrize("name", sorted(VECTORS))
def test_vector(name: str) -> None:
    vector = VECTORS[name]
    found = FUNCTIONS[name](vector["input"])
    tolerance = vector["tolerance"]
    assert set(found) == set(vector["expected"])
    for key, expected in vector["expected"].items():
        actual = found[key]
        if isinstance(expected, dict) and key in ("phi", "top4"):
            for name, line in expected.items():
                assert actual[name] == (line if key == "top4" else pytest.approx(line, abs=tolerance)), name
        elif isinstance(expected, dict):
            assert actual == pytest.approx(expected, abs=tolerance, rel=tolerance), key
        elif isinstance(expected, list):
            assert list(actual) == pytest.approx(expected, abs=tolerance, rel=tolerance), key
        elif isinstance(expected, bool | int):
            assert actual == expected, key
        else:
            assert actual == pytest.approx(expected, abs=tolerance, rel=tolerance), key

"""A validator's notebook as a script: the tests of our PD battery with scikit-learn, shap, fairlearn and their like.

    bench/.envs/notebook/bin/python bench/peers/notebook/script.py FOLDER

Written as such notebooks are: a library where one has the test (scikit-learn, scipy, statsmodels, fairlearn, shap, the
Adversarial Robustness Toolbox, Veritas), a short formula where none has, arrays and no loops over rows. It knows the
portfolio, so limits and names stand in it as numbers. It scores with onnxruntime, isolates nothing, signs nothing, and
writes no report and draws no picture. Prints one JSON object: a figure for each test.

Not done: `robustness.monotone` (no public library proves the monotony of boosted trees).
"""

from __future__ import annotations

import json
import sys
import warnings
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pandas as pd
import shap
import statsmodels.api as sm
import veritas
from fairlearn.metrics import MetricFrame, demographic_parity_ratio, equalized_odds_difference, selection_rate
from scipy import integrate, stats
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, brier_score_loss, r2_score, roc_auc_score, roc_curve
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer
from statsmodels.stats.contingency_tables import StratifiedTable
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep
from xgboost import XGBClassifier

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it misses PyTorch
    from art.attacks.evasion import HopSkipJump
    from art.estimators.classification import BlackBoxClassifier

CUT, GRADES, CORRELATION, FLOOR = 0.3, 10, 0.04, 1e-4
GAPPY, EDGE = ["x20", "x21"], 50
CHANGEABLE, BUDGET = {"x02": (0, 1), "x04": (-1, 0), "x05": (-1, 1), "x07": (-1, 1)}, 1.0
MISSING, NEAR, NOISE, STRESSED, ATTACKED, ANSWERS = 0.1, 0.02, 0.05, 5000, 50, (250, 1000)
EXPLAINED, REASONS, REFERENCE, SEEDS = 500, 4, 16, 5
LEAST, SEARCHED = 100, 20_000
SCENARIOS = {"income-falls": {"x02": (1, -1)}, "rates-rise": {"x01": (1, 0.5), "x00": (1.2, 0)}}
SEVERITIES = (0.5, 1, 2)
SPECIAL = "health|illness|religi|ethnic|race|union|politic|sex|gender|genetic|biometric"


# --- short formulas where no library has the test ---------------------------------------------------------------------


def delong(y, *scores):
    """AUCs and their covariance by midranks (Sun and Xu 2014)."""
    y = np.asarray(y) == 1
    m, n, areas, ones, zeros = y.sum(), (~y).sum(), [], [], []
    for s in scores:
        both = stats.rankdata(np.concatenate([s[y], s[~y]]))
        areas.append(both[:m].sum() / m / n - (m + 1) / 2 / n)
        ones.append((both[:m] - stats.rankdata(s[y])) / n)
        zeros.append(1 - (both[m:] - stats.rankdata(s[~y])) / m)
    return np.array(areas), np.atleast_2d(np.cov(ones)) / m + np.atleast_2d(np.cov(zeros)) / n


def jeffreys(n, d, p):
    return stats.beta.cdf(p, d + 0.5, n - d + 0.5)


def holm(p):
    return multipletests(np.asarray(p), method="holm")[1]


def edges_of(values, bins):
    values = values[np.isfinite(values)]
    edges = np.unique(np.quantile(values, np.arange(1, bins) / bins, method="inverted_cdf"))
    return edges[edges < values.max()]


def psi(old, new):
    edges = edges_of(old, 10)
    counts = [
        np.append(np.bincount(np.searchsorted(edges, x[~np.isnan(x)]), minlength=len(edges) + 1), np.isnan(x).sum())
        for x in (old, new)
    ]
    counts = [c if counts[0][-1] + counts[1][-1] else c[:-1] for c in counts]
    a, b = (np.maximum(c / c.sum(), FLOOR) for c in counts)
    return float(((b - a) * np.log(b / a)).sum())


def flips(before, after):
    return float(((before < CUT) != (after < CUT)).mean())


# --- the notebook -----------------------------------------------------------------------------------------------------


class Notebook:
    """What every cell of a notebook sees."""

    def __init__(self, folder):
        self.frames = {r: pd.read_parquet(folder / f"{r}.parquet") for r in ("development", "reference", "validation")}
        self.names = [name for name in self.frames["validation"].columns if name[0] == "x"]
        self.x = {role: frame[self.names].to_numpy(np.float32) for role, frame in self.frames.items()}
        self.y = {role: frame["default"].to_numpy() for role, frame in self.frames.items()}
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession((folder / "model.onnx").read_bytes(), options)
        self.p = {role: self.predict(rows) for role, rows in self.x.items()}
        self.said = pd.read_parquet(folder / "predictions.parquet")["prediction"].to_numpy()
        self.groups = pd.read_parquet(folder / "validation-protected.parquet")
        self.booster = XGBClassifier()
        self.booster.load_model(folder / "model.ubj")

    def predict(self, rows):
        return self.session.run(["probabilities"], {"input": rows})[0][:, 1].astype(float)

    def discrimination(self):
        y, p, before = self.y["validation"], self.p["validation"], self.p["development"]
        area, cov = delong(y, p)
        _ = area + stats.norm.ppf([0.025, 0.975]) * np.sqrt(cov[0, 0])
        yield "discrimination.auc", area[0]
        yield "discrimination.gini", 2 * area[0] - 1
        self.scale = edges_of(before, GRADES)
        graded, cov_grades = delong(y, np.searchsorted(self.scale, p))
        then = roc_auc_score(self.y["development"], np.searchsorted(self.scale, before))
        _ = stats.norm.sf((then - graded[0]) / np.sqrt(cov_grades[0, 0]))
        yield "discrimination.auc-grades", graded[0]
        false, true, _ = roc_curve(y, p)
        yield "discrimination.ks", np.max(np.abs(true - false))
        change = roc_auc_score(self.y["development"], before) - area[0]
        _ = stats.norm.sf(change / np.sqrt(cov[0, 0]))
        yield "discrimination.auc-change", change
        both, cov = delong(y, p, self.frames["validation"]["champion"].to_numpy())
        _ = 2 * stats.norm.sf(abs(both[0] - both[1]) / np.sqrt(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1]))
        yield "discrimination.champion", both[0] - both[1]

    def calibration(self):
        y, p, frame = self.y["validation"], self.p["validation"], self.frames["validation"]
        grade = np.searchsorted(self.scale, p) + 1
        table = pd.DataFrame({"y": y, "p": p}).groupby(grade).agg(n=("y", "size"), d=("y", "sum"), p=("p", "mean"))
        n, d, mean = len(y), y.sum(), p.mean()
        yield "calibration.jeffreys-portfolio", jeffreys(n, d, mean)
        yield "calibration.jeffreys-grades", holm(jeffreys(table["n"], table["d"], table["p"])).min()
        yield "calibration.binomial", stats.binom.sf(d - 1, n, mean)

        def given(factor):
            moved = (stats.norm.ppf(mean) - np.sqrt(CORRELATION) * factor) / np.sqrt(1 - CORRELATION)
            return stats.binom.sf(d - 1, n, stats.norm.cdf(moved)) * stats.norm.pdf(factor)

        yield "calibration.binomial-correlated", integrate.quad(given, -8, 8, points=[-2, 0, 2], limit=400)[0]
        chi = ((table["d"] - table["n"] * table["p"]) ** 2 / (table["n"] * table["p"] * (1 - table["p"]))).sum()
        yield "calibration.hosmer-lemeshow", stats.chi2.sf(chi, len(table))
        z = ((y - p) * (1 - 2 * p)).sum() / np.sqrt(((1 - 2 * p) ** 2 * p * (1 - p)).sum())
        yield "calibration.spiegelhalter", 2 * stats.norm.sf(abs(z))
        clipped = np.clip(p, 1e-12, 1 - 1e-12)
        line = sm.Logit(y, sm.add_constant(np.log(clipped / (1 - clipped)))).fit(disp=0)
        yield "calibration.line", line.wald_test("const = 0, x1 = 1", scalar=True).pvalue
        yield "calibration.brier", brier_score_loss(y, p)
        yield "calibration.inversions", int((np.diff(table["d"] / table["n"]) < 0).sum())
        years = frame.assign(p=p).groupby("year").agg(d=("default", "mean"), p=("p", "mean"))
        gap = years["d"] - years["p"]
        yield "calibration.normal-years", stats.norm.sf(gap.sum() / np.sqrt(len(gap) * gap.var()))
        yield "calibration.scale-mapping", (frame["grade"] != grade).mean()
        yield "data.defaults", d

    def stability(self):
        frame, p = self.frames["validation"], self.p["validation"]
        grade = np.searchsorted(self.scale, p) + 1
        moves = pd.crosstab(frame["was"], grade).to_numpy(float)
        start, end = np.indices(moves.shape)
        reach = np.maximum(start, len(moves) - 1 - start)
        up, down = (side(moves, k) for side, k in ((np.triu, 1), (np.tril, -1)))
        yield "stability.migration-upper", (abs(start - end) * up).sum() / (reach * up).sum()
        yield "stability.migration-lower", (abs(start - end) * down).sum() / (reach * down).sum()
        share = moves / moves.sum(axis=1, keepdims=True)
        off = start != end
        cell, nearer = share[off], share[start[off], end[off] + np.sign(start[off] - end[off])]
        variance = (cell * (1 - cell) + nearer * (1 - nearer) + 2 * cell * nearer) / moves.sum(axis=1)[start[off]]
        yield "stability.migration-z", holm(stats.norm.cdf((nearer - cell) / np.sqrt(variance))).min()
        then = np.searchsorted(self.scale, self.p["development"]) + 1
        frames = (frame, self.frames["development"])
        for rule, weight in (
            ("stability.concentration-number", None),
            ("stability.concentration-exposure", "exposure"),
        ):
            now, first = (
                np.bincount(g, weights=None if weight is None else f[weight], minlength=GRADES + 1)[1:]
                for g, f in zip((grade, then), frames, strict=True)
            )
            cv, cv0 = (np.sqrt(GRADES * ((c / c.sum() - 1 / GRADES) ** 2).sum()) for c in (now, first))
            s = np.sqrt(GRADES - 1) * (cv - cv0) / np.sqrt(cv**2 * (0.5 + cv**2))
            yield rule, stats.norm.sf(s)
        yield "stability.psi-score", psi(self.p["development"], p)
        shifts = {}
        for old, new in combinations(self.frames, 2):
            pairs = zip(self.x[old].T, self.x[new].T, strict=True)
            shifts[old, new] = [psi(a.astype(float), b.astype(float)) for a, b in pairs]
        yield "stability.psi-features", max(shifts["development", "validation"])
        for old, new in (("development", "reference"), ("reference", "validation")):
            yield f"data.drift/{old} and {new}", max(psi(self.p[old], self.p[new]), *shifts[old, new])

    def lifetime(self):
        frame = self.frames["validation"].assign(p=self.p["validation"])
        lives = frame.groupby(["cohort", "period"]).agg(n=("default", "size"), d=("default", "sum"), p=("p", "mean"))
        lives["spread"] = lives["p"] / (lives["n"] * (1 - lives["p"]))
        lives["observed"] = 1 - (1 - lives["d"] / lives["n"]).groupby(level=0).cumprod()
        lives["expected"] = 1 - (1 - lives["p"]).groupby(level=0).cumprod()
        people = lives["expected"] / ((1 - lives["expected"]) * lives["spread"].groupby(level=0).cumsum())
        p = stats.beta.cdf(
            lives["expected"], lives["observed"] * people + 0.5, (1 - lives["observed"]) * people + 0.5
        )  # fmt: skip
        yield "lifetime.cumulative", holm(p).min()
        stages = pd.crosstab(frame["stage"], frame["default"])
        yield "lifetime.sicr", stages.loc[2, 1] / stages[1].sum()
        booked, came = frame["booked"], frame["realised"]
        tests = (came - booked).groupby([frame["stage"], frame["cohort"]])
        _ = holm([stats.ttest_1samp(more, 0, alternative="greater").pvalue for _, more in tests])
        t2 = stats.t.ppf(0.975, len(frame) - 1) ** 2
        (vb, cov), (_, vr) = np.cov(booked, came) / len(frame)
        a, b, c = booked.mean() ** 2 - t2 * vb, booked.mean() * came.mean() - t2 * cov, came.mean() ** 2 - t2 * vr
        _ = (b - np.sqrt(b * b - a * c)) / a, (b + np.sqrt(b * b - a * c)) / a
        yield "lifetime.losses", came.sum() / booked.sum()
        mean = frame["p"].mean()
        yield "lifetime.nonlinearity", mean / stats.norm.cdf(stats.norm.ppf(mean) / np.sqrt(1 - CORRELATION))

    def data(self):
        x, y, before = self.x["validation"], self.y["validation"], self.x["development"]
        gaps, outside = np.isnan(x), np.abs(x) > EDGE
        refused = outside | (gaps & ~np.isin(self.names, GAPPY))
        yield "data.contract", refused.any(axis=1).mean()
        yield "implementation.parity", np.abs(self.said - self.p["reference"]).max()
        yield "implementation.flips", int(((self.said < CUT) != (self.p["reference"] < CUT)).sum())
        p = self.p["validation"]
        yield "implementation.bounds", int((~(np.isfinite(p) & (p >= 0) & (p <= 1))).sum())
        keys = {
            role: pd.util.hash_pandas_object(frame[[*self.names, "default"]], index=False)
            for role, frame in self.frames.items()
        }  # fmt: skip
        for old, new in combinations(self.frames, 2):
            yield f"data.overlap/{old} and {new}", keys[new].isin(keys[old]).mean()
            clients = self.frames[new]["client"].isin(self.frames[old]["client"])
            yield f"data.subjects/{old} and {new}", clients.mean()
        yield "data.repeats", keys["validation"].duplicated().mean()
        times = {role: frame[["seen", "known", "came"]] for role, frame in self.frames.items()}
        yield "data.time-order", int((times["development"]["seen"] >= times["validation"]["seen"].min()).sum())
        for role, frame in times.items():
            early, late = frame["came"] <= frame["seen"], frame["known"] > frame["seen"]
            yield f"data.time-leaks/{role}", int((early | late).sum())
        alone, apart, told = [], [], []
        for place in range(len(self.names)):
            here = ~gaps[:, place]
            values = x[here, place]
            old = before[:, place]
            edges = edges_of(old.astype(float), 10)
            bins = [np.where(np.isnan(c), len(edges) + 1, np.searchsorted(edges, c)) for c in (old, x[:, place])]
            means = pd.Series(self.y["development"]).groupby(bins[0]).mean()
            binned = means.reindex(bins[1]).fillna(self.y["development"].mean()).to_numpy()
            alone += [abs(2 * roc_auc_score(y[here], values) - 1), abs(2 * roc_auc_score(y, binned) - 1)]
            apart.append(stats.ks_2samp(old[np.isfinite(old)], values, method="asymp").statistic)
            if not here.all():
                told.append(stats.fisher_exact(pd.crosstab(here, y)).pvalue)
        yield "data.lone-strength", max(alone)
        yield "data.told-apart", max(apart)
        yield "data.telling-gaps", holm(told).min()
        yield "data.missing-change", np.abs(gaps.mean(axis=0) - np.isnan(before).mean(axis=0)).max()
        yield "data.special-categories", int(pd.Series(self.names).str.contains(SPECIAL).sum())

    def sense(self):
        """Conceptual soundness: accumulated local effects, stress, weak spots, a scorecard beside the model."""
        x = self.x["validation"]
        rows = x[np.linspace(0, len(x) - 1, 2000).astype(int)]
        spans, moved = [], rows.copy()
        for place in range(len(self.names)):
            there = np.isfinite(rows[:, place])
            inside, values = rows[there], rows[there, place].astype(float)
            edges = np.unique(np.quantile(values, np.linspace(0, 1, 11)))
            bins = np.clip(np.searchsorted(edges, values) - 1, 0, len(edges) - 2)
            low, high = inside.copy(), inside.copy()
            low[:, place], high[:, place] = edges[bins], edges[bins + 1]
            mean = pd.Series(self.predict(high) - self.predict(low)).groupby(bins).mean()
            line = np.cumsum(np.append(0, mean.reindex(range(len(edges) - 1), fill_value=0)))
            spans.append(np.ptp(line))
            shifted = values + (1 if line[-1] >= line[0] else -1) * values.std()
            moved[there, place] = np.clip(shifted, values.min(), values.max())
        yield "sensitivity.effects", max(spans)
        yield "sensitivity.stress", self.predict(moved).mean() - self.predict(rows).mean()
        rows = x[np.linspace(0, len(x) - 1, min(len(x), 5000)).astype(int)]
        now, falls = self.predict(rows), 0
        for name, shocks in SCENARIOS.items():
            means, grades = [now.mean()], np.searchsorted(self.scale, now)
            for severity in SEVERITIES:
                moved = rows.copy()
                for feature, (factor, summand) in shocks.items():
                    place = self.names.index(feature)
                    moved[:, place] = rows[:, place] * (1 + severity * (factor - 1)) + severity * summand
                then = self.predict(np.clip(moved, -EDGE, EDGE))
                _ = ((now < CUT) & (then >= CUT)).mean(), (np.searchsorted(self.scale, then) > grades).mean()
                means.append(then.mean())
            falls += sum(b < a - 1e-6 * a for a, b in pairwise(means))
            yield f"sensitivity.scenarios/{name}", means[1 + SEVERITIES.index(1)] - means[0]
        yield "sensitivity.scenario-order", falls
        y, p = self.y["validation"], self.p["validation"]
        residual, variance = y - p, p * (1 - p)
        quarters = []
        for column in x.T.astype(float):
            edges = edges_of(column, 4)
            quarters.append(np.where(np.isnan(column), 4, np.searchsorted(edges, column)))

        def segments(cells, count):
            n = np.bincount(cells, minlength=count)
            spread = np.bincount(cells, weights=variance, minlength=count)
            z = np.abs(np.bincount(cells, weights=residual, minlength=count)) / np.sqrt(np.maximum(spread, 1e-300))
            return z[(n >= LEAST) & (n < len(y)) & (spread > 0)]

        found = [segments(cells, 5) for cells in quarters]
        strongest = np.argsort([-one.max() for one in found], kind="stable")[:8]
        found += [segments(quarters[a] * 5 + quarters[b], 25) for a, b in combinations(strongest, 2)]
        yield "sensitivity.weak-spots", holm(2 * stats.norm.sf(np.concatenate(found))).min()
        card = make_pipeline(
            SimpleImputer(strategy="median"), KBinsDiscretizer(5, quantile_method="averaged_inverted_cdf"),
            LogisticRegression(max_iter=500),
        ).fit(self.x["development"], self.y["development"])  # fmt: skip
        both, cov = delong(y, p, card.predict_proba(x)[:, 1])
        _ = 2 * stats.norm.sf(abs(both[0] - both[1]) / np.sqrt(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1]))
        yield "sensitivity.benchmark", both[0] - both[1]

    def explanation(self):
        """Interventional Shapley values of refused applicants by shap, and how steady the four main reasons are."""
        refused = np.flatnonzero(self.p["validation"] >= CUT)
        refused = refused[np.unique(np.linspace(0, len(refused) - 1, EXPLAINED).round().astype(int))]
        rows, reference = self.x["validation"][refused], self.x["reference"][:REFERENCE]

        def values(of, against):
            explainer = shap.TreeExplainer(self.booster, against, feature_perturbation="interventional")
            return explainer.shap_values(of, check_additivity=False), explainer.expected_value

        def reasons(contributions):
            order = np.argsort(-contributions, axis=1, kind="stable")[:, :REASONS]
            told = np.zeros(contributions.shape, bool)
            np.put_along_axis(told, order, True, axis=1)
            return told & (contributions > 0)

        def agreement(other):
            return float(((main & other).sum(axis=1) / np.maximum((main | other).sum(axis=1), 1)).mean())

        every = np.linspace(0, len(self.x["validation"]) - 1, 2000).round().astype(int)
        added, base = values(self.x["validation"][every], reference)
        told = 1 / (1 + np.exp(-(base + added.sum(axis=1))))
        yield "explanation.additivity", np.abs(told - self.p["validation"][every]).max()
        found, _ = values(rows, reference)
        main = reasons(found)
        yield "explanation.reference", (found.sum(axis=1) > 0).mean()
        yield "explanation.missing", (main & np.isnan(rows)).any(axis=1).mean()
        again = []
        for seed in range(2):
            random = np.random.default_rng(seed)
            turn = random.permutation(len(rows))
            other = reasons(values(rows[turn], random.permutation(reference))[0])
            again.append((other == main[turn]).all(axis=1).mean())
        yield "explanation.repeat", min(again)
        half, noisy, changes, spread = [], [], [], np.nanstd(rows, axis=0)
        order = np.argsort(-found, axis=1, kind="stable")

        def gaps(contributions):
            lined = np.take_along_axis(contributions, order, axis=1)
            return lined - np.maximum(np.column_stack([lined[:, 1:], np.zeros(len(lined))]), 0)

        for seed in range(SEEDS):
            random = np.random.default_rng(seed)
            half.append(agreement(reasons(values(rows, random.permutation(reference)[: REFERENCE // 2])[0])))
            moved = (rows + random.normal(0, 0.01, rows.shape) * spread).astype(np.float32)
            disturbed = values(moved, reference)[0]
            noisy.append(agreement(reasons(disturbed)))
            changes.append((gaps(disturbed) - gaps(found)) ** 2)
        yield "explanation.background", np.mean(half)
        yield "explanation.noise", np.mean(noisy)
        noise = np.maximum(np.sqrt(np.mean(changes, axis=0)), 2**-20 * np.abs(found).max(axis=1, keepdims=True))
        some, last = np.flatnonzero(main.any(axis=1)), main.sum(axis=1) - 1
        yield "explanation.margin", (gaps(found) <= noise)[some, last[some]].mean()
        whole = pd.DataFrame(self.x["validation"])
        whole = whole.iloc[np.linspace(0, len(whole) - 1, min(len(whole), 20_000)).round().astype(int)]
        together = whole.fillna(whole.median()).rank().corr().abs().to_numpy()
        yield "explanation.correlation", together[np.triu_indices(len(together), 1)].max()
        shuffled = np.random.default_rng(0).random(main.shape)
        shuffled[main] = -1
        order = np.argsort(-shuffled, axis=1)
        rest = np.zeros(main.shape, bool)
        np.put_along_axis(rest, order, np.arange(main.shape[1]) < main.sum(axis=1, keepdims=True), axis=1)
        moves = [
            np.mean([self.p["validation"][refused] - self.predict(np.where(m, r, rows)) for r in reference[:8]], axis=0)
            for m in (main, rest)
        ]
        yield "explanation.faithfulness", (moves[0] > moves[1]).mean()

    def robustness(self):
        x, p, random = self.x["validation"], self.p["validation"], np.random.default_rng(1)
        kept = random.permutation(len(x))[:STRESSED]
        rows, scores = x[kept], p[kept]
        low, high = np.nanquantile(self.x["development"], (0.25, 0.75), axis=0)
        moved = rows + random.standard_normal(rows.shape) * NOISE * (high - low) / 1.349
        disturbed = self.predict(np.clip(moved, -EDGE, EDGE).astype(np.float32))
        yield "robustness.noise", flips(scores, disturbed)
        near = np.abs(scores - CUT) <= NEAR
        yield "robustness.near", flips(scores[near], disturbed[near])
        gone = (random.random(rows.shape) < MISSING) & np.isin(self.names, GAPPY)
        yield "robustness.missing", flips(scores, self.predict(np.where(gone, np.float32(np.nan), rows)))
        trees = veritas.get_addtree(self.booster, silent=True)
        ends = []
        for heuristic in (veritas.HeuristicType.MIN_OUTPUT, veritas.HeuristicType.MAX_OUTPUT):
            search = veritas.Config(heuristic).get_search(trees, {})
            search.steps(2000)
            ends.append(1 / (1 + np.exp(-search.current_bounds().best)))
        yield "robustness.range", max(0.0, -ends[0], ends[1] - 1)
        yield "robustness.change", self.attacked(random)
        asked, held = train_test_split(
            random.permutation(len(x))[: ANSWERS[-1] * 3 // 2 + 1], test_size=1 / 3, random_state=0
        )  # fmt: skip
        clean, copies = np.nan_to_num(x, nan=-EDGE), []
        for size in ANSWERS:
            thief = GradientBoostingRegressor(n_estimators=100, max_depth=4, subsample=0.5, random_state=0)
            guess = thief.fit(clean[asked[:size]], p[asked[:size]]).predict(clean[held])
            copies.append((r2_score(p[held], guess), accuracy_score(p[held] < CUT, guess < CUT)))
        yield "robustness.extraction", copies[-1][0]
        losses = [
            -np.log(np.clip(np.where(self.y[r] == 1, self.p[r], 1 - self.p[r]), 1e-9, 1))
            for r in ("development", "validation")
        ]
        member = np.repeat([1, 0], [len(one) for one in losses])
        yield "robustness.membership", delong(member, -np.concatenate(losses))[0][0]

    def attacked(self, random):
        """HopSkipJump against refused applicants, over the features that they can change, within the budget."""
        x, p, turned = self.x["validation"], self.p["validation"], 0
        places = [self.names.index(name) for name in CHANGEABLE]
        reach = np.array(list(CHANGEABLE.values()), np.float32).T * np.float32(BUDGET)
        for number in random.permutation(np.flatnonzero(p >= CUT))[:ATTACKED]:
            row = x[number]

            def decide(some, row=row):
                rows = np.repeat(row[None], len(some), axis=0)
                rows[:, places] = some
                score = self.predict(rows)
                return np.column_stack([score < CUT, score >= CUT]).astype(np.float32)

            start = row[places]
            classifier = BlackBoxClassifier(
                decide, input_shape=start.shape, nb_classes=2, clip_values=(start + reach[0], start + reach[1])
            )
            attack = HopSkipJump(
                classifier, norm=np.inf, max_iter=8, max_eval=100, init_eval=50, init_size=100, verbose=False
            )
            found = attack.generate(start[None])
            turned += decide(np.clip(found, start + reach[0], start + reach[1]))[0, 0] == 1
        return turned / ATTACKED

    def fairness(self):
        x, y, p = self.x["validation"], self.y["validation"], self.p["validation"]
        favoured = p < CUT
        frame = pd.DataFrame({"y": y, "p": p, "favoured": favoured})
        column = x[:, 0].astype(float)
        strata = np.searchsorted(edges_of(column, 4), column)
        for name, group in self.groups.items():
            table = frame.assign(bad=y, good=1 - y, hit=(y == 1) & ~favoured, false=(y == 0) & ~favoured)
            table = table.drop(columns="p").groupby(group).sum().assign(n=group.value_counts())
            lead = (table["favoured"] / table["n"]).idxmax()
            for other in table.index.drop(lead):
                wins = table.loc[[other, lead], "favoured"].to_numpy()
                sizes = table.loc[[other, lead], "n"].to_numpy()
                _ = stats.fisher_exact(np.stack([wins, sizes - wins])), sm.stats.proportions_ztest(wins, sizes)
                _ = confint_proportions_2indep(*np.array([wins, sizes]).T.ravel(), compare="ratio", method="log")
            yield f"fairness.air/{name}", demographic_parity_ratio(y, favoured, sensitive_features=group)
            yield f"fairness.odds/{name}", equalized_odds_difference(y, ~favoured, sensitive_features=group)
            for hits, of in (("hit", "bad"), ("false", "good")):
                a, b = ((table[hits] / table[of]).agg(f) for f in ("idxmax", "idxmin"))
                counts = np.array([[table.loc[g, hits], table.loc[g, of]] for g in (a, b)], float)
                _ = confint_proportions_2indep(*counts.ravel(), compare="diff", method="newcomb")
                _ = stats.fisher_exact(np.column_stack([counts[:, 0], counts[:, 1] - counts[:, 0]]))
            sizes = frame.groupby(group).agg(n=("y", "size"), d=("y", "sum"), p=("p", "mean"), v=("p", "var"))
            tail = jeffreys(sizes["n"], sizes["d"], sizes["p"])
            yield f"fairness.calibration/{name}", holm(np.minimum(1, 2 * np.minimum(tail, 1 - tail))).min()
            clipped = np.clip(p, 1e-12, 1 - 1e-12)
            logit = np.log(clipped / (1 - clipped))
            for one in sizes.index:
                member = (group == one).to_numpy()
                _ = sm.Logit(y[member], sm.add_constant(logit[member])).fit(disp=0).params
            apart = (sizes["p"] - sizes.loc[lead, "p"]) / np.sqrt((sizes["v"] + sizes.loc[lead, "v"]) / 2)
            yield f"fairness.smd/{name}", apart.abs().max()
            disparities, odds = [], []
            counts = pd.crosstab([strata, group], favoured)
            for other in table.index.drop(lead):
                tables = np.stack([
                    counts.xs(g, level=1).to_numpy(float)[:, ::-1] for g in (other, lead)
                ], axis=1)  # fmt: skip
                refused, accepted = tables[:, :, 1], tables[:, :, 0]
                gap = refused[:, 0] / refused.sum(axis=1) - accepted[:, 0] / accepted.sum(axis=1)
                disparities.append(np.average(gap, weights=tables.sum(axis=(1, 2))))
                pooled = StratifiedTable(list(tables))
                _ = pooled.oddsratio_pooled_confint(), pooled.test_null_odds()
                odds.append(pooled.oddsratio_pooled)
            yield f"fairness.cdd/{name}", max(disparities)
            yield f"fairness.common-odds/{name}", min(odds)
            yield from zip(
                (f"fairness.proxies/{name}", f"explanation.proxies/{name}"), self.proxies(group), strict=True
            )
        crossed = MetricFrame(metrics=selection_rate, y_true=y, y_pred=favoured, sensitive_features=self.groups)
        yield f"fairness.intersections/{' x '.join(self.groups)}", crossed.ratio()
        yield "fairness.alternatives", self.alternatives()

    def proxies(self, group):
        """Trees predict the group from the features on three folds; what shuffling a feature loses, and what each
        feature tells by itself, in bins."""
        rows = np.linspace(0, len(group) - 1, min(len(group), 8000)).astype(int)
        x, y = self.x["validation"][rows], group.to_numpy()[rows]
        names = np.unique(y)
        bins = [np.where(np.isnan(c), 16, np.searchsorted(edges_of(c, 16), c)) for c in x.T.astype(float)]
        told, lost, alone = np.zeros((len(y), len(names))), [], np.zeros((len(bins), len(names), len(y)))
        for seen, held in StratifiedKFold(3, shuffle=True, random_state=0).split(x, y):
            trees = HistGradientBoostingClassifier(
                max_iter=30, max_leaf_nodes=15, learning_rate=0.15, early_stopping=False, random_state=0
            ).fit(x[seen], y[seen])  # fmt: skip
            told[held] = trees.predict_proba(x[held])
            shuffled = permutation_importance(
                trees, x[held], y[held], scoring="roc_auc_ovr", n_repeats=1, random_state=0
            )  # fmt: skip
            lost.append(shuffled.importances_mean)
            for feature, cells in enumerate(bins):
                n = np.bincount(cells[seen], minlength=17)
                for place, name in enumerate(names):
                    hits = np.bincount(cells[seen], weights=y[seen] == name, minlength=17)
                    alone[feature, place, held] = ((hits + 0.5) / (n + 1))[cells[held]]
        areas = [delong(y == name, told[:, place])[0][0] for place, name in enumerate(names)]
        single = [roc_auc_score(y == name, one[place]) for one in alone for place, name in enumerate(names)]
        return max(areas), max(single)

    def alternatives(self):
        """Fairer ways at little loss: other cut-offs, and scores blended with those of a model that a feature is
        hidden from. Chosen on half of the rows, measured on the other half."""
        x = self.x["validation"]
        most = min(len(x), SEARCHED, 250_000 // x.shape[1])
        rows = np.linspace(0, len(x) - 1, most).astype(int)
        x, y, p = x[rows], self.y["validation"][rows], self.p["validation"][rows]
        codes = [np.unique(column.to_numpy()[rows], return_inverse=True)[1] for _, column in self.groups.items()]
        ways = [p]
        for place, middle in enumerate(np.nanquantile(x, 0.5, axis=0, method="lower")):
            silent = x.copy()
            silent[:, place] = middle
            other = self.predict(silent)
            ways += [(p + other) / 2, other]
        halves = train_test_split(np.arange(most), test_size=0.5, random_state=0)
        price, found = (1 - CUT) / CUT, []
        for number, score in enumerate(ways):
            areas = [roc_auc_score(y[half], score[half]) for half in halves]
            cuts = np.quantile(score[halves[0]], np.arange(1, 20) / 20)
            own = CUT if number == 0 else np.quantile(score[halves[0]], np.mean(p < CUT))
            for cut in [own, *cuts]:
                pair = []
                for half, area in zip(halves, areas, strict=True):
                    accepted = score[half] < cut
                    rates = [np.bincount(c[half], weights=accepted) / np.bincount(c[half]) for c in codes]
                    ratio = min(r.min() / r.max() for r in rates)
                    profit = np.mean(accepted * np.where(y[half] == 1, -price, 1.0))
                    pair.append((ratio, area, profit))
                found.append(pair)
        now = found[0]
        allowed = [
            one for one in found
            if now[0][1] - one[0][1] <= 0.01 and now[0][2] - one[0][2] <= 0.05 * abs(now[0][2])
        ]  # fmt: skip
        best = max(allowed, key=lambda one: one[0])
        return best[1][0] - now[1][0]


def main(folder):
    notebook = Notebook(folder)
    cells = (
        notebook.discrimination, notebook.calibration, notebook.stability, notebook.lifetime, notebook.data,
        notebook.sense, notebook.explanation, notebook.robustness, notebook.fairness,
    )  # fmt: skip
    return {test: float(figure) for cell in cells for test, figure in cell()}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))

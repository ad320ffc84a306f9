"""A validator's notebook as a script: the battery's tests with scikit-learn, fairlearn, scipy, and shap if installed.

    python -m bench.peers.battery_script FOLDER

Written as such notebooks are: libraries where they have a test, short formulas where they have none. It scores with
onnxruntime, draws with nothing, isolates nothing and signs nothing. Prints one JSON line of figures.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pandas as pd
from fairlearn.metrics import MetricFrame, selection_rate
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score, roc_curve

RESAMPLES = 200
EXPLAINED = 500


def delong_free_interval(y: Any, score: Any) -> tuple[float, float]:
    """Interval of the AUC by resampling: scikit-learn has no variance of it."""
    random, found = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        rows = random.integers(0, len(y), len(y))
        found.append(roc_auc_score(y[rows], score[rows]))
    return float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))


def psi(old: Any, new: Any) -> float:
    edges = np.unique(np.quantile(old, np.linspace(0, 1, 11)[1:-1]))
    counts = [np.bincount(np.searchsorted(edges, x), minlength=len(edges) + 1) / len(x) for x in (old, new)]
    a, b = (np.maximum(share, 1e-4) for share in counts)
    return float(((b - a) * np.log(b / a)).sum())


def main(folder: Path) -> dict[str, Any]:
    frames = {role: pd.read_parquet(folder / f"{role}.parquet") for role in ("development", "reference", "validation")}
    features = [name for name in frames["validation"].columns if name.startswith("x")]
    session = ort.InferenceSession((folder / "model.onnx").read_bytes(), providers=["CPUExecutionProvider"])

    def predict(frame: Any) -> Any:
        return session.run(["probabilities"], {"input": frame[features].to_numpy(np.float32)})[0][:, 1]

    p = {role: predict(frame).astype(float) for role, frame in frames.items()}
    check = frames["validation"]
    y, score = check["default"].to_numpy(), p["validation"]
    found: dict[str, Any] = {"auc": roc_auc_score(y, score), "interval": delong_free_interval(y, score)}
    found["development auc"] = roc_auc_score(frames["development"]["default"], p["development"])
    false, true, _ = roc_curve(y, score)
    found["ks"] = float(np.max(true - false))
    found["champion"] = found["auc"] - roc_auc_score(y, check["champion"])
    grade = np.searchsorted(np.quantile(p["development"], np.linspace(0, 1, 11)[1:-1]), score)
    table = (
        pd.DataFrame({"g": grade, "y": y, "p": score})
        .groupby("g")
        .agg(n=("y", "size"), d=("y", "sum"), p=("p", "mean"))
    )
    found["jeffreys"] = stats.beta.cdf(table["p"], table["d"] + 0.5, table["n"] - table["d"] + 0.5).tolist()
    found["jeffreys portfolio"] = float(stats.beta.cdf(score.mean(), y.sum() + 0.5, len(y) - y.sum() + 0.5))
    found["binomial"] = float(stats.binom.sf(y.sum() - 1, len(y), score.mean()))
    factor = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    rate = stats.norm.cdf((stats.norm.ppf(score.mean()) - np.sqrt(0.04) * factor) / np.sqrt(0.96))
    found["binomial correlated"] = float(stats.binom.sf(y.sum() - 1, len(y), rate).mean())
    chi = (((table["d"] - table["n"] * table["p"]) ** 2) / (table["n"] * table["p"] * (1 - table["p"]))).sum()
    found["hosmer-lemeshow"] = float(stats.chi2.sf(chi, len(table)))
    spread = np.sqrt(((1 - 2 * score) ** 2 * score * (1 - score)).sum())
    found["spiegelhalter"] = float(((y - score) * (1 - 2 * score)).sum() / spread)
    found["brier"] = brier_score_loss(y, score)
    clipped = np.clip(score, 1e-12, 1 - 1e-12)
    logit = np.log(clipped / (1 - clipped))[:, None]
    line = LogisticRegression(C=np.inf).fit(logit, y)
    found["line"] = [float(line.intercept_[0]), float(line.coef_[0, 0])]
    years = check.assign(p=score).groupby("year").agg(d=("default", "mean"), p=("p", "mean"))
    found["years"] = float(stats.ttest_1samp(years["d"] - years["p"], 0).statistic)
    moves = pd.crosstab(check["was"], grade + 1).to_numpy()
    found["migration"] = float(np.triu(moves, 1).sum() / moves.sum())
    shares = np.bincount(grade, weights=check["exposure"]) / check["exposure"].sum()
    found["concentration"] = float((shares**2).sum())
    found["psi"] = [psi(p["development"], score)] + [psi(frames["development"][x], check[x]) for x in features]
    groups = pd.read_parquet(folder / "validation-protected.parquet")["group"]
    rates = MetricFrame(metrics=selection_rate, y_true=y, y_pred=score < 0.3, sensitive_features=groups)
    found["adverse impact"] = float(rates.ratio())
    said = pd.read_parquet(folder / "predictions.parquet")["prediction"]
    found["parity"] = float(np.abs(said - p["reference"]).max())
    key = [*features, "default"]
    known = set(map(tuple, frames["development"][key].to_numpy(np.float32)))
    found["overlap"] = float(np.mean([tuple(row) in known for row in check[key].to_numpy(np.float32)]))
    try:
        import shap
    except ImportError:
        found["shap"] = "not installed"
    else:
        from bench.battery_data import model

        explainer = shap.TreeExplainer(
            model()[1], frames["reference"][features].to_numpy()[:16], feature_perturbation="interventional"
        )
        values = explainer.shap_values(check[features].to_numpy()[:EXPLAINED])
        found["shap"] = np.abs(values).mean(axis=0).tolist()
    return found


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))

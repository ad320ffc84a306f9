"""The data scientist's own work: two models of the same question. Strongroom only sees the packages."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from demo.data import FEATURES, OUTCOME

BOOSTING = {
    "n_estimators": 100,
    "max_depth": 3,
    "learning_rate": 0.06,
    "min_child_weight": 20,
    "subsample": 0.8,
    "random_state": 7,
    "n_jobs": 1,
}
"""Shallow and slow on purpose: deeper trees fit the development sample and fall further out of sample."""


def boosted(sample: pd.DataFrame) -> Any:
    """Gradient-boosted trees."""
    return XGBClassifier(**BOOSTING).fit(sample[list(FEATURES)].to_numpy("float32"), sample[OUTCOME])


def logistic(sample: pd.DataFrame) -> Any:
    """Logistic regression on scaled features: the simple benchmark."""
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return pipeline.fit(sample[list(FEATURES)].to_numpy("float32"), sample[OUTCOME])

"""Saved models of every format, small, for the tests of conversion. Made once a process."""

from __future__ import annotations

import pickle
import warnings
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.registry.models import FEATURES, frame

NAMES = list(FEATURES)
SAVED = (
    "joblib", "pickle", "cloudpickle", "skops", "lightgbm text", "lightgbm pickle", "xgboost json", "xgboost ubj",
    "statsmodels logit", "statsmodels cloglog", "mlflow",
)  # fmt: skip
DEVELOPMENT, REFERENCE = frame(600, 1), frame(300, 2)
MLMODEL = """\
flavors:
  python_function:
    loader_module: mlflow.sklearn
    env: {conda: conda.yaml}
  sklearn:
    pickled_model: model.pkl
    serialization_format: cloudpickle
    code: null
"""


def pipeline() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression()).fit(DEVELOPMENT[NAMES], DEVELOPMENT["default"])


def joblib_bytes(model: Any, compress: int = 0) -> bytes:
    import joblib

    with TemporaryDirectory() as folder:
        joblib.dump(model, Path(folder) / "m", compress=compress)
        return (Path(folder) / "m").read_bytes()


@cache
def saved() -> dict[str, tuple[str, str, bytes]]:
    """Format, file name, content, by name."""
    import cloudpickle
    import lightgbm
    import skops.io
    import statsmodels.api as sm
    import xgboost
    from sklearn.ensemble import RandomForestClassifier

    x, y = DEVELOPMENT[NAMES], DEVELOPMENT["default"]
    pipe = pipeline()
    clouded = cloudpickle.dumps(pipe)
    forest = RandomForestClassifier(10, max_depth=5, random_state=0).fit(x.to_numpy("float32"), y)
    light = lightgbm.LGBMClassifier(n_estimators=20, verbose=-1).fit(x, y)
    boosted = xgboost.XGBClassifier(n_estimators=10, max_depth=3).fit(x, y)
    logit = sm.Logit(y, sm.add_constant(x.astype(float))).fit(disp=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the link's alias
        glm = sm.GLM(
            y, sm.add_constant(x.astype(float)), family=sm.families.Binomial(sm.families.links.CLogLog())
        ).fit()
    return {
        "joblib": ("sklearn", "m.joblib", joblib_bytes(pipe, 3)),
        "pickle": ("sklearn", "m.pkl", pickle.dumps(forest)),
        "cloudpickle": ("sklearn", "m.pkl", clouded),
        "skops": ("sklearn", "m.skops", skops.io.dumps(pipe)),
        "lightgbm text": ("lightgbm", "m.txt", light.booster_.model_to_string().encode()),
        "lightgbm pickle": ("lightgbm", "m.pkl", pickle.dumps(light)),
        "xgboost json": ("xgboost", "m.json", bytes(boosted.get_booster().save_raw("json"))),
        "xgboost ubj": ("xgboost", "m.ubj", bytes(boosted.get_booster().save_raw("ubj"))),
        "statsmodels logit": ("statsmodels", "m.pkl", pickle.dumps(logit)),
        "statsmodels cloglog": ("statsmodels", "m.pkl", pickle.dumps(glm)),
        "mlflow": ("mlflow", "logged", clouded),
    }


def write(name: str, folder: Path) -> tuple[Path, str]:
    form, file, data = saved()[name]
    path = folder / file
    if form == "mlflow":
        return mlflow_folder(path, data), form
    path.write_bytes(data)
    return path, form


def mlflow_folder(folder: Path, model: bytes, mlmodel: str = MLMODEL) -> Path:
    folder.mkdir()
    (folder / "MLmodel").write_text(mlmodel)
    (folder / "model.pkl").write_bytes(model)
    (folder / "conda.yaml").write_text("dependencies: [python=3.11, {pip: [scikit-learn]}]\n")
    (folder / "requirements.txt").write_text("scikit-learn\n")
    return folder

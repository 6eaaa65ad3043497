"""Models that other libraries trained, from their files; the answers are those that the libraries gave (models/gbdt/tests/golden)."""

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tilewise

GOLDEN = Path(__file__).parents[2] / "models/gbdt/tests/golden"
CASES = [
    ("lightgbm", "regression", "regression.txt"),
    ("lightgbm", "binary", "binary.txt"),
    ("lightgbm", "multiclass", "multiclass.txt"),
    ("lightgbm", "lambdarank", "lambdarank.txt"),
    ("lightgbm", "names", "names.txt"),
    ("xgboost", "reg-squarederror", None),
    ("xgboost", "binary-logistic", None),
    ("xgboost", "multi-softprob", None),
    ("catboost", "rmse", "rmse.json"),
    ("catboost", "logloss", "logloss.json"),
    ("catboost", "multiclass", "multiclass.json"),
]


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("library, name, file", CASES, ids=lambda x: str(x))
def test_answers_are_those_of_the_library(library, name, file, tmp_path):
    golden = json.loads((GOLDEN / f"{library}.json").read_text())
    case = next(case for case in golden["cases"] if case["name"] == name)
    model = tilewise.load(GOLDEN / library / (file or case["file"]))
    X = np.array([[float(x) for x in row] for row in case["x"]])
    # Infinities are refused here as everywhere in this package.
    finite = ~np.isinf(X).any(axis=1)
    X, told = X[finite], np.array(case["predicted"], dtype=float)[finite]
    assert finite.sum() > 20 and model.library_ == library
    classifies = isinstance(model, tilewise.ImportedClassifier)
    answers = model.predict_proba(X) if classifies else model.predict(X).reshape(told.shape)
    if told.shape[1] == 1 and classifies:
        told = np.hstack([1.0 - told, told])
    # XGBoost answers in 32 bits.
    assert np.allclose(answers, told, rtol=1e-6 if library == "xgboost" else 1e-12, atol=1e-7 if library == "xgboost" else 1e-14)
    names = [name for name, _ in model._model.inputs]
    by_name = model.predict_proba if classifies else model.predict
    assert np.array_equal(by_name(pd.DataFrame(X, columns=names)).reshape(told.shape), answers)
    model.save(tmp_path / "m.safetensors")
    again = pickle.loads(pickle.dumps(tilewise.load(tmp_path / "m.safetensors")))
    assert type(again) is type(model) and np.array_equal(again.predict(X), model.predict(X))


def test_categories_come_by_name_and_fits_are_refused():
    model = tilewise.load(GOLDEN / "lightgbm/pandas.txt")
    case = next(c for c in json.loads((GOLDEN / "lightgbm.json").read_text())["cases"] if c["name"] == "pandas")
    kinds = dict(model._model.inputs)
    assert list(kinds.values()).count("categorical") > 0
    X = pd.DataFrame(case["x"], columns=list(kinds))
    for name, kind in kinds.items():
        if kind == "numeric":
            X[name] = X[name].astype(float)
        elif kind == "categorical":
            X[name] = X[name].astype(str).where(X[name] != "nan", None)
    finite = ~np.isinf(X.select_dtypes("number")).any(axis=1)
    told = np.array(case["predicted"], dtype=float)[finite.to_numpy(), 0]
    assert finite.sum() > 20 and np.allclose(model.predict(X[finite]), told, rtol=1e-12)
    with pytest.raises(TypeError, match="another library trained"):
        model.fit(case["x"], [row[0] for row in case["predicted"]])
    with pytest.raises(ValueError, match="features"):
        model.predict(np.zeros((2, 99)))

"""What a model file tells of its fit that no estimator has a parameter for."""

import json
import os
import pickle
import subprocess
import warnings

import numpy as np
import pandas as pd
import pytest
import tilewise
from tilewise._loaded import parameters

LOGISTIC = {"estimator": "logistic", "class_weights": "ones", "intercept": True, "l2": 0.5, "max_rounds": 100, "solver": "auto", "tolerance": 1e-8}
LASSO = {"estimator": "elastic_net", "alpha": 0.1, "intercept": True, "l1_ratio": 1.0, "max_rounds": 100, "solver": "auto", "tolerance": 1e-8}
TREE = {
    "ccp_alpha": 0.0, "class_weights": "rows", "columns_by_level": 1.0, "columns_by_tree": 1.0, "criterion": "auto", "growth": "leaf_wise",
    "interactions": [], "max_depth": None, "max_features": "all", "max_leaves": 31, "min_impurity_decrease": 0.0, "min_samples_leaf": 20,
    "min_samples_split": 2, "monotone": [], "splitter": "best", "unseen": "missing",
}
GBDT = {
    "dart": None, "early_stopping": None, "goss": None, "learning_rate": 0.1, "loss": "auto", "path_smoothing": 0.0, "stages": 100,
    "penalty": {"category_smoothing": 10.0, "l1": 0.0, "l2": 1.0, "min_hessian": 0.001}, "subsample": 1.0, "tree": TREE,
}  # fmt: skip


class File:
    """A model as far as its parameters are concerned."""

    inputs = ()

    def __init__(self, kind, params, **others):
        self.kind, self._held = kind, {"params": params, **others}

    def metadata(self, key):
        return json.dumps(self._held[key]) if key in self._held else None


@pytest.mark.parametrize(
    "kind, params, told",
    [
        ("logistic", LOGISTIC | {"estimator": "gradient_descent"}, ["solver=gradient-descent"]),
        ("lasso", LASSO | {"solver": "gram"}, ["solver=gram"]),
        ("gbdt", GBDT | {"subsample": 0.5, "path_smoothing": 2.0}, ["subsample=0.5", "path_smoothing=2.0"]),
        ("gbdt", GBDT | {"goss": {"top": 0.2, "other": 0.1}}, ["goss="]),
        ("gbdt", GBDT | {"dart": {"rate": 0.1}}, ["dart="]),
        ("gbdt", GBDT | {"penalty": GBDT["penalty"] | {"l1": 3.0}}, ["l1=3.0"]),
        ("gbdt", GBDT | {"tree": TREE | {"columns_by_tree": 0.5}}, ["columns_by_tree=0.5"]),
        ("tree", TREE | {"growth": "oblivious"}, ["growth=oblivious"]),
    ],
)
def test_what_no_estimator_can_say_is_told(kind, params, told):
    with pytest.warns(UserWarning, match="a clone of it fits otherwise") as found:
        parameters(File(kind, params), kind == "logistic")
    assert all(part in str(found[0].message) for part in told)


def test_standardised_columns_are_told_where_there_is_a_penalty():
    with pytest.warns(UserWarning, match="standardise=True"):
        parameters(File("logistic", LOGISTIC, encoder={"standardise": True}), True)
    with warnings.catch_warnings(action="error"):
        parameters(File("logistic", LOGISTIC | {"l2": 0.0}, encoder={"standardise": True}), True)


@pytest.mark.parametrize("C", [1.0, 0.3, 7.0, 1e-5])
@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.35, 1.0])
def test_penalties_are_shared_as_they_were(C, ratio):
    penalty = 1.0 / C
    told = parameters(File("logistic", LOGISTIC | {"l1": penalty * ratio, "l2": penalty * (1.0 - ratio)}), True)
    assert (told["C"], told["l1_ratio"]) == (C, ratio)


def test_what_estimators_fit_is_loaded_without_a_word(tmp_path):
    X, y = [[float(i), float(i * 7 % 11)] for i in range(60)], [i % 3 + 1 for i in range(60)]
    for estimator in [
        tilewise.Ridge(), tilewise.Lasso(), tilewise.PoissonRegressor(), tilewise.LogisticRegression(), tilewise.DecisionTreeRegressor(),
        tilewise.RandomForestClassifier(n_estimators=2), tilewise.ExtraTreesRegressor(n_estimators=2),
        tilewise.HistGradientBoostingRegressor(max_iter=2), tilewise.HistGradientBoostingClassifier(max_iter=2),
        tilewise.HistGradientBoostingRegressor("absolute_error", max_iter=2), tilewise.IsolationForest(n_estimators=2),
    ]:  # fmt: skip
        estimator.fit(X, y).save(tmp_path / "m")
        with warnings.catch_warnings(action="error"):
            tilewise.load(tmp_path / "m")


def test_mapped_models_are_those_that_are_read(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 3)), np.arange(400) % 3
    path = tmp_path / "m.safetensors"
    for model in (tilewise.RandomForestClassifier(n_estimators=7), tilewise.HistGradientBoostingClassifier(max_iter=9), tilewise.Ridge()):
        model.fit(X, y).save(path)
        # One that replaces a file has its mode.
        path.chmod(0o644)
        with pytest.raises(OSError, match="chmod a-w"):
            tilewise.load(path, mmap_mode="r")
        path.chmod(0o444)
        mapped, read = tilewise.load(path, mmap_mode="r"), tilewise.load(path)
        assert np.array_equal(mapped.predict(X), read.predict(X)) and mapped.get_params() == read.get_params()
        assert pickle.dumps(mapped) == pickle.dumps(read)
        assert mapped.describe() == read.describe()
        # The next one takes its name; what was mapped stays.
        tilewise.Lasso().fit(X, y).save(path)
        assert np.array_equal(mapped.predict(X), read.predict(X))
    with pytest.raises(ValueError, match="None or 'r'"):
        tilewise.load(path, mmap_mode="r+")
    text = tmp_path / "lightgbm.txt"
    text.write_text("tree\nversion=v4\n")
    with pytest.raises(ValueError, match="another library"):
        tilewise.load(text, mmap_mode="r")


def test_files_of_solvers_that_no_estimator_has_load(tmp_path):
    """What the command line trains: descent, bounds of single columns, groups of classes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    data = tmp_path / "t.csv"
    frame = pd.DataFrame(X, columns=["a", "b"])
    rows = np.column_stack([X, X @ [1.0, -2.0] + 0.1 * rng.normal(size=60), X[:, 0] > 0])
    data.write_text("a,b,y,c\n" + "".join(f"{a},{b},{y},{'yes' if c else 'no'}\n" for a, b, y, c in rows))
    command = os.environ.get("TILEWISE_COMMAND")
    if command is None:
        pytest.skip("the command line is not built")
    path = tmp_path / "m"

    def trained(model, *settings, target="y"):
        told = [word for setting in settings for word in ("--set", setting)]
        other = "c" if target == "y" else "y"
        arguments = ["train", "--model", model, "--data", data, "--target", target, "--ignore", other, "--out", path, *told]
        subprocess.run([command, *arguments], check=True, capture_output=True)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            return tilewise.load(path), " ".join(str(each.message) for each in told)

    for model, *settings in [("linear",), ("ridge",), ("lasso", "alpha=0.1"), ("elastic-net", "alpha=0.1"), ("huber", "scale=1")]:
        found, told = trained(model, "solver=sgd", *settings)
        assert "solver=sgd" in told and np.isfinite(found.predict(frame)).all(), (model, told)
        assert not hasattr(found, "dual_gap_")
    assert found.fit_intercept and trained("lasso", "alpha=0.1", "solver=sgd")[0].alpha == 0.1
    found, told = trained("logistic", "solver=sgd", target="c")
    assert "solver=sgd" in told and found.score(frame, np.where(X[:, 0] > 0, "yes", "no")) > 0.8
    found, told = trained("ridge", "lower=a:0", "upper=b:0")
    assert "columns=" in told and found.coef_[0] >= 0.0 >= found.coef_[1]
    found, _ = trained("group-lasso", "groups=a,b", "alpha=0.01", target="c")
    assert list(found.classes_) == ["no", "yes"]


@pytest.mark.parametrize(
    "model, target, settings",
    [
        ("linear", "y", []), ("ridge", "y", ["alpha=2"]), ("lasso", "y", []), ("poisson", "n", []), ("huber", "y", []),
        ("logistic", "c", []), ("logistic", "c", ["impute=false"]), ("network", "c", ["epochs=3"]), ("network", "y", ["epochs=3"]), ("tree", "y", []),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_what_is_missing_is_answered_as_the_file_does(tmp_path, model, target, settings):
    """By `tilewise predict`, of numbers, categories and booleans."""
    command = os.environ.get("TILEWISE_COMMAND")
    if command is None:
        pytest.skip("the command line is not built")
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(rng.normal(size=(90, 2)), columns=["a", "b"])
    frame["k"], frame["t"] = rng.choice(["u", "v", "w"], 90), rng.choice([True, False], 90)
    frame["y"] = frame["a"] - frame["b"] * (frame["k"] == "u") + 0.1 * rng.normal(size=90)
    frame["n"], frame["c"] = (frame["y"].abs() * 3).round(), np.where(frame["y"] > 0, "yes", "no")
    imputes = "impute=false" not in settings
    holes = frame.copy()
    for at, name in enumerate(["a", "b", "t", "k"] if imputes else ["k"]):
        holes[name] = holes[name].astype(object).where(np.arange(90) % 5 != at, None)
    for name, table in (("train", holes if imputes else frame), ("holes", holes)):
        table.to_csv(tmp_path / f"{name}.csv", index=False, float_format="%.17g")
    sets = [part for setting in settings for part in ("--set", setting)]
    ignored = ",".join({"y", "n", "c"} - {target})
    train = ["train", "--model", model, "--data", tmp_path / "train.csv", "--target", target, "--ignore", ignored, "--out", tmp_path / "m", *sets]
    subprocess.run([command, *train], check=True, capture_output=True)
    asked = [command, "predict", "--model", tmp_path / "m", "--data", tmp_path / "holes.csv", *["--proba"] * (target == "c")]
    told = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.splitlines()[1:]
    loaded = tilewise.load(tmp_path / "m")
    rows = holes[["a", "b", "k", "t"]].copy()
    if target == "c":
        found = [f"{label},{','.join(map(str, shares))}" for label, shares in zip(loaded.predict(rows), loaded.predict_proba(rows).tolist())]
        assert [line.split(",")[0] for line in found] == [line.split(",")[0] for line in told]
        assert [[float(x) for x in line.split(",")[1:]] for line in found] == [[float(x) for x in line.split(",")[1:]] for line in told]
    else:
        assert loaded.predict(rows).tolist() == [float(line) for line in told]
    again = pickle.loads(pickle.dumps(loaded))
    assert np.array_equal(again.predict(rows), loaded.predict(rows)) and again.__sklearn_tags__().input_tags.allow_nan
    if not imputes:
        with pytest.raises(ValueError, match='row 1 .counted from 0., column "a": the number is missing and this model does not impute'):
            loaded.predict(rows.assign(a=np.where(np.arange(90) == 1, np.nan, 0.0)))
    if model == "tree":
        return
    # A fit of the estimator anew is as ever.
    with pytest.raises(ValueError, match="Input X contains NaN"):
        loaded.fit(rows, frame[target])
    loaded.fit(frame[["a", "b", "k", "t"]], frame[target])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        loaded.predict(rows)
    assert not loaded.__sklearn_tags__().input_tags.allow_nan

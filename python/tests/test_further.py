"""Networks that are trained further: `partial_fit` and `warm_start`, beside fits at once and scikit-learn."""

import pickle
import warnings

import numpy as np
import pytest
import sklearn.neural_network
import tilewise
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning

#: For as long as it is told, whatever the losses.
FIXED = {"tol": None, "random_state": 1, "learning_rate_init": 0.01}


def problem(kind):
    X, y = (load_iris if "Classifier" in kind else load_diabetes)(return_X_y=True)
    return X, y, {"classes": np.unique(y)} if "Classifier" in kind else {}


def answers(model, X):
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


KINDS = ["MLPClassifier", "MLPRegressor"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", ["adam", "sgd", "rmsprop", "lamb"])
@pytest.mark.parametrize("rate", ["constant", "adaptive", "invscaling"])
def test_epochs_one_by_one_are_a_fit(kind, solver, rate):
    X, y, classes = problem(kind)
    model = getattr(tilewise, kind)(hidden_layer_sizes=(7,), solver=solver, learning_rate=rate, batch_size=40, dropout=0.1, **FIXED)
    whole = clone(model).set_params(max_iter=6).fit(X, y)
    # After a fit, through a pickle, at other numbers of threads.
    parts = [clone(model), clone(model).set_params(max_iter=2).fit(X, y)]
    for threads, part in enumerate(parts, 1):
        while len(getattr(part, "loss_curve_", [])) < 6:
            part = pickle.loads(pickle.dumps(part)).set_params(n_jobs=threads)
            part.partial_fit(X, y, **classes)
        assert np.array_equal(answers(part, X), answers(whole, X))
        assert part.loss_curve_ == whole.loss_curve_ and part.t_ == whole.t_ and part.n_iter_ == 1
        # Their files are the same, without what the optimiser keeps.
        assert part._model.to_bytes() == whole._model.to_bytes() != part._model.checkpoint()


def test_classes_may_come_later_and_none_is_new():
    X, y = load_iris(return_X_y=True)
    for names in (np.array([0, 1, 2]), np.array(["b", "a", "\u00fc"]), np.array([3.0, 1.0, -1.0]), np.array([10, 9, 100])):
        texts = names[y]
        unknown = np.array(["z"] if texts.dtype.kind == "U" else [7])
        model = tilewise.MLPClassifier((20,), batch_size=30, **FIXED)
        with pytest.raises(ValueError, match="classes must be passed on the first call"):
            model.partial_fit(X, texts)
        assert model.partial_fit(X[:50], texts[:50], classes=names) is model
        assert model.classes_.tolist() == sorted(names) and model.predict_proba(X).shape == (150, 3)
        for _ in range(60):
            model.partial_fit(X, texts)
        assert model.score(X, texts) > 0.9
        before = answers(model, X)
        with pytest.raises(ValueError, match="`y` has classes not in `self.classes_`"):
            model.partial_fit(X[:1], unknown)
        with pytest.raises(ValueError, match="not the same as on last call"):
            model.partial_fit(X, texts, classes=names[:2])
        with pytest.raises(ValueError, match="X has 3 features, but MLPClassifier is expecting 4"):
            model.partial_fit(X[:, :3], texts)
        assert np.array_equal(answers(model, X), before)
        # One row is enough to go on with.
        assert not np.array_equal(answers(model.partial_fit(X[:1], texts[:1]), X), before)


def test_what_has_no_next_epoch_is_refused():
    X, y = load_iris(return_X_y=True)
    for kind in KINDS:
        model = getattr(tilewise, kind)(hidden_layer_sizes=(4,))
        assert hasattr(model, "partial_fit") and not hasattr(model.set_params(solver="lbfgs"), "partial_fit")
        classes = {"classes": [0, 1, 2]} if kind == "MLPClassifier" else {}
        with pytest.raises(ValueError, match="partial_fit does not support early_stopping"):
            model.set_params(solver="adam", early_stopping=True).partial_fit(X, y, **classes)
        with pytest.raises(ValueError, match="'cosine' depends on how many epochs"):
            model.set_params(early_stopping=False, learning_rate="cosine").partial_fit(X, y, **classes)
    assert not hasattr(sklearn.neural_network.MLPClassifier(solver="lbfgs"), "partial_fit")
    with pytest.raises(ValueError, match="at least 2 classes"):
        tilewise.MLPClassifier().partial_fit(X, np.zeros(len(X)), classes=[0])
    model = tilewise.MLPClassifier((4,)).partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="optimiser|solver"):
        model.set_params(solver="sgd").partial_fit(X, y)
    with pytest.raises(ValueError, match="other layers"):
        model.set_params(solver="adam", hidden_layer_sizes=(5,)).partial_fit(X, y)


def test_preparation_and_precision_are_those_of_the_first_rows():
    X, y = load_diabetes(return_X_y=True)
    X = np.vstack([X] * 3)
    y = np.concatenate([y] * 3)
    model = tilewise.MLPRegressor(hidden_layer_sizes=(6,), random_state=1, alpha=0.0).partial_fit(X[:100], y[:100])
    assert model.coefs_[0].dtype == np.float64
    before = model.predict(X)
    # Other rows, of another scale and more than a thousand, with a step of next to nothing.
    model.set_params(learning_rate_init=1e-13).partial_fit(1000.0 + 50.0 * X, 9.0 * y)
    assert model.coefs_[0].dtype == np.float64 and np.allclose(model.predict(X), before, rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_warm_start_begins_with_the_weights_and_another_optimiser(kind):
    X, y, _ = problem(kind)
    # An optimiser that keeps nothing is the same anew: four and five are nine, bit for bit.
    plain = {"solver": "sgd", "momentum": 0.0, "nesterovs_momentum": False, "shuffle": False, "batch_size": 30}
    make = getattr(tilewise, kind)
    model = make(hidden_layer_sizes=(6,), max_iter=4, warm_start=True, **plain, **FIXED)
    whole = clone(model).set_params(max_iter=9).fit(X, y)
    first = answers(model.fit(X, y), X)
    model.set_params(max_iter=5).fit(X, y)
    assert np.array_equal(answers(model, X), answers(whole, X)) and not np.array_equal(first, answers(whole, X))
    assert (model.n_iter_, model.t_, model.loss_curve_) == (5, whole.t_, whole.loss_curve_)
    # As there: n_iter_ is that of the last fit, rows and losses are those of all.
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        theirs = getattr(sklearn.neural_network, kind)(max_iter=4, warm_start=True)
        theirs.fit(X, y).set_params(max_iter=5).fit(X, y)
    assert (theirs.n_iter_, theirs.t_, len(theirs.loss_curve_)) == (5, 9 * len(X), 9)
    # Adam keeps something, and begins anew.
    adam = make(hidden_layer_sizes=(6,), max_iter=4, warm_start=True, shuffle=False, **FIXED)
    at_once = clone(adam).set_params(max_iter=8).fit(X, y)
    assert not np.array_equal(answers(adam.fit(X, y).fit(X, y), X), answers(at_once, X))
    assert adam.loss_curve_[4] < adam.loss_curve_[0]
    assert np.array_equal(answers(clone(adam).set_params(warm_start=False).fit(X, y).fit(X, y), X), answers(clone(adam).fit(X, y), X))
    with pytest.raises(ValueError, match="X has 3 features"):
        model.fit(X[:, :3], y)
    if "Classifier" in kind:
        with pytest.raises(ValueError, match="warm_start can only be used where `y` has the same classes"):
            model.fit(X, y + 1)
    with pytest.raises(ValueError, match="other layers"):
        model.set_params(hidden_layer_sizes=(7,)).fit(X, y)


def test_files_are_trained_further(tmp_path):
    X, y = load_iris(return_X_y=True)
    model = tilewise.MLPClassifier((6,), max_iter=4, **FIXED).fit(X, y)
    model.save(tmp_path / "m")
    loaded = tilewise.load(tmp_path / "m").set_params(warm_start=True)
    assert loaded._model.checkpoint() is None is not model._model.checkpoint()
    again = clone(model).set_params(warm_start=True).fit(X, y).fit(X, y)
    assert np.array_equal(answers(loaded.fit(X, y), X), answers(again, X))
    # An optimiser begins anew, so the first epoch from the file is that of a warm start.
    part = tilewise.load(tmp_path / "m").partial_fit(X, y)
    warm = tilewise.load(tmp_path / "m").set_params(warm_start=True, max_iter=1).fit(X, y)
    assert np.array_equal(answers(part, X), answers(warm, X))
    # lbfgs too begins with the weights.
    full = tilewise.MLPClassifier((4,), "tanh", solver="lbfgs", alpha=1.0, max_iter=2000, warm_start=True).fit(X, y)
    steps, found = full.n_iter_, answers(full, X)
    assert full.fit(X, y).n_iter_ == 1 < steps and np.array_equal(answers(full, X), found)


def test_classes_of_a_file_keep_its_order(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 2))
    X[:, 0] += np.arange(90) % 3 * 8.0
    names = np.array(["1", "2", "10"])[np.arange(90) % 3]
    made = tilewise.MLPClassifier(max_iter=100, random_state=0).fit(X, names)
    made.save(tmp_path / "m.safetensors")
    loaded = tilewise.load(tmp_path / "m.safetensors")
    numbers = names.astype(int)
    for classes in (None, [1, 2, 10]):
        for _ in range(20):
            loaded.partial_fit(X, numbers, classes=classes)
        assert (loaded.predict(X) == numbers).mean() > 0.9


def test_targets_of_a_file_keep_their_names(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    made = tilewise.MLPRegressor(max_iter=5, random_state=0).fit(X, X)
    made.save(tmp_path / "m.safetensors")
    loaded = tilewise.load(tmp_path / "m.safetensors")
    assert loaded.partial_fit(X, X).predict(X).shape == (60, 2)


def test_another_way_of_falling_rates_is_refused():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    model = tilewise.MLPRegressor(learning_rate="adaptive", solver="sgd", random_state=0).partial_fit(X, X[:, 0])
    with pytest.raises(ValueError, match="plateau"):
        model.set_params(learning_rate="constant").partial_fit(X, X[:, 0])

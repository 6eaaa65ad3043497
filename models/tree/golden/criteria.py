"""What scikit-learn's trees predict for their own training rows, by criterion: writes criteria.json beside this file.

python -m venv v && v/bin/pip install scikit-learn==1.9.1 && v/bin/python criteria.py
"""
import json
import pathlib
import numpy as np
import sklearn
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor


def problem(seed):
    rng = np.random.default_rng(seed)
    x = rng.permuted(np.tile(np.arange(80.0), (3, 1)), axis=1).T
    score = np.sin(x[:, 0] / 9) + x[:, 1] / 40 + 0.3 * rng.standard_normal(80)
    y = {"classes": np.digitize(score, [0.3, 1.2, 1.9]).tolist(), "two": (score > 1).astype(int).tolist(),
         "numbers": np.round(score, 3).tolist(), "counts": rng.poisson(np.exp(score)).tolist()}
    return x, y, rng.integers(0, 4, 80)


def fitted(x, y, weights, target, criterion, weighted, seed):
    kind = DecisionTreeClassifier if target in ("classes", "two") else DecisionTreeRegressor
    tree = kind(criterion=criterion, max_depth=3, min_samples_leaf=4, random_state=seed)
    # Rows of weight 0 would count as rows of a leaf.
    kept = np.flatnonzero(weights) if weighted else np.arange(80)
    tree.fit(x[kept], np.array(y[target])[kept], sample_weight=weights[kept] if weighted else None)
    return tree, tree.predict_proba(x) if kind is DecisionTreeClassifier else tree.predict(x)[:, None]


PAIRS = [("classes", "gini"), ("classes", "entropy"), ("two", "gini"), ("two", "entropy"),
         ("numbers", "squared_error"), ("counts", "poisson")]
# The first seed whose splits have no equals: of equals scikit-learn takes one by chance.
for seed in range(1000):
    x, y, weights = problem(seed)
    cases = []
    for (target, criterion), weighted in [(pair, w) for pair in PAIRS for w in (False, True)]:
        tree, p = fitted(x, y, weights, target, criterion, weighted, 0)
        if any(np.abs(fitted(x, y, weights, target, criterion, weighted, s)[1] - p).max() > 1e-9 for s in range(1, 6)):
            break
        cases.append({"target": target, "criterion": criterion, "weighted": weighted,
                      "leaves": int(tree.get_n_leaves()), "predictions": p.ravel().tolist()})
    if len(cases) == 2 * len(PAIRS):
        break
out = {"scikit_learn": sklearn.__version__, "x": x.ravel().tolist(), "y": y, "weights": weights.tolist(),
       "cases": cases}
pathlib.Path(__file__).with_name("criteria.json").write_text(json.dumps(out) + "\n")
print(f"seed {seed}, {len(cases)} cases")

"""The nodes of scikit-learn's trees on columns of 400 and more different values, which look at each of them: writes exact.json
beside this file.

python -m venv v && v/bin/pip install scikit-learn==1.9.1 && v/bin/python exact.py
"""
import json
import pathlib
import numpy as np
import sklearn
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

ROWS = 500


def problem(seed):
    """Two columns without and one with equal values, all of which are f32 too."""
    rng = np.random.default_rng(seed)
    x = np.stack([rng.permutation(8 * ROWS)[:ROWS] / 64, rng.permutation(ROWS) ** 2 / 16, rng.integers(0, 2000, ROWS) - 900.0])
    score = np.sin(x[0] / 9) + np.sqrt(x[1]) / 60 + 0.3 * rng.standard_normal(ROWS)
    y = {"classes": np.digitize(score, [0.3, 1.2, 1.9]).tolist(), "two": (score > 1).astype(int).tolist(),
         "numbers": np.round(score, 3).tolist()}
    return x.T, y, rng.integers(1, 4, ROWS)


def nodes(x, y, weights, target, criterion, weighted, seed):
    """Feature (-1 in leaves), threshold, rows and value of each node, parents first, left before right."""
    kind = DecisionTreeRegressor if target == "numbers" else DecisionTreeClassifier
    tree = kind(criterion=criterion, max_depth=7 if target == "numbers" else 3, min_samples_leaf=8, random_state=seed)
    tree = tree.fit(x, np.array(y[target]), sample_weight=weights if weighted else None).tree_
    feature = np.where(tree.children_left < 0, -1, tree.feature)
    return [{"feature": int(f), "threshold": float(t), "rows": int(n), "value": v.ravel().tolist()}
            for f, t, n, v in zip(feature, tree.threshold, tree.n_node_samples, tree.value)]


PAIRS = [("classes", "gini"), ("classes", "entropy"), ("two", "gini"), ("two", "entropy"), ("numbers", "squared_error")]
# The first seed whose splits have no equals: of equals scikit-learn takes one by chance.
for seed in range(1000):
    x, y, weights = problem(seed)
    cases = []
    for (target, criterion), weighted in [(pair, w) for pair in PAIRS for w in (False, True)]:
        of = [nodes(x, y, weights, target, criterion, weighted, s) for s in range(6)]
        # Values differ by how they were rounded.
        if any([{**node, "value": 0} for node in other] != [{**node, "value": 0} for node in of[0]] for other in of):
            break
        cases.append({"target": target, "criterion": criterion, "weighted": weighted, "nodes": of[0]})
    if len(cases) == 2 * len(PAIRS):
        break
out = {"scikit_learn": sklearn.__version__, "x": x.ravel().tolist(), "y": y, "weights": weights.tolist(),
       "cases": cases}
pathlib.Path(__file__).with_name("exact.json").write_text(json.dumps(out) + "\n")
print(f"seed {seed}, {len(cases)} cases, {[len(case['nodes']) for case in cases]} nodes")

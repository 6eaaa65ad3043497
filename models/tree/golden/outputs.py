"""What scikit-learn's trees of three numbers predict for their own training rows: writes outputs.json beside this file.

python -m venv v && v/bin/pip install scikit-learn==1.9.1 && v/bin/python outputs.py
"""
import json
import pathlib
import numpy as np
import sklearn
from sklearn.tree import DecisionTreeRegressor

ROWS = 80


def problem(seed):
    rng = np.random.default_rng(seed)
    x = rng.permuted(np.tile(np.arange(float(ROWS)), (3, 1)), axis=1).T
    y = np.c_[np.sin(x[:, 0] / 9), 3 - x[:, 1] / 20, 0.01 * x[:, 2]] + rng.standard_normal((ROWS, 3)) * [0.3, 0.6, 0.1]
    x[rng.random(ROWS) < 0.2, 0] = np.nan
    return x, np.round(y, 3), rng.integers(1, 4, ROWS)


CASES = [{"max_depth": 3, "min_samples_leaf": 4}, {"max_depth": 3, "min_samples_leaf": 4, "weighted": True},
         {"max_leaf_nodes": 7, "min_samples_leaf": 3}, {"max_depth": 5, "min_samples_leaf": 5, "ccp_alpha": 0.01},
         {"min_samples_leaf": 2, "min_impurity_decrease": 0.01}]


def fitted(x, y, weights, case, seed):
    case = dict(case)
    weights = weights if case.pop("weighted", False) else None
    tree = DecisionTreeRegressor(random_state=seed, **case).fit(x, y, sample_weight=weights)
    return tree, tree.predict(x)


# The first seed whose splits have no equals: of equals scikit-learn takes one by chance.
for seed in range(1000):
    x, y, weights = problem(seed)
    cases = []
    for case in CASES:
        tree, p = fitted(x, y, weights, case, 0)
        if any(np.abs(fitted(x, y, weights, case, s)[1] - p).max() > 1e-9 for s in range(1, 6)):
            break
        cases.append({"max_depth": None, "max_leaf_nodes": None, "ccp_alpha": 0.0, "min_impurity_decrease": 0.0,
                      "weighted": False, **case, "leaves": int(tree.get_n_leaves()), "predictions": p.ravel().tolist()})
    if len(cases) == len(CASES):
        break
out = {"scikit_learn": sklearn.__version__, "x": [None if np.isnan(v) else v for v in x.ravel()],
       "y": y.T.tolist(), "weights": weights.tolist(), "cases": cases}
pathlib.Path(__file__).with_name("outputs.json").write_text(json.dumps(out) + "\n")
print(f"seed {seed}, {len(cases)} cases, leaves {[case['leaves'] for case in cases]}")

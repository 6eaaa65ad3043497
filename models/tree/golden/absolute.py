"""What scikit-learn's trees with criterion absolute_error predict for their own training rows: writes absolute.json here.

python -m venv v && v/bin/pip install scikit-learn==1.9.1 && v/bin/python absolute.py
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
    y = np.sin(x[:, 0] / 9) + x[:, 1] / 40 + 0.3 * rng.standard_t(2, ROWS)
    x[rng.random(ROWS) < 0.2, 0] = np.nan
    return x, np.round(y, 3), rng.integers(1, 4, ROWS)


CASES = [{"max_depth": 3, "min_samples_leaf": 4}, {"max_depth": 3, "min_samples_leaf": 4, "weighted": True},
         {"max_leaf_nodes": 7, "min_samples_leaf": 3}, {"max_leaf_nodes": 7, "min_samples_leaf": 3, "weighted": True},
         {"max_depth": 4, "min_samples_leaf": 5, "ccp_alpha": 0.02}, {"min_samples_leaf": 2, "min_samples_split": 20}]


def fitted(x, y, weights, case, seed):
    case = dict(case)
    weights = weights if case.pop("weighted", False) else None
    tree = DecisionTreeRegressor(criterion="absolute_error", random_state=seed, **case)
    tree.fit(x, y, sample_weight=weights)
    return tree, tree.predict(x)


# The first seed whose splits have no equals: of equals scikit-learn takes one by chance.
for seed in range(1000):
    x, y, weights = problem(seed)
    cases = []
    for case in CASES:
        tree, p = fitted(x, y, weights, case, 0)
        if any(np.abs(fitted(x, y, weights, case, s)[1] - p).max() > 1e-9 for s in range(1, 6)):
            break
        cases.append({"max_depth": None, "max_leaf_nodes": None, "ccp_alpha": 0.0, "weighted": False,
                      "min_samples_split": 2, **case, "leaves": int(tree.get_n_leaves()), "root": float(tree.tree_.impurity[0]),
                      "predictions": p.tolist()})
    if len(cases) == len(CASES):
        break
out = {"scikit_learn": sklearn.__version__, "x": [None if np.isnan(v) else v for v in x.ravel()], "y": y.tolist(),
       "weights": weights.tolist(), "cases": cases}
pathlib.Path(__file__).with_name("absolute.json").write_text(json.dumps(out) + "\n")
print(f"seed {seed}, {len(cases)} cases, leaves {[case['leaves'] for case in cases]}")

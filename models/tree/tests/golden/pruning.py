"""Writes pruning.json: small problems and what scikit-learn's `cost_complexity_pruning_path` says of them.

    python pruning.py

needs scikit-learn 1.9 and NumPy 2. Inputs are whole numbers, weights multiples of 1/16, so that both sides read the same numbers.
Weights of classes break ties between splits, which scikit-learn breaks at random: two seeds must give one path.
"""

import json
import pathlib

import numpy as np
import sklearn
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

ROWS, COLUMNS = 160, 3


def case(name, criterion, weighted, seed, **limits):
    random = np.random.default_rng(seed)
    x = np.stack([random.permutation(ROWS) for _ in range(COLUMNS)], axis=1)
    score = x[:, 0] - 0.7 * x[:, 1] + random.normal(0, 30, ROWS)
    weights = random.integers(1, 200, ROWS) / 16 if weighted else np.ones(ROWS)
    if criterion == "squared_error":
        y, kind = np.round(score * 4) / 4, DecisionTreeRegressor
    else:
        y, kind = np.digitize(score, [-20, 50]), DecisionTreeClassifier
    paths = [
        kind(criterion=criterion, random_state=seed, **limits).cost_complexity_pruning_path(x, y, weights)
        for seed in (0, 1)
    ]
    for key in ("ccp_alphas", "impurities"):
        assert np.allclose(paths[0][key], paths[1][key], rtol=1e-9, atol=1e-12), (name, "ties")
    leaves = [
        int(kind(criterion=criterion, random_state=0, ccp_alpha=alpha, **limits).fit(x, y, weights).get_n_leaves())
        # Between two alphas, where rounding decides nothing.
        for alpha in (paths[0]["ccp_alphas"][:-1] + paths[0]["ccp_alphas"][1:]) / 2
    ]
    return {
        "name": name,
        "criterion": criterion,
        "limits": limits,
        "x": x.ravel().tolist(),
        "y": y.tolist(),
        "weights": weights.tolist() if weighted else None,
        "alphas": paths[0]["ccp_alphas"].tolist(),
        "impurities": paths[0]["impurities"].tolist(),
        "leaves_between": leaves,
    }


cases = [
    case("gini", "gini", True, 1),
    case("gini, shallow", "gini", True, 2, max_depth=4),
    case("entropy", "entropy", True, 3),
    case("squared", "squared_error", False, 4),
    case("squared, large leaves", "squared_error", False, 5, min_samples_leaf=4),
    case("squared, weighted", "squared_error", True, 6, max_leaf_nodes=25),
]
with open(pathlib.Path(__file__).with_suffix(".json"), "w") as file:
    json.dump({"made with": f"scikit-learn {sklearn.__version__}", "columns": COLUMNS, "cases": cases}, file)
    file.write("\n")

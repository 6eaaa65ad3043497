"""Writes isolation.csv, 600 rows of which 30 are unusual, and isolation.json: how well scikit-learn's IsolationForest finds them.

    python isolation.py

needs scikit-learn 1.9 and NumPy 2.
"""

import json
import pathlib

import numpy as np
import sklearn
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

HERE = pathlib.Path(__file__).parent
SEEDS = range(10)

random = np.random.default_rng(2008)
# Three clouds of different width, and points in a box around them, a few of which fall into a cloud.
centres = np.array([[0.0, 0.0, 0.0, 0.0], [4.0, 1.0, -2.0, 3.0], [-3.0, 5.0, 1.0, -1.0]])
clouds = [random.normal(c, width, (190, 4)) for c, width in zip(centres, [1.0, 0.5, 1.5])]
x = np.vstack([*clouds, random.uniform(-7, 8, (30, 4))]).round(4)
y = np.repeat([0, 1], [570, 30])
order = random.permutation(600)
x, y = x[order], y[order]
np.savetxt(HERE / "isolation.csv", np.column_stack([x, y]), fmt=["%.4f"] * 4 + ["%d"], delimiter=",")


def auc(seed, **parameters):
    forest = IsolationForest(random_state=seed, **parameters).fit(x)
    return roc_auc_score(y, -forest.score_samples(x))


areas = {
    "default": [auc(seed) for seed in SEEDS],
    "30 trees on 64 rows": [auc(seed, n_estimators=30, max_samples=64) for seed in SEEDS],
}
for name, values in areas.items():
    print(name, np.mean(values), np.std(values, ddof=1))
text = {"scikit-learn": sklearn.__version__, "numpy": np.__version__, "roc_auc": areas}
(HERE / "isolation.json").write_text(json.dumps(text, indent=1) + "\n")

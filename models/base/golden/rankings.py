"""Golden numbers of rankings: NDCG and mean average precision of LightGBM, NDCG of scikit-learn for each query with a relevant row.

Writes rankings.json beside it. Run with: pip install numpy lightgbm==4.7.0 scikit-learn==1.9.1
"""

import json
from pathlib import Path

import lightgbm as lgb
import numpy as np
import sklearn
from sklearn.metrics import ndcg_score

rng = np.random.default_rng(7)
sizes = [1, 2, 5, 12, 30, 3, 17, 8]
rel = np.concatenate([rng.integers(0, 5, n) for n in sizes])
rel[sum(sizes[:5]):sum(sizes[:6])] = 0  # a query without a relevant row
scores = np.round(rng.normal(size=len(rel)) + 0.4 * rel, 3)
assert len(set(scores)) == len(scores)
x = np.zeros((len(rel), 1))
ds = lgb.Dataset(x, rel, group=sizes, init_score=scores, free_raw_data=False)
got = {}


def keep(env):
    for entry in env.evaluation_result_list:
        got[entry[1]] = entry[2]

params = {
    "objective": "lambdarank",
    "metric": ["ndcg", "map"],
    "eval_at": [1, 5, 10, 100],
    "verbosity": -1,
    "min_data_in_leaf": 1000,
    "label_gain": [2**i - 1 for i in range(5)],
}
# No tree can divide a column of zeros: the scores are those to begin with.
lgb.train(params, ds, 1, valid_sets=[ds], callbacks=[keep])
ends = np.cumsum(sizes)
by_query = []
for start, end in zip(np.r_[0, ends[:-1]], ends):
    if end - start > 1 and rel[start:end].max() > 0:
        gains, ranked = [2.0 ** rel[start:end] - 1], [scores[start:end]]
        by_query.append([int(start), int(end), ndcg_score(gains, ranked, k=5), ndcg_score(gains, ranked)])
told = {
    "versions": {"lightgbm": lgb.__version__, "scikit-learn": sklearn.__version__},
    "sizes": sizes,
    "relevance": rel.tolist(),
    "scores": scores.tolist(),
    "lightgbm": got,
    "scikit_learn_at_5_and_all": by_query,
}
Path(__file__).with_name("rankings.json").write_text(json.dumps(told) + "\n")

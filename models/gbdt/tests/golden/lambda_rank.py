"""Writes lambda_rank.json: derivatives of LightGBM's lambdarank, solved from its leaves.

    pip install lightgbm==4.7.0 numpy==2.4.6 && python lambda_rank.py > lambda_rank.json

LightGBM does not show the derivatives of its own objectives. A leaf of a tree of one stage is -gradient / (hessian + penalty)
of its rows together, so two penalties give both sums; with and without a row they give the row's. (A leaf of one row alone is
refused where its hessian is small, since LightGBM estimates numbers of rows from hessians.)
"""
import json
import lightgbm as lgb
import numpy as np

TRUNCATION = 5
rng = np.random.default_rng(11)
queries = [1, 9, 14, 2, 12, 7]
n = sum(queries)
relevance = rng.integers(0, 5, size=n)
relevance[1:10] = rng.integers(0, 2, size=9)  # few grades: many pairs that are equal
scores = np.round(rng.normal(size=n) * 2, 3)


def leaf(inside, penalty):
    column = inside.astype(float).reshape(-1, 1)
    options = dict(min_data_in_bin=1, feature_pre_filter=False)
    data = lgb.Dataset(column, relevance, group=queries, init_score=scores, params=options)
    params = dict(objective="lambdarank", lambdarank_truncation_level=TRUNCATION, num_leaves=2, min_data_in_leaf=0,
                  min_sum_hessian_in_leaf=0.0, min_gain_to_split=0.0, lambda_l2=penalty, learning_rate=1.0, verbose=-1,
                  num_threads=1, deterministic=True, boost_from_average=False, **options)
    booster = lgb.train(params, data, 1)
    assert len(set(booster.predict(column, pred_leaf=True).ravel())) == 2, "two leaves"
    return booster.predict([[1.0]], raw_score=True)[0]


def sums(inside):
    """Gradient and hessian of these rows together."""
    low, high = 0.1, 10.0
    a, b = leaf(inside, low), leaf(inside, high)
    # a (h + low) = b (h + high) = -g
    h = (b * high - a * low) / (a - b)
    return np.array([-a * (h + low), h])


third = np.arange(n) % 3 == 0
both = [third, np.arange(n) % 3 == 1]
alone = [sums(half) for half in both]
rows = []
for row in range(n):
    half = 0 if not third[row] else 1
    more = both[half].copy()
    if more[row]:
        half, more = 1 - half, both[1 - half].copy()
    more[row] = True
    rows.append(sums(more) - alone[half])
gradients, hessians = np.array(rows).T.tolist()
print(json.dumps(dict(truncation=TRUNCATION, relevance=relevance.astype(float).tolist(), scores=scores.tolist(),
                      queries=queries, gradients=gradients, hessians=hessians), indent=0))

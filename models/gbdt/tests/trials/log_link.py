"""What stands in for second derivatives of Poisson and gamma losses: least deviance of other rows, by LightGBM's trees.

    pip install lightgbm==4.7.0 numpy==2.4.6 && python log_link.py

With m = e^score: `exact` are m of Poisson and a = y / m of gamma, `e^0.7` LightGBM's own of Poisson, `mean` the mean of m and y
(of 1 and a), `ours` b + max(a - b, 0) / 2 with a = y, b = m (a = y / m, b = 1). Prints deviance and stage; some ten minutes.
"""
import lightgbm as lgb
import numpy as np

ROWS, STAGES, DRAWS = 20000, 300, (1, 2, 3)


def deviance(kind, y, m):
    if kind == "poisson":
        return 2 * np.mean(np.where(y > 0, y * np.log(np.maximum(y, 1e-300) / m), 0) - y + m)
    return 2 * np.mean(np.log(m / y) + y / m - 1)


def hessians(kind, y, m):
    a, b = (y, m) if kind == "poisson" else (y / m, np.ones_like(m))
    exact = b if kind == "poisson" else a
    all = {"exact": exact, "mean": (a + b) / 2, "ours": b + np.maximum(a - b, 0) / 2}
    return all | ({"e^0.7": exact * np.exp(0.7)} if kind == "poisson" else {})


def least(kind, how, draw, scale, signal, rate):
    random = np.random.default_rng(draw)
    x = random.normal(size=(2 * ROWS, 10))
    eta = signal * (np.sin(2 * x[:, 0]) + 0.7 * x[:, 1] * x[:, 2] + 0.5 * (x[:, 3] > 0.5))
    mean = scale * np.exp(eta)
    y = random.poisson(mean).astype(float) if kind == "poisson" else np.maximum(random.gamma(1.0, mean), 1e-12)
    base = np.log(y[:ROWS].mean())

    def objective(scores, data):
        y = data.get_label()
        m = np.exp(np.clip(scores + base, -80, 80))
        return (m - y if kind == "poisson" else 1 - y / m), hessians(kind, y, m)[how]

    params = dict(objective=objective, learning_rate=rate, num_leaves=31, min_data_in_leaf=20, verbose=-1,
                  num_threads=1, seed=1)
    booster = lgb.train(params, lgb.Dataset(x[:ROWS], y[:ROWS]), STAGES)
    stages = [*range(2, 30, 2), *range(30, STAGES + 1, 10)]
    means = (np.exp(np.clip(base + booster.predict(x[ROWS:], num_iteration=s), -80, 80)) for s in stages)
    return min((deviance(kind, y[ROWS:], m), s) for m, s in zip(means, stages))


for signal in (1.0, 0.4):
    for kind, scale in (("poisson", 0.05), ("poisson", 1.0), ("poisson", 20.0), ("gamma", 1.0)):
        for rate in (0.1, 0.4):
            for how in hessians(kind, np.ones(1), np.ones(1)):
                value, stage = np.mean([least(kind, how, d, scale, signal, rate) for d in DRAWS], axis=0)
                print(f"{kind:8} mean {scale:5} signal {signal} rate {rate} {how:6} {value:12.5f} at {stage:.0f}", flush=True)

"""Writes metric.json: measures by scikit-learn 1.9.1 on small samples with ties and weights.

    pip install scikit-learn==1.9.1 && python metric.py > metric.json
"""
import json
import numpy as np
from sklearn import metrics as m

rng = np.random.default_rng(7)
n = 60
y = rng.normal(size=n) * 3 + 1
p = y + rng.normal(size=n)
w = rng.integers(0, 5, size=n) * 0.5  # some weights are 0
truth = (rng.random(n) < 0.4).astype(int)
score = np.round(np.clip(rng.normal(0.4 + 0.2 * truth, 0.2), 0, 1), 1)  # few distinct values: many ties; 0 and 1 occur
called = (score > 0.5).astype(int)
three = rng.integers(0, 3, size=n)
logits = rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[three]
prob = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
guess = prob.argmax(axis=1)
guess_of_four = np.where(guess == 2, 3, guess)  # a class that never occurs is predicted, one that occurs is not
# Of numbers that are not negative; drawn after all others, so that these stay as they were.
count = rng.poisson(2, size=n).astype(float)
amount = rng.gamma(2.0, size=n)
mean = rng.gamma(3.0, size=n)
relevance = rng.integers(0, 4, size=n)
ranked = rng.permutation(n) / 4.0
queries = [10, 1, 25, 4, 20]


def measures(w):
    s = dict(sample_weight=w)
    return dict(
        rmse=m.root_mean_squared_error(y, p, **s),
        mae=m.mean_absolute_error(y, p, **s),
        r2=m.r2_score(y, p, **s),
        binary_log_loss=m.log_loss(truth, score, **s),
        roc_auc=m.roc_auc_score(truth, score, **s),
        pr_auc=m.average_precision_score(truth, score, **s),
        log_loss=m.log_loss(three, prob, labels=[0, 1, 2], **s),
        accuracy=m.accuracy_score(three, guess, **s),
        macro_f1=m.f1_score(three, guess, average="macro", **s),
        macro_f1_of_four=m.f1_score(three, guess_of_four, average="macro", **s),
        poisson_deviance=m.mean_poisson_deviance(count, mean, **s),
        gamma_deviance=m.mean_gamma_deviance(amount, mean, **s),
        tweedie_deviance=m.mean_tweedie_deviance(count, mean, power=1.3, **s),
        confusion=m.confusion_matrix(three, guess, **s).astype(float).ravel().tolist(),
    )


def ndcg(k):
    """By query; of a single row scikit-learn has none, and it is 1."""
    ends = np.cumsum(queries)
    rows = [slice(end - length, end) for end, length in zip(ends, queries)]
    gain = 2.0 ** relevance - 1
    return [1.0 if r.stop - r.start == 1 else m.ndcg_score([gain[r]], [ranked[r]], k=k) for r in rows]


print(json.dumps(dict(
    y=y.tolist(), p=p.tolist(), w=w.tolist(), truth=truth.tolist(), score=score.tolist(), called=called.tolist(),
    three=three.tolist(), prob=prob.ravel().tolist(), guess=guess.tolist(), guess_of_four=guess_of_four.tolist(),
    count=count.tolist(), amount=amount.tolist(), mean=mean.tolist(), relevance=relevance.astype(float).tolist(),
    ranked=ranked.tolist(), queries=queries, ndcg=ndcg(None), ndcg_at_3=ndcg(3),
    plain=measures(None), weighted=measures(w)), indent=0))

"""Writes shared.json: scikit-learn's errors on held-out rows of the shared data sets, by the steps of our pipeline.

    python shared.py FOLDER_OF_THE_DATA

needs scikit-learn 1.9 and pandas. The rows held out are those of `tilewise train --test-fraction 0.2 --seed 0`, whose
rule (the rows with the smallest Philox numbers, class by class) is written here a second time.
"""

import json
import pathlib
import sys

import numpy as np
import pandas as pd
import sklearn
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

ADULT = """age workclass fnlwgt education education-num marital-status occupation relationship race sex capital-gain
capital-loss hours-per-week native-country income""".split()


def philox4x32(counter, key):
    """Ten rounds of Philox4x32 (Salmon et al. 2011) on arrays of 32-bit words held in uint64."""
    low = np.uint64(0xFFFFFFFF)
    a, b, c, d = counter
    k0, k1 = key
    for _ in range(10):
        p, q = a * np.uint64(0xD2511F53), c * np.uint64(0xCD9E8D57)
        a, b, c, d = (q >> np.uint64(32)) ^ b ^ k0, q & low, (p >> np.uint64(32)) ^ d ^ k1, p & low
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & low, (k1 + np.uint64(0xBB67AE85)) & low
    return a, b, c, d


def bits(rows, purpose, seed):
    name = 0xCBF29CE484222325
    for byte in purpose.encode():
        name = (name ^ byte) * 0x100000001B3 % 2**64
    rows = np.arange(rows, dtype=np.uint64)
    word = lambda x: np.full(rows.shape, x, np.uint64)
    counter = rows, word(0), word(name % 2**32), word(name >> 32)
    a, b, _, _ = philox4x32(counter, (np.uint64(seed % 2**32), np.uint64(seed >> 32)))
    return a | b << np.uint64(32)


def held_out(strata, fraction=0.2, seed=0):
    """Rows of the test part, in rising order."""
    keys = bits(len(strata), "train/test split", seed)
    wanted = round(len(strata) * fraction)
    groups = [np.flatnonzero(strata == s) for s in np.unique(strata)]
    exact = [wanted * len(g) / len(strata) for g in groups]
    take = [int(e) for e in exact]
    for i in sorted(range(len(groups)), key=lambda i: take[i] - exact[i])[: wanted - sum(take)]:
        take[i] += 1
    return np.sort(np.concatenate([g[np.argsort(keys[g], kind="stable")][:t] for g, t in zip(groups, take)]))


def pipeline(table, model):
    numbers = [c for c in table if pd.api.types.is_numeric_dtype(table[c])]
    texts = [c for c in table if c not in numbers]
    return make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
            (OneHotEncoder(handle_unknown="ignore"), texts),
        ),
        model,
    )


def parts(table, target, strata):
    test = held_out(strata)
    train = np.setdiff1d(np.arange(len(table)), test)
    x, y = table.drop(columns=target), table[target]
    return x.iloc[train], y.iloc[train], x.iloc[test], y.iloc[test], test


folder = pathlib.Path(sys.argv[1])
golden = {"scikit-learn": sklearn.__version__}

houses = pd.read_csv(folder / "california_housing.csv")
x, y, new, truth, test = parts(houses, "median_house_value", np.zeros(len(houses)))
golden["california"] = {"first_test_rows": test[:5].tolist(), "rows": len(test)}
for name, model in {"linear": LinearRegression(), "ridge": Ridge(alpha=1.0)}.items():
    error = pipeline(x, model).fit(x, y).predict(new) - truth
    golden["california"][name] = {"rmse": float(np.sqrt(np.mean(error**2)))}

adult = pd.read_csv(folder / "adult.csv", names=ADULT, skipinitialspace=True, na_values="?", keep_default_na=False)
x, y, new, truth, test = parts(adult, "income", adult["income"].to_numpy())
# A missing text is all zeros in ours, and a category of its own in scikit-learn: dropped there.
texts = [c for c in x if not pd.api.types.is_numeric_dtype(x[c])]
x, new = (t.assign(**{c: t[c].fillna("missing") for c in texts}) for t in (x, new))
model = pipeline(x, LogisticRegression(C=1.0, tol=1e-10, max_iter=10000))
encoder = model[0].transformers[1][1]
encoder.categories = [sorted(set(x[c]) - {"missing"}) for c in texts]
model.fit(x, y)
golden["adult"] = {
    "first_test_rows": test[:5].tolist(),
    "rows": len(test),
    "accuracy": float(model.score(new, truth)),
    "log_loss": float(log_loss(truth, model.predict_proba(new))),
}

path = pathlib.Path(__file__).with_name("shared.json")
path.write_text(json.dumps(golden, indent=1) + "\n")

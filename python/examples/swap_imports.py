"""The same scikit-learn code with its imports changed: seconds and scores side by side.

    python swap_imports.py [--rows 20000] [--rounds 3] [--data FOLDER]

Breast cancer data, which scikit-learn brings, and generated tables; with `--data` also adult (`adult.csv`: 32,561 rows, 108 columns
with categories as zeros and ones) and California housing (`california_housing.csv`: 20,640 rows), where they lie there. Both run in
turn on the same arrays, each after a pause; seconds are the median of the fits after one that is not counted. Scores are of a fifth held
out.
"""

import argparse
import statistics
import time
import warnings
from pathlib import Path

import pandas as pd
import sklearn.ensemble
import sklearn.linear_model
import sklearn.neural_network
import sklearn.tree
import tilewise
from sklearn.datasets import load_breast_cancer, make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

#: Seconds before each fit. Threads of OpenBLAS look for more work a tenth of a second after theirs is done, and take a processor from whoever
#: comes next: without a pause a fit of logistic regression by tilewise took 6 to 60 ms on two processors, 4 by itself.
PAUSE = 0.2

LINES = [
    ("numbers", sklearn.linear_model, "LinearRegression", {}),
    ("numbers", sklearn.linear_model, "Ridge", {}),
    ("numbers", sklearn.linear_model, "Lasso", {"alpha": 0.1}),
    ("classes", sklearn.linear_model, "LogisticRegression", {"max_iter": 1000}),
    ("cancer", sklearn.linear_model, "LogisticRegression", {"max_iter": 1000}),
    ("classes", sklearn.tree, "DecisionTreeClassifier", {"max_depth": 8, "random_state": 0}),
    ("numbers", sklearn.tree, "DecisionTreeRegressor", {"max_depth": 8, "random_state": 0}),
    ("cancer", sklearn.ensemble, "RandomForestClassifier", {"n_jobs": -1, "random_state": 0}),
    ("classes", sklearn.ensemble, "RandomForestClassifier", {"n_jobs": -1, "random_state": 0}),
    ("numbers", sklearn.ensemble, "RandomForestRegressor", {"n_estimators": 20, "n_jobs": -1, "random_state": 0}),
    ("classes", sklearn.ensemble, "ExtraTreesClassifier", {"n_jobs": -1, "random_state": 0}),
    ("cancer", sklearn.ensemble, "HistGradientBoostingClassifier", {"random_state": 0}),
    ("classes", sklearn.ensemble, "HistGradientBoostingClassifier", {"random_state": 0}),
    ("numbers", sklearn.ensemble, "HistGradientBoostingRegressor", {"random_state": 0}),
    ("classes", sklearn.neural_network, "MLPClassifier", {"max_iter": 20, "random_state": 0}),
    ("numbers", sklearn.neural_network, "MLPRegressor", {"max_iter": 20, "random_state": 0}),
    ("adult", sklearn.linear_model, "LogisticRegression", {"max_iter": 1000}),
    ("adult", sklearn.tree, "DecisionTreeClassifier", {"max_depth": 8, "random_state": 0}),
    ("adult", sklearn.ensemble, "RandomForestClassifier", {"n_jobs": -1, "random_state": 0}),
    ("adult", sklearn.ensemble, "HistGradientBoostingClassifier", {"random_state": 0}),
    ("adult", sklearn.neural_network, "MLPClassifier", {"max_iter": 20, "random_state": 0}),
    ("housing", sklearn.linear_model, "LinearRegression", {}),
    ("housing", sklearn.linear_model, "Ridge", {}),
    ("housing", sklearn.ensemble, "RandomForestRegressor", {"n_jobs": -1, "random_state": 0}),
    ("housing", sklearn.ensemble, "HistGradientBoostingRegressor", {"random_state": 0}),
    ("housing", sklearn.neural_network, "MLPRegressor", {"max_iter": 20, "random_state": 0}),
]


def real(folder):
    """What lies in a folder: names and (X, y)."""
    adult, housing = Path(folder, "adult.csv"), Path(folder, "california_housing.csv")
    if adult.exists():
        table = pd.read_csv(adult, header=None, skipinitialspace=True)
        yield "adult", (pd.get_dummies(table.iloc[:, :-1]).to_numpy(float), table.iloc[:, -1].to_numpy(str))
    if housing.exists():
        table = pd.get_dummies(pd.read_csv(housing).dropna()).astype(float)
        target = table.pop("median_house_value")
        yield "housing", (table.to_numpy(), target.to_numpy() / 1e5)


def problems(rows, folder):
    cancer = load_breast_cancer(return_X_y=True)
    classes = make_classification(rows, 20, n_informative=12, flip_y=0.05, random_state=0)
    numbers = make_regression(rows, 20, n_informative=12, noise=20.0, random_state=0)
    found = {"cancer": cancer, "classes": classes, "numbers": numbers} | dict(real(folder) if folder else ())
    for name, (X, y) in found.items():
        X = StandardScaler().fit_transform(X)
        yield name, train_test_split(X, y, test_size=0.2, random_state=0)


def main():
    options = argparse.ArgumentParser(description="scikit-learn and tilewise, side by side")
    options.add_argument("--rows", type=int, default=20_000, help="rows of the generated tables")
    options.add_argument("--rounds", type=int, default=7, help="fits that are counted")
    options.add_argument("--data", help="folder with adult.csv and california_housing.csv")
    options = options.parse_args()
    data = dict(problems(options.rows, options.data))
    # Epochs of networks are few on purpose.
    warnings.simplefilter("ignore", ConvergenceWarning)
    # Categories of the housing table add up to one, of which each fit would tell.
    warnings.filterwarnings("ignore", "LinearRegression: the features have rank", UserWarning)
    print(f"{'problem':8} {'estimator':32} {'scikit-learn':>12} {'tilewise':>9} {'ratio':>6} {'score':>7} {'score':>7}")
    for problem, module, name, parameters in LINES:
        if problem not in data:
            continue
        X, tested, y, truth = data[problem]
        pair = (getattr(module, name), getattr(tilewise, name))
        seconds, scores = ([], []), [0.0, 0.0]
        for turn in range(options.rounds + 1):
            for side, kind in enumerate(pair):
                time.sleep(PAUSE)
                start = time.perf_counter()
                model = kind(**parameters).fit(X, y)
                if turn:
                    seconds[side].append(time.perf_counter() - start)
                scores[side] = model.score(tested, truth)
        theirs, ours = (statistics.median(times) for times in seconds)
        print(
            f"{problem:8} {name:32} {theirs:10.4f} s {ours:7.4f} s {theirs / ours:6.1f} {scores[0]:7.4f} {scores[1]:7.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

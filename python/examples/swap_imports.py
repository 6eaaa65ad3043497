"""The same scikit-learn code with its imports changed: seconds and scores side by side.

    python swap_imports.py [rows] [rounds]

Breast cancer data, which scikit-learn brings, and generated tables of `rows` rows (20,000 if not given). Both run in turn on the
same arrays; seconds are the median of `rounds` fits (3) after one that is not counted. Scores are of a fifth held out.
"""

import statistics
import sys
import time

import sklearn.ensemble
import sklearn.linear_model
import sklearn.tree
import tilewise
from sklearn.datasets import load_breast_cancer, make_classification, make_regression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

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
]


def problems(rows):
    cancer = load_breast_cancer(return_X_y=True)
    classes = make_classification(rows, 20, n_informative=12, flip_y=0.05, random_state=0)
    numbers = make_regression(rows, 20, n_informative=12, noise=20.0, random_state=0)
    for name, (X, y) in {"cancer": cancer, "classes": classes, "numbers": numbers}.items():
        X = StandardScaler().fit_transform(X)
        yield name, train_test_split(X, y, test_size=0.2, random_state=0)


def main(rows=20_000, rounds=3):
    data = dict(problems(rows))
    print(f"{'problem':8} {'estimator':32} {'scikit-learn':>12} {'tilewise':>9} {'ratio':>6} {'score':>7} {'score':>7}")
    for problem, module, name, parameters in LINES:
        X, tested, y, truth = data[problem]
        pair = (getattr(module, name), getattr(tilewise, name))
        seconds, scores = ([], []), [0.0, 0.0]
        for turn in range(rounds + 1):
            for side, kind in enumerate(pair):
                start = time.perf_counter()
                model = kind(**parameters).fit(X, y)
                if turn:
                    seconds[side].append(time.perf_counter() - start)
                scores[side] = model.score(tested, truth)
        theirs, ours = (statistics.median(times) for times in seconds)
        print(
            f"{problem:8} {name:32} {theirs:10.4f} s {ours:7.4f} s {theirs / ours:6.1f} {scores[0]:7.4f} {scores[1]:7.4f}"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

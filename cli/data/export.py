"""Writes the data sets of this folder from scikit-learn (1.9.1): `python export.py` beside them.

Numbers are written in the fewest digits that read back as the same f64. Classes are text, but the label of digits,
which is a number that regressions can learn too. Column names have underscores for spaces; units in parentheses go.
"""

import csv
import pathlib
import re

from sklearn import datasets

HERE = pathlib.Path(__file__).parent


def name(text):
    return re.sub(r"\s*\(.*\)", "", text).strip().replace(" ", "_")


def number(x):
    return repr(int(x)) if float(x).is_integer() else repr(float(x))


def write(file, bunch, target, label):
    with open(HERE / file, "w", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([name(f) for f in bunch.feature_names] + [target])
        for row, y in zip(bunch.data, bunch.target):
            writer.writerow([number(x) for x in row] + [label(y)])


iris = datasets.load_iris()
write("iris.csv", iris, "species", lambda y: str(iris.target_names[y]))
cancer = datasets.load_breast_cancer()
write("breast_cancer.csv", cancer, "diagnosis", lambda y: str(cancer.target_names[y]))
# In the scaled form that scikit-learn gives by default and all published coefficients are for.
write("diabetes.csv", datasets.load_diabetes(), "progression", number)
write("digits.csv", datasets.load_digits(), "digit", number)

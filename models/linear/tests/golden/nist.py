"""Checks nist.json by exact fractions and writes into it how many digits statsmodels and scikit-learn reach.

    python nist.py

needs statsmodels 0.15, scikit-learn 1.9 and NumPy 2. Data and certified values are those of the Statistical Reference Datasets of NIST
(https://www.itl.nist.gov/div898/strd/lls/lls.shtml), typed in as text: `x` are the rows before powers up to `degree` are taken,
`values` and `errors` the certified estimates and their standard deviations, the intercept first where there is one.
"""

import json
import math
import pathlib
from fractions import Fraction

import numpy as np
import statsmodels.api as sm
from sklearn.linear_model import LinearRegression

FILE = pathlib.Path(__file__).with_name("nist.json")


def design(case, number):
    """Rows without the intercept's ones."""
    powers = range(1, case["degree"] + 1)
    return [[number(cell) ** k for cell in row for k in powers] for row in case["x"]]


def exact(case):
    """Estimates, and squares of their standard deviations, by elimination with fractions."""
    rows = [([Fraction(1)] if case["intercept"] else []) + row for row in design(case, Fraction)]
    y = [Fraction(v) for v in case["y"]]
    p = len(rows[0])
    table = [
        [sum(r[i] * r[j] for r in rows) for j in range(p)]
        + [sum(r[i] * v for r, v in zip(rows, y))]
        + [Fraction(int(i == j)) for j in range(p)]
        for i in range(p)
    ]
    for i in range(p):
        table[i] = [v / table[i][i] for v in table[i]]
        for k in range(p):
            if k != i:
                table[k] = [a - table[k][i] * b for a, b in zip(table[k], table[i])]
    b = [row[p] for row in table]
    square = sum((v - sum(x * w for x, w in zip(r, b))) ** 2 for r, v in zip(rows, y))
    variance = square / (len(y) - p)
    return b, [variance * table[i][p + 1 + i] for i in range(p)]


def digits(ours, certified):
    """The fewest of all numbers: -log10 of the relative error, of the absolute one where zero is certified; 15 at most."""
    worst = 15.0
    for a, b in zip(ours, map(float, certified)):
        error = abs(a - b) / abs(b) if b else abs(a)
        worst = min(worst, 15.0 if error == 0 else -math.log10(error)) if math.isfinite(error) else 0.0
    return round(max(worst, 0.0), 2)


cases = json.loads(FILE.read_text())
for name, case in cases.items():
    b, variances = exact(case)
    assert digits([float(v) for v in b], case["values"]) > 13.5, name
    assert digits([math.sqrt(v) for v in variances], case["errors"]) > 13.5, name
    x, y = np.array(design(case, float)), np.array([float(v) for v in case["y"]])
    full = sm.add_constant(x) if case["intercept"] else x
    for method in ("pinv", "qr"):
        fit = sm.OLS(y, full).fit(method=method)
        case[f"statsmodels_{method}"] = [digits(fit.params, case["values"]), digits(fit.bse, case["errors"])]
    model = LinearRegression(fit_intercept=case["intercept"]).fit(x, y)
    estimates = ([model.intercept_] if case["intercept"] else []) + model.coef_.tolist()
    case["scikit_learn"] = digits(estimates, case["values"])
    print(name, case["statsmodels_pinv"], case["statsmodels_qr"], case["scikit_learn"])
lines = ",\n".join(f'"{name}": {json.dumps(case)}' for name, case in cases.items())
FILE.write_text("{\n" + lines + "\n}\n")

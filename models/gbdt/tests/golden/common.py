"""What the three scripts share: training tables, rows to predict, and how numbers are written."""

import json
import math
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).parent
ROWS = 240


def table(seed, features=5, missing=0.0, zeros=0.0, categories=()):
    """Numbers with two decimals, so that rows often share values; categories are 0, 1, ..."""
    random = np.random.default_rng(seed)
    x = random.normal(0, 2, (ROWS, features)).round(2)
    for column, count in categories:
        x[:, column] = random.integers(0, count, ROWS)
    x[random.random((ROWS, features)) < zeros] = 0.0
    x[random.random((ROWS, features)) < missing] = np.nan
    filled = np.nan_to_num(x, nan=0.7)
    score = np.sin(filled[:, 0]) + 0.5 * filled[:, 1] + np.where(filled[:, 2] > 0.3, filled[:, 3], -0.4)
    for column, _ in categories:
        score = score + np.cos(5.0 * filled[:, column])
    return x, score + random.normal(0, 0.3, ROWS)


def rows(x, thresholds, seed, neighbours, categories=(), odd=(), most=24):
    """Training rows; rows with a cell exactly on a threshold and one step of `neighbours` to either side; odd ones."""
    random = np.random.default_rng(seed)
    found = [x[row].copy() for row in random.integers(0, len(x), 10)]
    chosen = random.permutation(len(thresholds))[:most]
    for place in sorted(chosen):
        feature, threshold = thresholds[place]
        for value in neighbours(threshold):
            row = x[random.integers(0, len(x))].copy()
            row[feature] = value
            found.append(row)
    width = x.shape[1]
    for value in odd:
        row = x[random.integers(0, len(x))].copy()
        row[random.random(width) < 0.6] = value
        found.append(row)
        found.append(np.full(width, value))
    for column in categories:
        for value in [-1.0, -0.5, 0.0, 0.9, 2.7, 31.0, 32.0, 63.0, 254.0, 255.0, 256.0, 1e4, 3e9, 1e18, np.nan]:
            row = x[random.integers(0, len(x))].copy()
            row[column] = value
            found.append(row)
    return np.array(found, dtype=np.float64)


def steps64(t):
    return [np.nextafter(t, -np.inf), t, np.nextafter(t, np.inf)]


def steps32(t):
    """The f32 neighbours, and the f64 numbers around the middles between them, where rounding changes sides."""
    t = np.float32(t)
    below, above = np.nextafter(t, np.float32(-np.inf)), np.nextafter(t, np.float32(np.inf))
    found = [float(below), float(t), float(above)]
    for a, b in [(below, t), (t, above)]:
        middle = (float(a) + float(b)) / 2
        found += steps64(middle)
    return found


def number(value):
    if isinstance(value, str):
        return value
    value = float(value)
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value


def matrix(values):
    return [[number(cell) for cell in row] for row in np.asarray(values, dtype=object)]


def write(library, versions, cases):
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    text = json.dumps(versions)
    (HERE / f"{library}.json").write_text(f'{{"versions":{text},"cases":[\n{lines}\n]}}\n')
    print(library, len(cases), "models", sum(f.stat().st_size for f in (HERE / library).iterdir()), "bytes of models",
          (HERE / f"{library}.json").stat().st_size, "of answers")

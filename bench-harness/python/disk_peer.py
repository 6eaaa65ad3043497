"""Boosting on a table that shall not lie in memory. Arguments: the library, the table, rows held out (Parquet), a folder for what is
kept on disk, stages, depth, and where to write the probabilities of the rows held out (f64).

A line `trained SECONDS` is printed when there is a model: the mean time from the end of one stage to that of the next.
"""

import os
import sys
import time

import numpy as np
import pyarrow.parquet as pq

RATE, BINS, THREADS = 0.1, 256, len(os.sched_getaffinity(0))


def numbers(table):
    """Features row by row, and labels."""
    names = [name for name in table.column_names if name != "label"]
    x = np.empty((len(table), len(names)), np.float32)
    for i, name in enumerate(names):
        x[:, i] = table[name].to_numpy()
    return x, table["label"].to_numpy()


def per_stage(ends):
    return (ends[-1] - ends[0]) / (len(ends) - 1) if len(ends) > 1 else float("nan")


def xgboost(data, folder, stages, depth, external):
    import xgboost

    class Groups(xgboost.DataIter):
        def __init__(self):
            self.file, self.at = pq.ParquetFile(data), 0
            # Pages of what is binned go to files; a matrix that is in memory has none.
            super().__init__(cache_prefix=os.path.join(folder, "pages") if external else None)

        def next(self, input_data):
            if self.at == self.file.num_row_groups:
                return False
            x, y = numbers(self.file.read_row_group(self.at))
            self.at += 1
            input_data(data=x, label=y)
            return True

        def reset(self):
            self.at = 0

    class Ends(xgboost.callback.TrainingCallback):
        def __init__(self):
            self.ends = []

        def after_iteration(self, *_):
            self.ends.append(time.perf_counter())
            return False

    matrix = xgboost.ExtMemQuantileDMatrix if external else xgboost.QuantileDMatrix
    rows, ends = matrix(Groups(), max_bin=BINS, nthread=THREADS), Ends()
    limits = dict(
        objective="binary:logistic",
        tree_method="hist",
        grow_policy="depthwise",
        max_depth=depth,
        max_bin=BINS,
        learning_rate=RATE,
        reg_lambda=1.0,
        min_child_weight=1e-3,
        nthread=THREADS,
    )
    model = xgboost.train(limits, rows, num_boost_round=stages, callbacks=[ends])
    return per_stage(ends.ends), model.inplace_predict


def lightgbm(data, stages, depth):
    import lightgbm

    limits = dict(
        objective="binary",
        two_round=True,
        header=True,
        label_column="name:label",
        max_bin=BINS - 1,
        num_leaves=2**depth,
        max_depth=depth,
        min_data_in_leaf=20,
        min_sum_hessian_in_leaf=1e-3,
        lambda_l2=1.0,
        learning_rate=RATE,
        num_threads=THREADS,
        verbose=-1,
    )
    ends = []
    rows = lightgbm.Dataset(data, params=limits)
    model = lightgbm.train(limits, rows, num_boost_round=stages, callbacks=[lambda _: ends.append(time.perf_counter())])
    return per_stage(ends), model.predict


if __name__ == "__main__":
    library, data, held, folder, stages, depth, out = sys.argv[1:]
    stages, depth = int(stages), int(depth)
    if library == "lightgbm":
        seconds, predict = lightgbm(data, stages, depth)
    else:
        seconds, predict = xgboost(data, folder, stages, depth, library == "xgboost-external")
    print(f"trained {seconds}", flush=True)
    predict(numbers(pq.read_table(held))[0]).astype(np.float64).tofile(out)

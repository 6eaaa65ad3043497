"""Trees and forests of other libraries. Argument: the library.

All get the same rows, number of trees, depth, leaves, features for each split, leaf size 1 and threads. Everything from the
array of numbers to the model is training, so that nobody's binning is for nothing: `Dataset`, `QuantileDMatrix`, the columns
of YDF. What a library has no setting for is said where it is.
"""
import sys

import numpy as np
from lightgbm_rows import Rows
from trees_worker import THREADS, Library, Trees

# The share of the rows that a bootstrap draws at least once, where rows can be drawn without replacement only.
DRAWN = 0.632


class ScikitLearn(Library):
    def __init__(self, intelex):
        import sklearn

        self.version = sklearn.__version__
        self.intelex = intelex
        if intelex:
            from importlib.metadata import version

            from sklearnex.ensemble import RandomForestClassifier, RandomForestRegressor

            self.version = f"{version('scikit-learn-intelex')} with scikit-learn {self.version}"
        else:
            from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

        self.forests = RandomForestRegressor, RandomForestClassifier
        self.trees = DecisionTreeRegressor, DecisionTreeClassifier

    def train(self, x, y, classes, settings):
        limits = dict(
            max_depth=settings.depth,
            max_leaf_nodes=settings.leaves,
            max_features=settings.features or None,
            random_state=settings.seed,
        )
        if settings.trees == 1:
            model = self.trees[classes > 0](**limits)
        else:
            model = self.forests[classes > 0](n_estimators=settings.trees, n_jobs=THREADS, **limits)
        return model.fit(x, y)

    def predict(self, model, x, classes):
        if classes == 0:
            return model.predict(x)
        found = model.predict_proba(x)
        if found.shape[1] == classes:
            return found
        # Rows for training may lack a class.
        shares = np.zeros((len(x), classes))
        shares[:, model.classes_.astype(int)] = found
        return shares


class Ydf(Library):
    def __init__(self):
        import ydf

        self.ydf, self.version = ydf, ydf.__version__
        ydf.verbose(0)

    def prepare(self, x, settings):
        return {f"x{j}": np.ascontiguousarray(x[:, j]) for j in range(x.shape[1])}

    def row(self, x, i):
        return {name: column[i : i + 1] for name, column in x.items()}

    def train(self, x, y, classes, settings):
        ydf = self.ydf
        # Its depth counts nodes, the others' splits. It counts leaves where it grows the best first.
        limits = dict(
            label="y",
            task=ydf.Task.CLASSIFICATION,
            max_depth=settings.depth + 1 if settings.depth else -1,
            min_examples=1,
            num_threads=THREADS,
            random_seed=settings.seed,
        )
        if settings.leaves:
            limits.update(growing_strategy="BEST_FIRST_GLOBAL", max_num_nodes=settings.leaves)
        if settings.trees == 1:
            learner = ydf.CartLearner(validation_ratio=0.0, **limits)
        else:
            learner = ydf.RandomForestLearner(
                num_trees=settings.trees,
                num_candidate_attributes=settings.features or -1,
                winner_take_all=False,
                compute_oob_performances=False,
                **limits,
            )
        return learner.train({**x, "y": y}, verbose=0)

    def predict(self, model, x, classes):
        found = model.predict(x, num_threads=THREADS)
        if classes == 2:
            return np.stack([1 - found, found], 1)
        names = [int(name) for name in model.label_classes()]
        shares = np.zeros((len(found), classes))
        shares[:, names] = found
        return shares


class XGBoost(Library):
    def __init__(self):
        import xgboost

        self.xgboost, self.version = xgboost, xgboost.__version__

    def train(self, x, y, classes, settings):
        data = self.xgboost.QuantileDMatrix(x, y, nthread=THREADS, max_bin=256)
        # One step of length 1 with leaves that are means: no shrinking, no penalty, no least weight.
        limits = dict(
            tree_method="hist",
            max_bin=256,
            nthread=THREADS,
            seed=settings.seed,
            learning_rate=1.0,
            reg_lambda=0.0,
            min_child_weight=0.0,
            max_depth=settings.depth or 0,
        )
        if settings.leaves:
            limits.update(grow_policy="lossguide", max_leaves=settings.leaves)
        if classes == 2:
            limits.update(objective="binary:logistic", base_score=0.5)
        else:
            limits.update(objective="multi:softprob", num_class=classes)
        if settings.trees > 1:
            share = settings.features / x.shape[1] if settings.features else 1.0
            limits.update(num_parallel_tree=settings.trees, subsample=DRAWN, colsample_bynode=share)
        return self.xgboost.train(limits, data, num_boost_round=1)

    def predict(self, model, x, classes):
        found = model.inplace_predict(x)
        return np.stack([1 - found, found], 1) if classes == 2 else found


class LightGBM(Library):
    def __init__(self):
        import lightgbm

        self.lightgbm, self.version, self.rows = lightgbm, lightgbm.__version__, Rows()

    def train(self, x, y, classes, settings):
        # 131,072 are the most that it takes, and it makes room for as many as it is told.
        leaves = settings.leaves or (2**settings.depth if settings.depth else min(len(x), 131072))
        limits = dict(
            num_threads=THREADS,
            seed=settings.seed,
            verbose=-1,
            max_bin=255,
            num_leaves=leaves,
            max_depth=settings.depth or -1,
            min_data_in_leaf=1,
            min_sum_hessian_in_leaf=0.0,
            learning_rate=1.0,
            **(dict(objective="binary") if classes == 2 else dict(objective="multiclass", num_class=classes)),
        )
        if settings.trees > 1:
            share = settings.features / x.shape[1] if settings.features else 1.0
            limits.update(boosting="rf", bagging_freq=1, bagging_fraction=DRAWN, feature_fraction_bynode=share)
        data = self.lightgbm.Dataset(x, y, params=limits)
        return self.lightgbm.train(limits, data, num_boost_round=settings.trees)

    def predict(self, model, x, classes):
        found = model.predict(x, num_threads=THREADS)
        return np.stack([1 - found, found], 1) if classes == 2 else found

    def predict_row(self, model, x, i, classes):
        if not self.rows.are_of(model, x):
            self.rows = Rows(self.lightgbm, model, x, classes)
        return self.rows.predict(i)


LIBRARIES = {
    "scikit-learn": lambda: ScikitLearn(False),
    "intelex": lambda: ScikitLearn(True),
    "ydf": Ydf,
    "xgboost": XGBoost,
    "lightgbm": LightGBM,
}

Trees(LIBRARIES[sys.argv[1]]()).serve()

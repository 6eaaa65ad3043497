"""Gradient boosting of other libraries. Argument: the library.

All get the same rows, stages, leaves, depth, learning rate, penalty l2 and threads, up to 255 bins, no sampling, no early
stopping. What a library has no setting for is said where it is. Training is everything from the array of numbers to the model,
or what follows when its own container is there, binned.
"""
import sys

import numpy as np
from lightgbm_rows import Rows
from trees_worker import THREADS, Library, Trees


def of_ones(found, classes):
    """Probabilities of all classes, of those of class 1."""
    return np.stack([1 - found, found], 1) if classes == 2 else found


class LightGBM(Library):
    def __init__(self, quantised=False):
        import lightgbm

        self.lightgbm, self.version, self.rows = lightgbm, lightgbm.__version__, Rows()
        self.quantised = dict(use_quantized_grad=True) if quantised else {}

    def limits(self, features, classes, settings):
        objective = {0: dict(objective="regression"), 2: dict(objective="binary")}
        return dict(
            num_threads=THREADS,
            seed=settings.seed,
            verbose=-1,
            max_bin=255,
            num_leaves=settings.leaves,
            max_depth=settings.depth or -1,
            min_data_in_leaf=settings.min_rows,
            min_sum_hessian_in_leaf=settings.min_hessian,
            lambda_l2=settings.l2,
            learning_rate=settings.learning_rate,
            # Else it tries both in every training and takes what it found faster.
            **(dict(force_row_wise=True) if features < WIDE else dict(force_col_wise=True)),
            **objective.get(classes, dict(objective="multiclass", num_class=classes)),
            **self.quantised,
        )

    def bin(self, x, y, classes, settings):
        limits = self.limits(x.shape[1], classes, settings)
        categorical = settings.categorical(x.shape[1])
        return self.lightgbm.Dataset(x, y, params=limits, categorical_feature=categorical).construct()

    def grow(self, data, classes, settings):
        limits = self.limits(data.num_feature(), classes, settings)
        return self.lightgbm.train(limits, data, num_boost_round=settings.trees)

    def predict(self, model, x, classes):
        return of_ones(model.predict(x, num_threads=THREADS), classes)

    def predict_row(self, model, x, i, classes):
        if not self.rows.are_of(model, x):
            self.rows = Rows(self.lightgbm, model, x, classes)
        return self.rows.predict(i)


class XGBoost(Library):
    """It has no least number of rows of a leaf."""

    def __init__(self):
        import xgboost

        self.xgboost, self.version = xgboost, xgboost.__version__

    def bin(self, x, y, classes, settings):
        features = x.shape[1]
        kinds = ["q"] * (features - settings.categories) + ["c"] * settings.categories
        return self.xgboost.QuantileDMatrix(
            x, y, nthread=THREADS, max_bin=256, feature_types=kinds, enable_categorical=settings.categories > 0
        )

    def grow(self, data, classes, settings):
        objective = {0: dict(objective="reg:squarederror"), 2: dict(objective="binary:logistic")}
        limits = dict(
            tree_method="hist",
            max_bin=256,
            nthread=THREADS,
            seed=settings.seed,
            grow_policy="lossguide",
            max_leaves=settings.leaves,
            max_depth=settings.depth or 0,
            min_child_weight=settings.min_hessian,
            reg_lambda=settings.l2,
            learning_rate=settings.learning_rate,
            **objective.get(classes, dict(objective="multi:softprob", num_class=classes)),
        )
        return self.xgboost.train(limits, data, num_boost_round=settings.trees)

    def predict(self, model, x, classes):
        return of_ones(model.inplace_predict(x), classes)


class CatBoost(Library):
    """Trees with one test for all nodes of a level, its own; least sizes of a leaf are for its other trees only. Rows are not
    sampled, scores of splits not shaken, and a leaf is one Newton step, as with the others."""

    def __init__(self):
        import catboost

        self.catboost, self.version = catboost, catboost.__version__

    def prepare(self, x, settings):
        if not settings.categories:
            return x
        import pandas

        codes = settings.categorical(x.shape[1])
        # A category that is missing is one to it.
        of = lambda j: np.nan_to_num(x[:, j], nan=-1).astype(np.int32) if j in codes else x[:, j]
        return pandas.DataFrame({j: of(j) for j in range(x.shape[1])})

    def row(self, x, i):
        return x[i : i + 1] if isinstance(x, np.ndarray) else x.iloc[i : i + 1]

    def pool(self, x, y, settings):
        return self.catboost.Pool(x, y, cat_features=settings.categorical(x.shape[1]), thread_count=THREADS)

    def bin(self, x, y, classes, settings):
        data = self.pool(x, y, settings)
        data.quantize(border_count=254)
        return data

    def train(self, x, y, classes, settings):
        return self.grow(self.pool(x, y, settings), classes, settings)

    def grow(self, data, classes, settings):
        objective = {0: "RMSE", 2: "Logloss"}
        model = self.catboost.CatBoost(
            dict(
                loss_function=objective.get(classes, "MultiClass"),
                iterations=settings.trees,
                depth=settings.depth or 6,
                learning_rate=settings.learning_rate,
                l2_leaf_reg=settings.l2,
                border_count=254,
                bootstrap_type="No",
                random_strength=0,
                leaf_estimation_iterations=1,
                thread_count=THREADS,
                random_seed=settings.seed,
                verbose=False,
                allow_writing_files=False,
            )
        )
        return model.fit(data)

    def predict(self, model, x, classes):
        kind = "Probability" if classes else "RawFormulaVal"
        return model.predict(x, prediction_type=kind, thread_count=THREADS)


class ScikitLearn(Library):
    """HistGradientBoosting. It bins while it trains, and takes categories up to 255: those of more are numbers to it."""

    def __init__(self):
        import sklearn
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        self.version, self.configuration = sklearn.__version__, "HistGradientBoosting"
        self.models = HistGradientBoostingRegressor, HistGradientBoostingClassifier

    def train(self, x, y, classes, settings):
        few = [j for j in settings.categorical(x.shape[1]) if np.nanmax(x[:, j]) < 255]
        model = self.models[classes > 0](
            max_iter=settings.trees,
            max_leaf_nodes=settings.leaves,
            max_depth=settings.depth,
            learning_rate=settings.learning_rate,
            l2_regularization=settings.l2,
            min_samples_leaf=settings.min_rows,
            max_bins=255,
            early_stopping=False,
            categorical_features=few or None,
            random_state=settings.seed,
        )
        return model.fit(x, y)

    def predict(self, model, x, classes):
        return model.predict_proba(x) if classes else model.predict(x)


# Features from which LightGBM is faster by columns.
WIDE = 200

LIBRARIES = {
    "lightgbm": LightGBM,
    "lightgbm-quantised": lambda: LightGBM(quantised=True),
    "xgboost": XGBoost,
    "catboost": CatBoost,
    "scikit-learn": ScikitLearn,
}

Trees(LIBRARIES[sys.argv[1]]()).serve()

"""All estimators, small enough for tests."""

import tilewise

REGRESSORS = [
    tilewise.LinearRegression(),
    tilewise.Ridge(),
    tilewise.Lasso(alpha=0.01, tol=1e-12),
    tilewise.ElasticNet(alpha=0.01, tol=1e-12),
    tilewise.PoissonRegressor(),
    tilewise.GammaRegressor(),
    tilewise.TweedieRegressor(),
    tilewise.HuberRegressor(),
    tilewise.QuantileRegressor(alpha=0.01),
    tilewise.DecisionTreeRegressor(),
    tilewise.RandomForestRegressor(n_estimators=5),
    tilewise.ExtraTreesRegressor(n_estimators=5),
    tilewise.HistGradientBoostingRegressor(max_iter=10, min_samples_leaf=5),
    tilewise.MLPRegressor(hidden_layer_sizes=(20,), max_iter=100, learning_rate_init=0.01),
]
CLASSIFIERS = [
    tilewise.LogisticRegression(),
    tilewise.DecisionTreeClassifier(),
    tilewise.RandomForestClassifier(n_estimators=5),
    tilewise.ExtraTreesClassifier(n_estimators=5),
    tilewise.HistGradientBoostingClassifier(max_iter=10, min_samples_leaf=5),
    tilewise.MLPClassifier((20,), max_iter=100, learning_rate_init=0.01),
]
OTHERS = [tilewise.GBDTRanker(max_iter=5, min_samples_leaf=5), tilewise.IsolationForest(n_estimators=10)]
ALL = REGRESSORS + CLASSIFIERS + OTHERS

"""Isolation forests: how unusual rows are, without a target."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import OutlierMixin

from . import _data
from ._base import Absent, TilewiseEstimator, check_is_fitted, same
from ._native import Model


class IsolationForest(OutlierMixin, TilewiseEstimator):
    """An isolation forest. `contamination` is the share of the training rows to call outliers; "auto" calls scores above 0.5 so.

    >>> from tilewise import IsolationForest
    >>> forest = IsolationForest(random_state=0).fit([[0.0], [0.1], [0.2], [0.1], [9.0]])
    >>> int(forest.score_samples([[0.1], [9.0]]).argmin())
    1
    """

    _family = "isolation-forest"
    estimators_ = Absent("trees are no estimators of their own: export_text(forest, tree=3) and plot_tree tell of them")
    estimator_ = Absent("trees are no estimators of their own")
    estimators_samples_ = Absent("rows are drawn by counters as trees grow, and not kept")
    estimators_features_ = Absent("every tree sees all columns")
    _missing = True
    _made_of = {"subsample": "max_samples"}
    _accepted = {"contamination": "auto or a share above 0 and at most 0.5 is"}
    _parameters = {
        "n_estimators": ("trees", same),
        "contamination": ("contamination", lambda share: "none" if share == "auto" else share),
    }

    def __init__(
        self,
        *,
        n_estimators: int = 100,
        max_samples: int | float | str = "auto",
        contamination: float | str = "auto",
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_samples = max_samples
        self.contamination = contamination
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _samples(self, rows: int) -> Any:
        count = 256 if isinstance(self.max_samples, str) and self.max_samples == "auto" else self.max_samples
        if isinstance(count, float) and 0.0 < count <= 1.0:
            # A share.
            count = max(2, int(count * rows))
        return count

    def _settings(self, rows: int, weight: float) -> dict[str, Any]:
        return super()._settings(rows, weight) | {"subsample": self._samples(rows)}

    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Learns what rows look like; `y` is not looked at."""
        X = _data.read(self, X, reset=True)
        if len(X) < 2:
            raise ValueError("there is 1 sample (n_samples = 1); at least two are needed")
        weights = self._weights(sample_weight, X)
        self._train(X, None, sample_weight=weights)
        #: Rows drawn for each tree.
        self.max_samples_ = min(self._samples(len(X)), len(X))
        return self

    def _keep(self, model: Model) -> None:
        super()._keep(model)
        threshold = model.threshold
        # A row of that very score is an outlier here, and only one below the offset is in scikit-learn.
        self.offset_ = -0.5 if threshold is None else float(np.nextafter(-threshold, np.inf))

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """How usual rows are: minus the score of the original paper, from -1 to 0."""
        check_is_fitted(self)
        return -self._predict(X)[:, 0]

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """As `score_samples`, less `offset_`: below 0 for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.int64]:
        """-1 for outliers, 1 for others."""
        return np.where(self.decision_function(X) < 0, -1, 1)

from __future__ import annotations

import numpy as np
import pytest

from matscout.models.prediction import Prediction


class Nearest:
    """A surrogate that answers with the target of the nearest row it knows, and remembers what it was given."""

    takes = "features"
    name = "nearest"

    def __init__(self, seen=None):
        self.seen = [] if seen is None else seen

    def fit(self, X, y, groups=None):
        self._X, self._y = X.values, np.asarray(y)
        self.seen.append((X.values.copy(), self._y.copy(), None if groups is None else np.asarray(groups)))
        return self

    def predict(self, X):
        gap = np.abs(X.values[:, None, 0] - self._X[None, :, 0])
        return Prediction(self._y[gap.argmin(axis=1)], gap.min(axis=1) + 0.1)


@pytest.fixture(scope="session")
def nearest():
    return Nearest


@pytest.fixture(scope="session")
def line():
    """A target that is its only feature, in random order."""
    X = np.random.default_rng(0).permutation(40.0 * np.arange(40) / 40)[:, None]
    return X, X[:, 0]

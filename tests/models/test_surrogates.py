"""What holds for every surrogate."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from matscout.errors import UserError
from matscout.models import SURROGATES, base, make_surrogate, surrogate_options

NAMES = sorted(SURROGATES)
LEARNERS = sorted(set(SURROGATES) - {"dummy"})
SMALL = {  # what holds for every size is shown with a small one
    "xgboost": {"n_members": 3, "n_trees": 20},
    "extra_trees": {"n_trees": 20},
    "random_forest": {"n_trees": 20},
    "dummy": {},
}

FINGERPRINT = """
import hashlib, json, sys
import numpy as np
from matscout.models import make_surrogate
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 30))
X[rng.random(X.shape) < 0.1] = np.nan
y = np.nan_to_num(X[:, 0]) ** 2 + 0.1 * rng.normal(size=60)
found = {}
for name, options in json.loads(sys.argv[1]).items():
    p = make_surrogate(name, seed=7, **options).fit(X, y, groups=np.arange(60) // 5).predict(X[::-1])
    found[name] = hashlib.sha256(p.mean.tobytes() + p.std.tobytes()).hexdigest()
print(json.dumps(found))
"""


def small(name, **options):
    return make_surrogate(name, **SMALL[name], **options)


def data(n=120, seed=0):
    """A target of two of twenty features, some of them unknown in some rows."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 20))
    y = X[:, 0] + np.abs(X[:, 1])
    X[:, 5:][rng.random((n, 15)) < 0.1] = np.nan
    return X, y


@pytest.mark.parametrize("name", LEARNERS)
def test_it_learns_more_than_the_mean(name):
    X, y = data()
    unseen, truth = data(500, seed=1)
    prediction = make_surrogate(name).fit(X, y).predict(unseen)
    assert np.abs(prediction.mean - truth).mean() < 0.7 * np.abs(y.mean() - truth).mean()


@pytest.mark.parametrize("name", NAMES)
def test_a_prediction_is_one_finite_mean_and_std_per_row(name):
    X, y = data()
    prediction = small(name).fit(X, y).predict(X[:7])
    for part in (prediction.mean, prediction.std):
        assert part.shape == (7,)
        assert part.dtype == np.float64
        assert np.isfinite(part).all()
    assert (prediction.std > 0).all()


def test_two_processes_give_the_same_bits():
    def run():
        command = [sys.executable, "-c", FINGERPRINT, json.dumps(SMALL)]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    first = run()
    assert len(set(first.values())) == len(NAMES)
    assert run() == first


@pytest.mark.parametrize("name", LEARNERS)
def test_another_seed_gives_another_ensemble(name):
    X, y = data()
    first, again, other = (small(name, seed=seed).fit(X[:60], y[:60]).predict(X).mean for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_predicted_one_by_one(name, monkeypatch):
    X, y = data()
    surrogate = small(name).fit(X, y)
    whole = surrogate.predict(X)
    monkeypatch.setattr(base, "CHUNK_ROWS", 7)
    parts = surrogate.predict(X)
    assert (parts.mean == whole.mean).all()
    assert (parts.std == whole.std).all()
    order = np.random.default_rng(0).permutation(len(X))
    assert (surrogate.predict(X[order]).mean == whole.mean[order]).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_column_without_any_value_does_no_harm(name, recwarn):
    X, y = data(40)
    X[:, 3] = np.nan
    assert np.isfinite(small(name).fit(X, y).predict(X).mean).all()
    assert not recwarn.list


@pytest.mark.parametrize("name", NAMES)
def test_two_rows_are_enough_to_begin(name):
    prediction = small(name).fit([[0.0, 1.0], [1.0, 0.0]], [0.2, 0.4]).predict([[0.5, 0.5]])
    assert 0.2 <= prediction.mean[0] <= 0.4
    assert prediction.std[0] == pytest.approx(np.std([0.2, 0.4], ddof=1))


def test_the_std_of_an_ensemble_is_the_spread_of_its_members():
    X, y = data()
    ensemble = make_surrogate("xgboost", n_members=4, n_trees=20).fit(X, y).surrogate
    members = np.array([member.inplace_predict(X.astype(np.float32)) for member in ensemble._members], dtype=float)
    prediction = ensemble.predict(X)
    np.testing.assert_allclose(prediction.mean, members.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(prediction.std, members.std(axis=0, ddof=1), rtol=1e-9)


def test_members_of_a_larger_ensemble_begin_with_those_of_a_smaller():
    X, y = data()
    small, large = (make_surrogate("xgboost", n_members=n, n_trees=20).fit(X, y).surrogate._members for n in (3, 6))
    for first, second in zip(small, large, strict=False):
        assert (first.inplace_predict(X) == second.inplace_predict(X)).all()


def test_threads_do_not_change_a_prediction():
    X, y = data()
    one, two = (small("xgboost", n_threads=n).fit(X, y).predict(X) for n in (1, 2))
    assert (one.mean == two.mean).all()


@pytest.mark.parametrize("name", NAMES)
def test_fit_and_calibration_of_a_hundred_rows_take_no_longer_than_a_calculation(name):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 200))
    surrogate = make_surrogate(name)
    start = time.process_time()
    surrogate.fit(X, X[:, 0] + rng.normal(size=100), groups=np.arange(100) // 2)
    assert time.process_time() - start < 6  # 1 s on an idle core; generous, for CI shares its own


@pytest.mark.parametrize("name", NAMES)
def test_data_that_does_not_fit_together_is_refused(name):
    X, y = data(20)
    surrogate = small(name)
    with pytest.raises(ValueError, match="X of shape"):
        surrogate.fit(X, y[:-1])
    with pytest.raises(ValueError, match="y is not finite in row 3"):
        surrogate.fit(X, np.where(np.arange(20) == 3, np.nan, y))
    with pytest.raises(ValueError, match="X is infinite in column 2"):
        surrogate.fit(np.where(np.arange(20) == 2, np.inf, X), y)
    with pytest.raises(ValueError, match="nothing to learn from"):
        surrogate.fit(np.empty((0, 3)), [])
    with pytest.raises(ValueError, match="expected 20 features"):
        surrogate.fit(X, y).predict(X[:, :5])


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r'unknown surrogate "xgbost"\. Did you mean xgboost?'):
        make_surrogate("xgbost")


def test_an_unknown_option_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r'xgboost has no option "n_member"\. Did you mean n_members?'):
        make_surrogate("xgboost", n_member=5)
    with pytest.raises(UserError, match='dummy has no option "n_members"'):
        make_surrogate("dummy", n_members=5)


@pytest.mark.parametrize(
    ("option", "value"),
    [("n_members", 1), ("n_members", 2.5), ("n_trees", "many"), ("row_fraction", 0.0), ("seed", -1), ("folds", True)],
)
def test_an_option_out_of_bounds_is_named_with_its_value(option, value):
    with pytest.raises(UserError, match=f"option {option} must be .*, got {value!r}"):
        make_surrogate("xgboost", **{option: value})


def test_options_are_told_before_anything_is_made():
    assert {"seed", "folds", "n_members", "max_depth"} <= set(surrogate_options("xgboost"))


def test_importing_the_package_imports_no_learner():
    code = (
        "import sys, matscout.models as m; m.make_surrogate('xgboost'); m.acquisition; "
        "print([m for m in ('xgboost', 'sklearn', 'torch', 'pandas') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"

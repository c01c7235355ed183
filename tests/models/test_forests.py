from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matscout.models.forests import ExtraTrees, RandomForest
from matscout.models.members import combined, of_probabilities
from matscout.models.tree_arrays import TreeArrays

FORESTS = pytest.mark.parametrize("forest", [ExtraTrees, RandomForest])


def data(n=150, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 8))
    return X, X[:, 0] + np.abs(X[:, 1]) + 0.2 * rng.normal(size=n)


def theirs(forest, **options):
    """scikit-learn's forest of the same kind, with the same options by its own names."""
    import sklearn.ensemble

    kind = getattr(sklearn.ensemble, f"{forest.__name__}Regressor")
    return kind(n_estimators=30, max_features=0.33, random_state=5, **options)


@FORESTS
@pytest.mark.parametrize("min_leaf", [1, 4])
def test_the_mean_is_scikit_learns(forest, min_leaf):
    X, y = data()
    unseen, _ = data(40, seed=1)
    expected = theirs(forest, min_samples_leaf=min_leaf).fit(X, y).predict(unseen)
    found = forest(n_trees=30, seed=5, min_leaf=min_leaf).fit(X, y).predict(unseen)
    np.testing.assert_allclose(found.mean, expected, rtol=1e-12)


@FORESTS
def test_the_std_is_the_spread_of_the_trees(forest):
    X, y = data()
    model = theirs(forest).fit(X, y)
    trees = np.array([tree.predict(X.astype(np.float32)) for tree in model.estimators_])
    prediction = forest(n_trees=30, seed=5).fit(X, y).predict(X)
    np.testing.assert_allclose(prediction.std, trees.std(axis=0, ddof=1), rtol=1e-9, atol=1e-12)
    assert prediction.aleatoric is None


def test_leaves_of_several_rows_tell_the_noise_within_them():
    X, y = data()
    unseen = data(40, seed=1)[0].astype(np.float32)
    model = theirs(ExtraTrees, min_samples_leaf=5).fit(X, y)
    means, variances = [], []
    for tree in model.estimators_:
        leaf_of_row, leaf = tree.apply(X.astype(np.float32)), tree.apply(unseen)
        means.append([y[leaf_of_row == one].mean() for one in leaf])
        variances.append([y[leaf_of_row == one].var(ddof=1) for one in leaf])
    prediction = ExtraTrees(n_trees=30, seed=5, min_leaf=5).fit(X, y).predict(unseen)
    np.testing.assert_allclose(prediction.aleatoric**2, np.mean(variances, axis=0), rtol=1e-6)
    np.testing.assert_allclose(prediction.epistemic**2, np.var(means, axis=0, ddof=1), rtol=1e-6)
    np.testing.assert_allclose(prediction.std**2, prediction.aleatoric**2 + prediction.epistemic**2, rtol=1e-12)


@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_the_aleatoric_part_finds_the_noise_that_was_put_in(noise):
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(3000, 2))
    y = X[:, 0] + noise * rng.normal(size=3000)
    prediction = ExtraTrees(n_trees=30, min_leaf=20, column_fraction=1.0).fit(X, y).predict(X)
    assert np.sqrt(np.mean(prediction.aleatoric**2)) == pytest.approx(noise, rel=0.1)


@FORESTS
def test_a_probability_is_the_mean_share_in_the_leaves(forest):
    X, y = data()
    chance = theirs(forest, min_samples_leaf=3).fit(X, (y > 1) * 1.0).predict(X)
    prediction = forest(n_trees=30, seed=5, min_leaf=3, task="classification").fit(X, y > 1).predict(X)
    np.testing.assert_allclose(prediction.mean, chance, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(prediction.std, np.sqrt(chance * (1 - chance)), atol=1e-7)


@FORESTS
def test_threads_do_not_change_a_bit(forest):
    X, y = data()
    one, two = (forest(n_trees=30, n_threads=n, min_leaf=2).fit(X, y).predict(X) for n in (1, 2))
    for part in ("mean", "std", "aleatoric", "epistemic"):
        assert (getattr(one, part) == getattr(two, part)).all()


@FORESTS
def test_the_arrays_say_how_a_row_is_predicted(forest):
    X, y = data()
    surrogate = forest(n_trees=5).fit(X, y)
    arrays = surrogate.tree_arrays()
    single = X.astype(np.float32)

    def leaf(tree, row):
        node = 0
        while arrays.left[arrays.first[tree] + node] >= 0:
            at = arrays.first[tree] + node
            left = row[arrays.feature[at]] <= arrays.threshold[at]
            node = arrays.left[at] if left else arrays.right[at]
        return arrays.first[tree] + node

    leaves = np.array([[leaf(tree, row) for row in single] for tree in range(len(arrays))])
    np.testing.assert_allclose(surrogate.predict(X).mean, arrays.value[leaves].mean(axis=0), rtol=1e-12)
    assert arrays.cover[arrays.first[:-1]].tolist() == [len(X)] * 5


def test_trees_made_of_arrays_have_the_depth_that_was_grown():
    X, y = data()
    trees = ExtraTrees(n_trees=4).fit(X, y)._trees
    again = TreeArrays.of_trees(trees).trees(X.shape[1])
    assert [tree.max_depth for tree in again] == [tree.max_depth for tree in trees]


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_parts_add_up_by_the_law_of_total_variance(n_members, n, seed):
    rng = np.random.default_rng(seed)
    chances = rng.random((n_members, n))
    prediction = combined([(chance, None) for chance in chances], "classification")
    mean = chances.mean(axis=0)
    np.testing.assert_allclose(prediction.std**2, mean * (1 - mean), atol=1e-12)
    np.testing.assert_allclose(prediction.aleatoric**2, (chances * (1 - chances)).mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(prediction.epistemic**2, chances.var(axis=0), atol=1e-12)


def test_a_probability_that_rounding_put_outside_is_put_back():
    prediction = of_probabilities(np.array([-1e-17, 1 + 1e-15]), np.array([1e-20, 0.0]))
    assert prediction.mean.tolist() == [0, 1]
    assert prediction.std.tolist() == [0, 0]

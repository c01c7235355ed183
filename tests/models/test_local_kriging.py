from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from matscout.errors import UserError
from matscout.models import element_kernel, load_surrogate
from matscout.models.element_kernel import element_vectors, nearest, positions
from matscout.models.inputs import as_inputs
from matscout.models.local_kriging import FEATURES, LocalKriging, kriging_features

GIVEN = {"length_scale": 0.6, "noise": 0.02, "prior_weight": 3.0}
OF_TARGETS = [place for place, name in enumerate(FEATURES) if name != "kriging std"]  # std knows the size of all errors


def places(formulas, length=0.5, identity=0.02):
    return positions(as_inputs("compositions", formulas), element_vectors(length, identity))


# ---- compositions as points


def test_alike_elements_have_alike_vectors():
    vectors = element_vectors(0.5, 0.02)
    likeness = vectors @ vectors.T
    assert likeness.diagonal()[1:] == pytest.approx(1.0)
    assert not vectors[0].any()
    sodium, potassium, chlorine, bromine, lanthanum, cerium = 11, 19, 17, 35, 57, 58
    assert likeness[sodium, potassium] > 0.5
    assert likeness[sodium, chlorine] < 0.1
    assert likeness[chlorine, bromine] > 0.5
    assert likeness[lanthanum, cerium] > 0.9


def test_elements_that_share_nothing_are_as_far_apart_as_their_fractions():
    first, second = places(["NaCl", "NaBr3"], identity=1.0)
    # Na .5 and .25, Cl .5, Br .75
    assert np.linalg.norm(first - second) == pytest.approx(np.sqrt(0.25**2 + 0.5**2 + 0.75**2))


def test_the_distance_of_compositions_is_that_of_the_elements_in_which_they_differ():
    sodium, potassium, salt, sylvite = places(["Na", "K", "NaCl", "KCl"])
    assert np.linalg.norm(salt - sylvite) == pytest.approx(0.5 * np.linalg.norm(sodium - potassium))


# ---- the nearest


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 300), st.integers(1, 40), st.booleans(), st.sampled_from([50, 10**6]))
def test_the_nearest_are_those_that_sorting_all_distances_finds(seed, n, k, grouped, at_once):
    rng = np.random.default_rng(seed)
    points, queries = (rng.integers(-2, 3, (size, 4)) / 4 for size in (n, 25))  # a coarse grid: many lie equally far
    labels = (rng.integers(0, 5, 25), rng.integers(0, 4, n)) if grouped else None
    squares = cdist(queries, points, "sqeuclidean")
    if grouped:
        squares[labels[0][:, None] == labels[1]] = np.inf
    order = np.argsort(squares, axis=1, kind="stable")[:, : min(k, n)]
    expected = np.sqrt(np.take_along_axis(squares, order, axis=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(element_kernel, "_NUMBERS_AT_ONCE", at_once)
        found = nearest(queries, points, k, labels)
    assert (found.rows == np.where(np.isinf(expected), -1, order)).all()
    np.testing.assert_allclose(found.distances, expected, atol=1e-9)


# ---- kriging


@pytest.mark.parametrize(("kernel", "smoothness"), [("matern", 1.5), ("exponential", 0.5)])
def test_from_all_rows_it_is_a_gaussian_process_with_an_unknown_mean(kit, kernel, smoothness):
    X, y = kit.data("local_kriging", 60)
    rows = kit.unseen("local_kriging")[0][:20]
    X, y = [*X, X[3], X[3]], np.append(y + 5, [4.0, 6.0])  # polymorphs
    found = LocalKriging(neighbours=len(X), kernel=kernel, **GIVEN).fit(X, y).predict(rows)
    unknown_mean = ConstantKernel(1e6, "fixed")
    process = GaussianProcessRegressor(
        unknown_mean + Matern(GIVEN["length_scale"], nu=smoothness), alpha=GIVEN["noise"], optimizer=None
    )
    mean, std = process.fit(places(X), y).predict(places(rows), return_std=True)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-4)
    of_function = GIVEN["noise"] * (found.epistemic / found.aleatoric) ** 2
    np.testing.assert_allclose(of_function, std**2, rtol=1e-4)


def test_a_row_depends_on_its_neighbours_alone(kit):
    X, y = kit.data("local_kriging")
    row = kit.unseen("local_kriging")[0][0]
    near = np.linalg.norm(places(X) - places([row]), axis=1).argsort()[:12]
    of_all = LocalKriging(neighbours=12, **GIVEN).fit(X, y).predict([row])
    of_these = LocalKriging(neighbours=12, **GIVEN).fit([X[i] for i in near], y[near]).predict([row])
    assert of_all.mean == pytest.approx(of_these.mean)


def test_many_polymorphs_of_one_composition_are_averaged():
    y = np.random.default_rng(0).normal(size=80)
    surrogate = LocalKriging(neighbours=10, **GIVEN).fit(["TiO2"] * 40 + ["NaCl"] * 40, y)
    assert surrogate.predict(["Ti2O4"]).mean[0] == pytest.approx(y[:10].mean(), abs=1e-9)  # the first of equals
    assert np.isfinite(LocalKriging(neighbours=10).fit(["TiO2"] * 40 + ["NaCl"] * 40, y).leave_one_out().std).all()


def test_ten_rows_are_enough(kit):
    X, y = kit.data("local_kriging", 10)
    prediction = LocalKriging().fit(X, y).predict(kit.unseen("local_kriging")[0])
    assert np.isfinite(prediction.mean).all()
    assert (prediction.std > 0).all()
    assert LocalKriging().fit(["NaCl", "KCl"], [1.0, 2.0]).predict(["NaCl"]).mean[0] == pytest.approx(1.0, abs=0.5)


def test_what_is_not_given_is_learnt_from_rows_predicted_from_the_others(kit):
    X, y = kit.data("local_kriging", 60)
    of_noise = [LocalKriging(neighbours=12, noise=noise).fit(X, y).leave_one_out() for noise in (1e-3, 1e3)]
    error = [np.abs(one.mean - y).mean() for one in of_noise]
    assert error[0] < 0.8 * error[1]
    learnt = LocalKriging(neighbours=12).fit(X, y)
    found = learnt.leave_one_out()
    assert np.abs(found.mean - y).mean() < 1.1 * error[0]
    assert (((found.mean - y) / found.std) ** 2).mean() == pytest.approx(1.0)


# ---- without the own row


def test_leaving_one_out_is_learning_without_it(kit):
    X, y = kit.data("local_kriging", 60)
    X, y = [*X, X[3]], np.append(y, 2.0)
    found = LocalKriging(neighbours=15, **GIVEN).fit(X, y).leave_one_out()
    for row in (0, 3, 17, 60):
        others = np.delete(np.arange(61), row)
        alone = LocalKriging(neighbours=15, **GIVEN).fit([X[i] for i in others], y[others]).predict([X[row]])
        assert found.mean[row] == pytest.approx(alone.mean[0])
        ratio = found.epistemic[row] / found.aleatoric[row]
        assert ratio == pytest.approx(alone.epistemic[0] / alone.aleatoric[0])


def test_leaving_a_group_out_is_learning_without_it(kit):
    X, y = kit.data("local_kriging", 60)
    groups = np.array(list("abcdef"))[np.arange(60) % 6]
    surrogate = LocalKriging(neighbours=55, **GIVEN).fit(X, y)  # more than 50 that are left
    found = surrogate.leave_one_out(groups)
    for group in "ad":
        kept, left = np.flatnonzero(groups != group), np.flatnonzero(groups == group)
        alone = LocalKriging(neighbours=55, **GIVEN).fit([X[i] for i in kept], y[kept])
        np.testing.assert_allclose(found.mean[left], alone.predict([X[i] for i in left]).mean, rtol=1e-6)
    with pytest.raises(UserError, match="row 0 has no other row to be predicted from"):
        surrogate.leave_one_out(["a"] * 60)
    with pytest.raises(UserError, match=r"expected one group per row, shape \(60,\), got \(2,\)"):
        surrogate.leave_one_out(["a", "b"])


def test_columns_for_another_model_know_nothing_of_the_row_itself_or_of_its_group(kit):
    X, y = kit.data("local_kriging", 60)
    rows = kit.unseen("local_kriging")[0][:20]
    groups = np.arange(60) // 4
    other = np.where(groups == 2, y + 7.0, y)
    before, new = kriging_features(X, y, rows, groups, neighbours=12, **GIVEN)
    after, moved = kriging_features(X, other, rows, groups, neighbours=12, **GIVEN)
    own = groups == 2
    assert before.names == new.names == FEATURES
    assert (before.values[own][:, OF_TARGETS] == after.values[own][:, OF_TARGETS]).all()
    assert (before.values[~own][:, OF_TARGETS] != after.values[~own][:, OF_TARGETS]).any()
    assert (new.values != moved.values).any()
    ungrouped, _ = kriging_features(X, other, rows, neighbours=12, **GIVEN)
    assert (ungrouped.values[own][:, 0] != before.values[own][:, 0]).any()


def test_polymorphs_tell_nothing_of_new_compositions(kit):
    X, y = kit.data("local_kriging", 60)
    rows = kit.unseen("local_kriging")[0][:20]
    twice, both = [*X, *(f"({formula})2" for formula in X)], np.append(y, y + 1e-3)
    same = np.tile(np.arange(60), 2)
    told, new = kriging_features(twice, both, rows, neighbours=12)
    grouped, of_grouped = kriging_features(twice, both, rows, same, neighbours=12)
    assert (told.values == grouped.values).all()
    assert (new.values == of_grouped.values).all()
    alone = kriging_features(twice, both, rows, np.arange(120), neighbours=12)[0]
    near = FEATURES.index("distance to nearest")
    assert (alone.values[:, near] == 0).all()
    assert (told.values[:, near] > 0).all()
    learnt = LocalKriging(neighbours=12).fit(twice, both)
    assert learnt.hyperparameters == LocalKriging(neighbours=12).fit(twice, both, same).hyperparameters
    with pytest.raises(UserError, match="no other row to be predicted from"):
        LocalKriging(**GIVEN).fit(["NaCl", "Na2Cl2"], [1.0, 2.0]).features_of_training()


def test_columns_are_what_they_are_named(kit):
    X, y = kit.data("local_kriging", 60)
    rows = kit.unseen("local_kriging")[0][:20]
    surrogate = LocalKriging(neighbours=12, **GIVEN).fit(X, y)
    columns = dict(zip(FEATURES, surrogate.features(rows).values.T, strict=True))
    distances = cdist(places(rows), places(X))
    order = distances.argsort(axis=1, kind="stable")
    nearest_8 = np.take_along_axis(distances, order, axis=1)[:, :8]
    prediction = surrogate.predict(rows)
    assert (columns["kriging mean"] == prediction.mean).all()
    assert (columns["kriging std"] == prediction.std).all()
    np.testing.assert_allclose(columns["target of second nearest"], y[order[:, 1]])
    np.testing.assert_allclose(columns["distance to nearest"], nearest_8[:, 0], atol=1e-9)
    np.testing.assert_allclose(columns["distance to nearest 8"], nearest_8[:, 7], atol=1e-9)
    np.testing.assert_allclose(columns["spread of nearest 8"], y[order[:, :8]].std(axis=1))


def test_of_few_rows_columns_have_no_holes():
    training, new = kriging_features(["NaCl", "KCl", "RbCl"], [1.0, 2.0, 3.0], ["CsCl"])
    assert np.isfinite(training.values).all()
    assert np.isfinite(new.values).all()


def test_a_kept_one_tells_the_same_columns(kit, tmp_path):
    X, y = kit.data("local_kriging", 60)
    surrogate = LocalKriging(neighbours=12).fit(X, y)
    surrogate.save(tmp_path)
    kept = load_surrogate(tmp_path)
    assert kept.hyperparameters == surrogate.hyperparameters
    assert (kept.features_of_training().values == surrogate.features_of_training().values).all()


def test_nothing_learnt_tells_nothing():
    for ask in (lambda s: s.leave_one_out(), lambda s: s.features(["NaCl"]), lambda s: s.hyperparameters):
        with pytest.raises(RuntimeError, match="fit the surrogate before it"):
            ask(LocalKriging())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("neighbours", 1),
        ("neighbours", 2.5),
        ("length_scale", 0),
        ("noise", 0),
        ("prior_weight", 0),
        ("element_length", -1),
        ("element_identity", 0),
        ("element_identity", 1.5),
        ("hyperparameter_rows", 1),
    ],
)
def test_an_option_out_of_bounds_is_named_with_its_value(option, value):
    with pytest.raises(UserError, match=f"option {option} must be .*, got {value!r}"):
        LocalKriging(**{option: value})


def test_an_unknown_kernel_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="Did you mean exponential"):
        LocalKriging(kernel="exponentiel")

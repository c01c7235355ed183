from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, Matern, WhiteKernel

from matscout.errors import UserError
from matscout.models import make_surrogate
from matscout.models._gaussian_process_posterior import LOG_CHI_SQUARE, SMALLEST_SQUARE, Learnt, condense
from matscout.models._gaussian_process_torch import LEVEL_STD, Evidence, Hyperparameters
from matscout.models.gaussian_process import GaussianProcess
from matscout.models.registry import load_surrogate


def data(n=60, seed=0, columns=6):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, columns)) * np.logspace(-2, 2, columns)
    Z = X / np.logspace(-2, 2, columns)
    return X, 3 + np.sin(2 * Z[:, 0]) + 0.5 * Z[:, 1] ** 2 + 0.1 * rng.normal(size=n)


def learnt(surrogate):
    """Hyperparameters as scikit-learn and GPyTorch take them: of standardised features."""
    found = surrogate._learnt.hyperparameters
    return found.lengths.numpy() * math.sqrt(12), found.noise


def sklearns(surrogate, X, y):
    """scikit-learn's process with the hyperparameters that were learnt; a function of rows."""
    lengths, noise = learnt(surrogate)
    kind = Matern(lengths, nu=2.5) if surrogate.kernel == "matern" else RBF(lengths)
    model = GaussianProcessRegressor(kind + WhiteKernel(noise), optimizer=None, alpha=0)
    centre, scale = X.mean(axis=0), X.std(axis=0)
    level = surrogate._learnt.hyperparameters.level
    model.fit((X - centre) / scale, (y - y.mean()) / y.std() - level)

    def predict(rows, **kind):
        mean, spread = model.predict((rows - centre) / scale, **kind)
        return mean + level, spread

    return predict


@pytest.mark.parametrize("kernel", ["matern", "rbf"])
@pytest.mark.parametrize("ard", [True, False])
def test_a_prediction_is_scikit_learns_with_the_same_hyperparameters(kernel, ard):
    X, y = data()
    rows = data(50, seed=1)[0]
    surrogate = GaussianProcess(kernel=kernel, ard=ard, local_sizes=False).fit(X, y)
    model = sklearns(surrogate, X, y)
    prediction = surrogate.predict(rows)
    mean, std = model(rows, return_std=True)
    np.testing.assert_allclose(prediction.mean, y.mean() + y.std() * mean, rtol=1e-8)
    np.testing.assert_allclose(prediction.std, y.std() * std, rtol=1e-6)
    noise = y.std() * math.sqrt(learnt(surrogate)[1])
    assert prediction.aleatoric == pytest.approx(noise)
    assert surrogate.noise_std == pytest.approx(noise)
    np.testing.assert_allclose(np.hypot(prediction.epistemic, prediction.aleatoric), prediction.std)


def test_the_joint_distribution_is_scikit_learns():
    X, y = data()
    rows = data(20, seed=1)[0]
    surrogate = GaussianProcess(local_sizes=False).fit(X, y)
    mean, covariance = surrogate.joint(rows)
    prediction = surrogate.predict(rows)
    np.testing.assert_allclose(mean, prediction.mean)
    np.testing.assert_allclose(np.sqrt(np.diagonal(covariance)), prediction.epistemic, rtol=1e-6)
    with_noise = sklearns(surrogate, X, y)(rows, return_cov=True)[1]
    expected = y.std() ** 2 * (with_noise - learnt(surrogate)[1] * np.eye(20))
    np.testing.assert_allclose(covariance, expected, atol=1e-9)


def gpytorch_evidence(X, y, kernel, *, ard, lengths, noise, level):
    """Minus the logarithm of likelihood times BoTorch's prior, per row."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated", category=DeprecationWarning)
        import gpytorch
        from botorch.models import SingleTaskGP
        from botorch.models.utils.gpytorch_modules import (
            get_covar_module_with_dim_scaled_prior,
            get_gaussian_likelihood_with_lognormal_prior,
        )
    d = X.shape[1]
    module = get_covar_module_with_dim_scaled_prior(d, use_rbf_kernel=kernel == "rbf")
    if not ard:
        prior = module.lengthscale_prior
        module = (gpytorch.kernels.RBFKernel if kernel == "rbf" else gpytorch.kernels.MaternKernel)(
            lengthscale_prior=prior
        )
    likelihood = get_gaussian_likelihood_with_lognormal_prior()
    model = SingleTaskGP(X, y[:, None], likelihood=likelihood, covar_module=module, outcome_transform=None)
    model.to(X)
    module.lengthscale = torch.from_numpy(lengths)
    likelihood.noise = noise
    model.mean_module.constant = level
    value = gpytorch.ExactMarginalLogLikelihood(likelihood, model.train())(model(X), y)
    return -value.item()


@pytest.mark.parametrize("kernel", ["matern", "rbf"])
@pytest.mark.parametrize("ard", [True, False])
def test_what_is_sought_is_the_density_that_botorch_seeks(kernel, ard):
    rng = np.random.default_rng(0)
    X, y = torch.from_numpy(rng.uniform(size=(25, 4))), torch.from_numpy(rng.normal(size=25))
    y = (y - y.mean()) / y.std()
    evidence = Evidence(X, y, kernel, ard=ard)
    differences = []
    for _ in range(3):
        lengths, noise = rng.uniform(0.3, 3, size=4 if ard else 1), rng.uniform(0.01, 0.5)
        at = np.log(np.r_[lengths, noise])
        level = evidence.level(at)
        ours = evidence(at)[0] - 0.5 * (level / LEVEL_STD) ** 2 / 25  # BoTorch's mean has no prior
        theirs = gpytorch_evidence(X, y, kernel, ard=ard, lengths=lengths, noise=noise, level=level)
        differences.append(ours - theirs)
    # but for the factor of the density of the prior, which BoTorch holds in single precision
    np.testing.assert_allclose(differences, differences[0], atol=1e-6)


@given(st.sampled_from(["matern", "rbf"]), st.booleans(), st.integers(0, 100))
@settings(max_examples=20)
def test_its_gradient_is_that_of_finite_differences(kernel, ard, seed):
    rng = np.random.default_rng(seed)
    X, y = torch.from_numpy(rng.normal(size=(12, 3))), torch.from_numpy(rng.normal(size=12))
    evidence = Evidence(X, y, kernel, ard=ard)
    at = np.r_[rng.normal(size=evidence.n_lengths), -2.0]
    steps = 1e-5 * np.eye(len(at))
    slopes = [(evidence(at + step)[0] - evidence(at - step)[0]) / 2e-5 for step in steps]
    np.testing.assert_allclose(evidence(at)[1], slopes, atol=1e-7)


def test_the_level_is_that_of_generalised_least_squares():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    evidence = Evidence(torch.from_numpy(X), torch.from_numpy(y), "matern", ard=True)
    covariance = Matern([1.0, 2.0], nu=2.5)(X) + 0.1 * np.eye(30)
    # a constant with its prior is one more covariance: its mean, given the data
    shift = LEVEL_STD**2 * np.ones(30)
    expected = shift @ np.linalg.solve(covariance + LEVEL_STD**2, y)
    assert evidence.level(np.log([1.0, 2.0, 0.1])) == pytest.approx(expected)


def test_features_that_do_not_count_get_long_length_scales():
    X, y = data(100)
    surrogate = GaussianProcess().fit(X, y)
    lengths = learnt(surrogate)[0]
    assert lengths[:2].max() < lengths[2:].min() / 3
    assert len(learnt(GaussianProcess(ard=False).fit(X, y))[0]) == 1


def test_a_function_with_noise_is_learnt_with_its_noise():
    X, y = data(300)
    rows, truth = data(500, seed=1)
    prediction = GaussianProcess().fit(X, y).predict(rows)
    assert prediction.aleatoric[0] == pytest.approx(0.1, rel=0.2)
    assert np.abs(prediction.mean - truth).mean() < 0.15
    assert 0.85 < np.mean(np.abs(prediction.mean - truth) < 1.645 * prediction.std) < 0.95


def test_far_from_the_data_all_is_as_before_them():
    X, y = data()
    surrogate = GaussianProcess().fit(X, y)
    prediction = surrogate.predict(X[:1] + 1e6)
    level = surrogate._learnt.hyperparameters.level
    assert prediction.mean[0] == pytest.approx(y.mean() + y.std() * level)
    assert prediction.epistemic[0] == pytest.approx(y.std())
    assert surrogate.predict(X).epistemic.max() < prediction.epistemic[0]


def test_a_sparse_process_with_all_rows_as_points_is_exact():
    X, y = data()
    rows = data(40, seed=1)[0]
    exact = GaussianProcess().fit(X, y)
    own, Z, target = exact._learnt.hyperparameters, exact._learnt.points, exact._learnt.target
    sparse = condense(own, Z, Z, target).with_sizes(Z, target).posterior()
    found, expected = (one.marginals(exact._scaled(rows)) for one in (sparse, exact._posterior))
    np.testing.assert_allclose(found, expected, atol=1e-5)  # mean, variance and noise
    np.testing.assert_allclose(sparse.left_out(Z, target), exact._posterior.left_out(Z, target), rtol=1e-3)


def test_a_sparse_process_is_that_of_the_textbook():
    rng = np.random.default_rng(0)
    X, U, rows, y = (rng.normal(size=shape) for shape in ((50, 3), (10, 3), (7, 3), 50))
    own = Hyperparameters("matern", torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64), 0.2, level=0.3)
    kernel = Matern([1.0, 2.0, 0.5], nu=2.5)
    posterior = condense(own, *(torch.from_numpy(part) for part in (U, X, y))).posterior()
    # Quiñonero-Candela, Rasmussen, J. Mach. Learn. Res. 6, 1939 (2005), eq. 20b (deterministic training conditional)
    to_points, cross = kernel(rows, U), kernel(U, X)
    inner = np.linalg.inv(cross @ cross.T / 0.2 + kernel(U))
    expected = 0.3 + to_points @ inner @ cross @ (y - 0.3) / 0.2
    covariance = kernel(rows) - to_points @ (np.linalg.inv(kernel(U)) - inner) @ to_points.T
    mean, variance, noise = posterior.marginals(rows)
    np.testing.assert_allclose(noise, 0.2)
    np.testing.assert_allclose(mean, expected, atol=1e-6)
    np.testing.assert_allclose(variance, np.diagonal(covariance), atol=1e-6)
    np.testing.assert_allclose(posterior.joint(rows)[0], expected, atol=1e-6)
    np.testing.assert_allclose(posterior.joint(rows)[1], covariance, atol=1e-6)


def test_errors_left_out_are_those_of_processes_without_the_row():
    X, y = data(30)
    surrogate = GaussianProcess().fit(X, y)
    own, Z, target = (getattr(surrogate._learnt, name) for name in ("hyperparameters", "points", "target"))
    expected = []
    for row in range(30):
        rest = torch.arange(30) != row
        mean, variance, noise = Learnt(own, Z[rest], target[rest]).posterior().marginals(Z[row : row + 1].numpy())
        expected.append(((target[row].item() - mean) ** 2 / (variance + noise)).item())
    np.testing.assert_allclose(surrogate._posterior.left_out(Z, target), expected, rtol=1e-6)


def test_sizes_of_errors_are_a_process_of_their_logarithms():
    X, y = data()
    rows = data(20, seed=1)[0]
    plain, local = (GaussianProcess(local_sizes=sizes).fit(X, y) for sizes in (False, True))
    lengths, _ = learnt(local)
    squares = local._posterior.left_out(local._learnt.points, local._learnt.target).numpy()
    logarithm = np.log(np.maximum(squares, SMALLEST_SQUARE))
    sizes = GaussianProcessRegressor(Matern(lengths, nu=2.5), optimizer=None, alpha=LOG_CHI_SQUARE)
    centre, scale = X.mean(axis=0), X.std(axis=0)
    sizes.fit((X - centre) / scale, logarithm - logarithm.mean())
    expected = plain.predict(rows).std * np.exp(0.5 * sizes.predict((rows - centre) / scale))
    np.testing.assert_allclose(local.predict(rows).std, expected, rtol=1e-6)
    assert (local.predict(rows).mean == plain.predict(rows).mean).all()
    prediction, covariance = local.predict(rows), local.joint(rows)[1]
    np.testing.assert_allclose(np.sqrt(np.diagonal(covariance)), prediction.epistemic, rtol=1e-6)
    assert np.linalg.eigvalsh(covariance).min() > -1e-9


@pytest.mark.parametrize("options", [{}, {"exact_rows": 200, "inducing_points": 100}])
def test_it_tells_where_the_noise_is_larger(options):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(400, 2))
    noise = np.where(X[:, 0] > 0, 0.5, 0.05)
    surrogate = GaussianProcess(**options).fit(X, np.sin(3 * X[:, 0]) + X[:, 1] + noise * rng.normal(size=400))
    loud, quiet = surrogate.predict([[0.6, 0.0], [-0.6, 0.0]]).aleatoric
    assert loud > 3 * quiet
    assert surrogate.predict([[1e3, 0.0]]).aleatoric == pytest.approx(surrogate.noise_std)


def test_above_its_limit_it_is_sparse_and_all_rows_count():
    X, y = data(400)
    rows, truth = data(300, seed=1)
    options = {"exact_rows": 100, "inducing_points": 60, "hyperparameter_rows": 100}
    sparse = GaussianProcess(**options).fit(X, y)
    few = GaussianProcess(hyperparameter_rows=100).fit(X[:60], y[:60])
    assert len(sparse._learnt.points) == 60
    errors = [np.abs(surrogate.predict(rows).mean - truth).mean() for surrogate in (sparse, few)]
    assert errors[0] < errors[1]


def test_above_its_limit_it_is_refused_with_the_reason_where_that_is_wished():
    X, y = data(30)
    with pytest.raises(
        UserError, match=r"30 rows are more than exact_rows \(20\): .* n\^3.* n\^2.*Set above to sparse"
    ):
        GaussianProcess(exact_rows=20, above="refuse").fit(X, y)
    assert len(GaussianProcess(exact_rows=30, above="refuse").fit(X, y).predict(X)) == 30


@pytest.mark.parametrize("options", [{}, {"exact_rows": 30, "inducing_points": 20}, {"missing": "median"}])
def test_a_kept_process_predicts_the_same_bits(options, tmp_path):
    X, y = data()
    rows = data(1500, seed=1)[0]
    surrogate = GaussianProcess(**options).fit(X, y)
    surrogate.save(tmp_path)
    before, after = surrogate.predict(rows), load_surrogate(tmp_path).predict(rows)
    assert (before.mean == after.mean).all()
    assert (before.std == after.std).all()
    assert (before.epistemic == after.epistemic).all()


def test_a_row_is_predicted_alike_in_any_company():
    X, y = data()
    rows = data(1500, seed=1)[0]
    surrogate = GaussianProcess().fit(X, y)
    whole = surrogate.predict(rows)
    order = np.random.default_rng(0).permutation(1500)
    for part in (order, order[:7], order[:1]):
        some = surrogate.predict(rows[part])
        assert (some.mean == whole.mean[part]).all()
        assert (some.std == whole.std[part]).all()
    assert len(surrogate.predict(rows[:0])) == 0


def test_the_seed_draws_the_rows_and_nothing_else():
    X, y = data(60)
    small = {"exact_rows": 30, "inducing_points": 20, "hyperparameter_rows": 30}
    first, again, other = (GaussianProcess(seed=seed, **small).fit(X, y).predict(X).mean for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
    exact = [GaussianProcess(seed=seed).fit(X, y).predict(X).mean for seed in (1, 2)]
    assert (exact[0] == exact[1]).all()


def test_constant_columns_do_not_count_and_all_constant_ones_do_no_harm():
    X, y = data(30)
    with_constants = np.hstack([np.full((30, 1), 7.0), X, np.full((30, 2), 0.1)])
    expected = GaussianProcess().fit(X, y).predict(X)
    found = GaussianProcess().fit(with_constants, y).predict(with_constants + np.r_[5.0, np.zeros(6), 1.0, 0.0])
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12)
    nothing = GaussianProcess().fit(np.ones((30, 2)), y).predict(np.ones((1, 2)))
    assert nothing.mean[0] == pytest.approx(y.mean(), abs=0.1 * y.std())
    assert nothing.std[0] == pytest.approx(y.std(), rel=0.3)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_hundreds_of_columns_and_few_rows_are_learnt_from(noise):
    rng = np.random.default_rng(0)
    X, rows = rng.normal(size=(80, 300)), rng.normal(size=(200, 300))
    X[:, 10:150] = X[:, [0]]  # most of them say the same
    rows[:, 10:150] = rows[:, [0]]
    surrogate = GaussianProcess().fit(X, X[:, 0] + noise * rng.normal(size=80))
    assert np.abs(surrogate.predict(rows).mean - rows[:, 0]).mean() < 0.5 * np.abs(rows[:, 0]).mean()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_few_rows_are_enough_to_begin(n):
    X = np.eye(3)[:n]
    prediction = GaussianProcess().fit(X, np.arange(n)).predict([[0.5, 0.5, 0.5]])
    assert 0 <= prediction.mean[0] <= n
    assert prediction.std[0] > 0


def test_equal_rows_with_different_targets_are_noise():
    X = np.repeat(np.arange(10.0)[:, None], 4, axis=0)
    y = X[:, 0] + np.tile([-1.0, 1.0, -1.0, 1.0], 10)
    prediction = GaussianProcess().fit(X, y).predict(X)
    assert prediction.aleatoric[0] == pytest.approx(1.0, rel=0.3)
    np.testing.assert_allclose(prediction.mean, X[:, 0], atol=0.7)


def test_threads_change_no_more_than_rounding_and_are_put_back():
    X, y = data()
    before = torch.get_num_threads()
    one, two = (GaussianProcess(n_threads=n).fit(X, y).predict(X).mean for n in (1, 2))
    np.testing.assert_allclose(one, two, rtol=1e-4)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("kernel", "mattern"),
        ("above", "crash"),
        ("device", "gpu"),
        ("ard", 1),
        ("exact_rows", 0),
        ("inducing_points", 1.5),
        ("task", "classification"),
        ("missing", "native"),
    ],
)
def test_an_option_out_of_bounds_is_named_with_its_value(option, value):
    with pytest.raises(UserError, match=f"option {option} must be .*, got {value!r}"):
        GaussianProcess(**{option: value})


def test_it_is_calibrated_like_any_other():
    X, y = data(80)
    surrogate = make_surrogate("gaussian_process", kernel="rbf", folds=3).fit(X, y)
    assert surrogate.predict(X).std.shape == (80,)


def test_before_learning_it_believes_nothing():
    with pytest.raises(RuntimeError, match="fit the surrogate"):
        GaussianProcess().joint(np.ones((2, 2)))


def test_what_is_kept_is_the_data_and_the_hyperparameters(tmp_path):
    from safetensors.numpy import load_file

    X, y = data()
    GaussianProcess().fit(X, y).save(tmp_path)
    kept = load_file(tmp_path / "gaussian_process.safetensors")
    assert kept["points"].shape == X.shape
    assert set(kept) == {"points", "target", "sizes", "lengths", "noise_and_level", "kept", "mean", "weight"}
    assert isinstance(Learnt.of_tensors({k: torch.from_numpy(v) for k, v in kept.items()}, "matern", "cpu"), Learnt)

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import norm

from matscout.errors import UserError
from matscout.models import make_surrogate
from matscout.models.acquisition import (
    JOINT_ACQUISITIONS,
    expected_improvement,
    joint_batch,
    knowledge_gradient,
    lower_confidence_bound,
)
from matscout.models.acquisition.joint_knowledge import Joint, knowledge_gradient_batch
from matscout.models.gaussian_process import GaussianProcess


def valley(X):
    return np.sin(3 * X[:, 0]) + 0.5 * X[:, 1] ** 2


@pytest.fixture(scope="module")
def learnt():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(15, 2))
    return GaussianProcess().fit(X, valley(X) + 0.1 * rng.normal(size=15))


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(1).uniform(-1.5, 1.5, size=(40, 2))


def draws_of(learnt, rows, n=40_000):
    """Functions drawn from the joint posterior, shape (n, rows)."""
    mean, covariance = learnt.joint(rows)
    return np.random.default_rng(0).multivariate_normal(mean, covariance, size=n, method="eigh")


def test_one_row_is_the_best_by_the_closed_form(learnt, rows):
    prediction = learnt.predict(rows)
    best = float(np.quantile(prediction.mean, 0.3))
    mean, std = prediction.mean, prediction.epistemic
    assert joint_batch(learnt, rows, 1, best=best)[0] == expected_improvement(mean, std, best=best).argmax()
    bound = lower_confidence_bound(mean, std, kappa=1.5)
    assert joint_batch(learnt, rows, 1, "upper_confidence_bound", kappa=1.5)[0] == bound.argmax()


def test_two_rows_are_the_best_second_to_the_first_by_simulation(learnt, rows):
    best = float(np.quantile(learnt.predict(rows).mean, 0.3))
    first, second = joint_batch(learnt, rows, 2, best=best, n_samples=1024)
    draws = draws_of(learnt, rows)
    pairs = np.maximum(best - np.minimum(draws, draws[:, [first]]), 0).mean(axis=0)
    pairs[first] = 0
    assert second != first
    assert pairs[second] > 0.99 * pairs.max()
    # alone, the second would be another one: it is chosen for what the first does not tell
    alone = np.maximum(best - draws, 0).mean(axis=0)
    assert np.argsort(-alone)[1] != second


def test_what_is_pending_counts_as_chosen(learnt, rows):
    for acquisition in ("expected_improvement", "upper_confidence_bound", "knowledge_gradient"):
        chosen = joint_batch(learnt, rows, 3, acquisition, best=-1.0).tolist()
        assert joint_batch(learnt, rows, 2, acquisition, best=-1.0, pending=chosen[:1]).tolist() == chosen[1:]


def test_thompson_takes_each_row_as_often_as_it_is_the_lowest(learnt, rows):
    some = rows[:8]
    found = np.bincount([joint_batch(learnt, some, 1, "thompson", seed=seed)[0] for seed in range(200)], minlength=8)
    share = np.bincount(draws_of(learnt, some).argmin(axis=1), minlength=8) / 40_000
    np.testing.assert_allclose(found / 200, share, atol=4 * np.sqrt(0.25 / 200))


def test_knowledge_of_independent_rows_is_the_closed_form():
    rng = np.random.default_rng(0)
    mean, std, noise = rng.normal(size=6), rng.uniform(0.5, 1, size=6), rng.uniform(0, 1, size=6)
    joint = Joint(mean, np.diag(std**2), noise**2)
    closed = knowledge_gradient(mean, std, noise=noise, best=0.1)
    assert knowledge_gradient_batch(joint, 6, 1, best=0.1, n_samples=4096).tolist() == [closed.argmax()]


def test_knowledge_of_two_rows_is_the_best_by_simulation():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(6, 6))
    joint = Joint(rng.normal(size=6), root @ root.T, np.full(6, 0.3))
    first, second = knowledge_gradient_batch(joint, 6, 2, n_samples=4096)
    # conditional means by the textbook, given simulated calculations of the two rows
    values = []
    for other in range(6):
        pair = [int(first), other]
        within = joint.covariance[np.ix_(pair, pair)] + 0.3 * np.eye(2)
        if other == first:
            values.append(np.inf)
            continue
        told = rng.multivariate_normal(np.zeros(2), within, size=100_000, method="cholesky")
        means = joint.mean + told @ np.linalg.solve(within, joint.covariance[pair])
        values.append(means.min(axis=1).mean())
    assert values[second] < min(values) + 0.01


def test_the_distribution_is_that_of_the_rows_asked_for(learnt, rows):
    # a baseline turns the order round, and what is taken is passed over
    mean = learnt.predict(rows).mean
    baseline = 2 * mean
    chosen = joint_batch(learnt, rows, 1, "upper_confidence_bound", baseline=baseline, kappa=0.0)
    assert chosen[0] == mean.argmax()
    taken = np.arange(40) == chosen[0]
    again = joint_batch(learnt, rows, 1, "upper_confidence_bound", baseline=baseline, kappa=0.0, taken=taken)
    assert again[0] == np.where(taken, -np.inf, mean).argmax()


@pytest.mark.parametrize("acquisition", JOINT_ACQUISITIONS)
def test_a_batch_is_of_different_rows_and_depends_on_the_seed_alone(learnt, rows, acquisition):
    first, again = (joint_batch(learnt, rows, 5, acquisition, best=-1.0, seed=3) for _ in range(2))
    assert first.tolist() == again.tolist()
    assert len(set(first.tolist())) == 5
    assert sorted(joint_batch(learnt, rows[:3], 5, acquisition, best=-1.0).tolist()) == [0, 1, 2]
    assert joint_batch(learnt, rows, 0, acquisition, best=-1.0).tolist() == []


@pytest.mark.parametrize("acquisition", JOINT_ACQUISITIONS)
def test_equal_rows_are_no_trouble(learnt, rows, acquisition):
    twice = np.repeat(rows[:4], 3, axis=0)
    assert len(set(joint_batch(learnt, twice, 6, acquisition, best=0.0).tolist())) == 6


def test_a_calibrated_process_and_a_sparse_one_are_asked_as_well(rows):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(60, 2))
    calibrated = make_surrogate("gaussian_process", exact_rows=30, inducing_points=20).fit(X, valley(X))
    prediction = calibrated.predict(rows)
    ratio = prediction.std / calibrated.surrogate.predict(rows).std
    epistemic = ratio * calibrated.surrogate.predict(rows).epistemic
    score = lower_confidence_bound(calibrated.surrogate.predict(rows).mean, epistemic, kappa=2.0)
    assert joint_batch(calibrated, rows, 1, "upper_confidence_bound", kappa=2.0)[0] == score.argmax()


def test_what_cannot_be_asked_is_refused(learnt, rows):
    with pytest.raises(UserError, match="needs best, the lowest objective calculated so far"):
        joint_batch(learnt, rows, 1)
    with pytest.raises(UserError, match=r"acquisition must be one of .*Did you mean thompson?"):
        joint_batch(learnt, rows, 1, "thomson")
    with pytest.raises(ValueError, match=r"one baseline per row, shape \(40,\)"):
        joint_batch(learnt, rows, 1, "thompson", baseline=[0.0])
    X = np.random.default_rng(0).uniform(1, 2, size=(20, 2))
    with pytest.raises(UserError, match=r"only a gaussian_process .* got Ridge: choose_batch"):
        joint_batch(make_surrogate("ridge").fit(X, X[:, 0]), rows, 1, "thompson")
    logarithmic = make_surrogate("gaussian_process", transform="log").fit(X, np.exp(X[:, 0]))
    with pytest.raises(UserError, match="learnt by its log is not normal"):
        joint_batch(logarithmic, rows, 1, "thompson")


def test_botorch_is_imported_by_the_first_batch():
    code = "import sys, matscout.models.acquisition; print([m for m in ('torch', 'botorch') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_the_expected_improvement_of_a_pair_is_what_botorch_says():
    import torch

    from matscout.models.acquisition._botorch import SobolQMCNormalSampler, qLogExpectedImprovement
    from matscout.models.acquisition._finite_posterior import FinitePosterior

    model = FinitePosterior(np.array([0.0, 0.3]), np.array([[1.0, 0.4], [0.4, 0.5]]))
    sampler = SobolQMCNormalSampler(sample_shape=torch.Size([4096]), seed=0)
    score = qLogExpectedImprovement(model, best_f=0.5, sampler=sampler)
    alone = score(torch.tensor([[[0.0]], [[1.0]]], dtype=torch.float64)).exp().numpy()
    closed = [(m - 0.5) * norm.cdf((m - 0.5) / s) + s * norm.pdf((m - 0.5) / s) for m, s in ((0, 1), (0.3, 0.5**0.5))]
    np.testing.assert_allclose(alone, closed, rtol=0.01)
    draws = np.random.default_rng(0).multivariate_normal([0.0, 0.3], [[1.0, 0.4], [0.4, 0.5]], size=400_000)
    both = score(torch.tensor([[[0.0], [1.0]]], dtype=torch.float64)).exp().item()
    assert both == pytest.approx(np.maximum(draws.max(axis=1) - 0.5, 0).mean(), rel=0.01)

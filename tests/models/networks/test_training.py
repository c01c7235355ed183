"""Training of networks, shown on the simplest ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import log_loss
from torch import nn

from matscout.errors import UserError
from matscout.models.networks.outputs import mean_and_variance, outputs_of
from matscout.models.networks.training import (
    Training,
    batch_size_for,
    chosen_device,
    laplace_loss,
    loss_of,
    reproducible,
    train_network,
)

CPU = torch.device("cpu")


class Matrix:
    """Rows of a matrix."""

    def __init__(self, values):
        self.values = torch.as_tensor(values, dtype=torch.float32)
        self.sizes = np.ones(len(values), dtype=np.intp)

    def __len__(self):
        return len(self.values)

    def batch(self, rows, device):
        return self.values[torch.as_tensor(rows)].to(device)


def small_network(n_inputs=3):
    with reproducible(1, seed=0):
        return nn.Sequential(nn.Linear(n_inputs, 16), nn.SiLU(), nn.Linear(16, 2))


def trained(X, y, aside=None, seed=0, **options):
    training = Training(**({"epochs": 40, "batch_size": 32} | options))
    rng = np.random.default_rng(seed)
    return train_network(small_network(X.shape[1]), Matrix(X), y, training, aside=aside, rng=rng, device=CPU)


def linear_data(n=200, seed=0):
    X = np.random.default_rng(seed).normal(size=(n, 3))
    return X, X @ [0.5, -1.0, 0.2]


def test_the_loss_is_the_density_of_a_laplace_distribution_weighted_by_its_scale():
    outputs, target = torch.tensor([[0.3, -0.7], [1.0, 0.4]]), torch.tensor([1.1, 0.8])
    scale = np.exp([-0.7, 0.4])
    density = stats.laplace(loc=[0.3, 1.0], scale=scale).logpdf([1.1, 0.8])
    assert laplace_loss(outputs, target).item() == pytest.approx((scale * -(density + np.log(2))).mean(), abs=1e-6)


def test_the_mean_learns_from_the_absolute_error_whatever_the_scale():
    outputs = torch.tensor([[0.3, -0.7], [1.0, 0.4]], requires_grad=True)
    laplace_loss(outputs, torch.tensor([1.1, 0.8])).backward()
    assert outputs.grad[:, 0].tolist() == pytest.approx([-0.5, 0.5])


def test_the_loss_of_a_classification_is_that_of_scikit_learn():
    logits, target = np.array([[0.3, 9.0], [-2.0, 0.0], [1.0, -3.0]]), np.array([1.0, 0.0, 0.0])
    probability, variance = mean_and_variance(logits.astype(np.float32), "classification", 0.0, 1.0)
    ours = loss_of(torch.as_tensor(logits), torch.as_tensor(target), "classification").item()
    assert ours == pytest.approx(log_loss(target, probability), rel=1e-6)
    assert variance is None


def test_a_network_learns_a_law():
    X, y = linear_data()
    network, history = trained(X, y)
    unseen, truth = linear_data(seed=1)
    error = np.abs(outputs_of(network, Matrix(unseen), CPU)[:, 0] - truth).mean()
    assert error < 0.2 * np.abs(truth).mean()
    assert history.losses[-1] < history.losses[0]
    assert history.steps == 40 * 8
    assert history.best_epoch == 39


def test_the_scale_of_the_error_is_learnt():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 1))
    scale = np.where(X[:, 0] > 0, 1.0, 0.1)
    network, _ = trained(X, rng.laplace(scale=scale), epochs=20, batch_size=64, learning_rate=1e-2)
    found = np.exp(outputs_of(network, Matrix([[-1.0], [1.0]]), CPU)[:, 1])
    assert found == pytest.approx([0.1, 1.0], rel=0.35)


def test_the_same_seed_gives_the_same_network_and_another_one_another():
    X, y = linear_data(60)
    first, again, other = (outputs_of(trained(X, y, seed=s)[0], Matrix(X), CPU) for s in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_network_returned_is_the_best_one_on_the_rows_set_aside():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), rng.normal(size=60)  # nothing but noise: training soon makes it worse
    aside = np.arange(60) < 30
    network, history = trained(X, y, aside, epochs=200, learning_rate=1e-2, patience=15)
    error = np.abs(outputs_of(network, Matrix(X), CPU, np.flatnonzero(aside))[:, 0] - y[aside]).mean()
    assert error == pytest.approx(min(history.validation), rel=1e-6)
    assert len(history.validation) == history.best_epoch + 1 + 15 < 200


def test_nothing_is_learnt_from_the_rows_set_aside():
    X, y = linear_data(60)
    aside = np.arange(60) < 20
    _, history = trained(X, y, aside, epochs=5)
    _, of_others = trained(X, np.where(aside, 1e3, y), aside, epochs=5)
    assert history.losses == of_others.losses


@pytest.mark.parametrize("n", [1, 7, 16, 17, 1000, 4097])
def test_few_rows_make_steps_enough_and_many_fill_the_batches(n):
    size = batch_size_for(n, 512)
    assert size == 512 or size <= max(16, n / 8 + 1)


def test_a_training_that_diverges_says_so():
    X, y = linear_data(40)
    y[3] = np.nan
    with pytest.raises(UserError, match="diverged in epoch 1: lower the option learning_rate"):
        trained(X, y)


class WithoutSlope(nn.Module):
    """A loss that is finite, and a gradient that is not."""

    def __init__(self):
        super().__init__()
        self.dense, self.zero = nn.Linear(3, 2), nn.Parameter(torch.zeros(2))

    def forward(self, rows):
        return self.dense(rows) + (0 * self.zero).sqrt()


@pytest.mark.parametrize("aside", [None, np.arange(12) < 4], ids=["no validation", "validation"])
def test_a_training_that_diverges_with_its_last_step_says_so(aside):
    X, y = linear_data(12)
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match="diverged in epoch 1"):
        train_network(WithoutSlope(), Matrix(X), y, Training(epochs=1), aside=aside, rng=rng, device=CPU)


def test_random_numbers_of_the_processor_wake_no_gpu(monkeypatch):
    def woken(*_):
        raise AssertionError("the GPU was asked for")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name in ("current_device", "manual_seed", "manual_seed_all", "init"):
        monkeypatch.setattr(torch.cuda, name, woken)
    for device in (None, CPU):
        with reproducible(1, seed=5, device=device):
            drawn = torch.rand(3)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(5)
            assert torch.equal(torch.rand(3), drawn)


def test_threads_and_random_numbers_are_left_as_they_were():
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    with reproducible(threads + 1, seed=5):
        torch.rand(3)
        assert torch.get_num_threads() == threads + 1
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_a_gpu_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen_device("auto") == chosen_device("cpu") == CPU
    with pytest.raises(UserError, match="device is cuda, but torch finds no GPU here"):
        chosen_device("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_network_learns_on_a_gpu():
    X, y = linear_data()
    device = chosen_device("auto")
    rng = np.random.default_rng(0)
    network, history = train_network(
        small_network().to(device), Matrix(X), y, Training(epochs=10), aside=None, rng=rng, device=device
    )
    assert outputs_of(network, Matrix(X), device).shape == (200, 2)
    assert history.losses[-1] < history.losses[0]

"""Gaussian processes on formation energies: error, coverage and time, beside scikit-learn's and BoTorch's.

    python benchmarks/gaussian_process.py

Compounds of the critical examination (public data, see `_lib.critexam`) by their Magpie columns; errors on 1,000
others, in eV/atom; coverage of the 90 % interval without calibration, in %. Processor time of one thread. The last part
puts inducing points of the sparse process elsewhere than at random.
"""

from __future__ import annotations

import sys
import time
import warnings
from typing import TYPE_CHECKING

import numpy as np
from _lib.critexam import data_folder, read_critexam
from threadpoolctl import threadpool_limits

from matscout.featurizers import CompositionFeaturizer
from matscout.models.gaussian_process import GaussianProcess

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL, LARGE, SPARSE = (20, 60, 200, 300), (1000, 3000), 10_000
N_TEST = 1000
REPEATS = 3  # draws of the small training sets

Prediction = tuple[np.ndarray, np.ndarray]


def ours(X: np.ndarray, y: np.ndarray, rows: np.ndarray, **options: bool | int) -> Prediction:
    """Our surrogate."""
    prediction = GaussianProcess(**options).fit(X, y).predict(rows)
    return prediction.mean, prediction.std


def standardised(X: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns that vary, standardised."""
    varies = X.std(axis=0) > 1e-9 * np.abs(X.mean(axis=0))
    centre, scale = X[:, varies].mean(axis=0), X[:, varies].std(axis=0)
    return (X[:, varies] - centre) / scale, (rows[:, varies] - centre) / scale


def scikit_learn(X: np.ndarray, y: np.ndarray, rows: np.ndarray) -> Prediction:
    """One length scale, maximum likelihood, one start."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern, WhiteKernel

    A, B = standardised(X, rows)
    kernel = Matern(np.sqrt(A.shape[1]), length_scale_bounds=(1e-2, 1e6), nu=2.5) + WhiteKernel(0.01)
    model = GaussianProcessRegressor(kernel, normalize_y=True).fit(A, y)
    mean, std = model.predict(B, return_std=True)
    return mean, std


def botorch(X: np.ndarray, y: np.ndarray, rows: np.ndarray) -> Prediction:
    """SingleTaskGP with a Matérn kernel under its own prior, on features scaled as ours are."""
    import torch
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior
    from gpytorch.mlls import ExactMarginalLogLikelihood

    torch.set_num_threads(1)
    A, B = (torch.from_numpy(part / np.sqrt(12)) for part in standardised(X, rows))
    kernel = get_covar_module_with_dim_scaled_prior(A.shape[1], use_rbf_kernel=False)
    target = torch.from_numpy((y - y.mean()) / y.std())[:, None]
    model = SingleTaskGP(A, target, covar_module=kernel, outcome_transform=None)
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    with torch.no_grad():
        found = model.eval().posterior(B, observation_noise=True)
        return y.mean() + y.std() * found.mean[:, 0].numpy(), y.std() * found.variance[:, 0].sqrt().numpy()


def elsewhere(place: str) -> Callable[..., Prediction]:
    """Our sparse process with inducing points chosen another way."""

    def predict(X: np.ndarray, y: np.ndarray, rows: np.ndarray) -> Prediction:
        from sklearn.cluster import MiniBatchKMeans

        from matscout.featurizers.selection import farthest_points
        from matscout.models import _gaussian_process_torch as gp
        from matscout.models._gaussian_process_posterior import condense

        surrogate = GaussianProcess(exact_rows=1).fit(X, y)
        own = surrogate._learnt.hyperparameters  # noqa: SLF001 -- what is tried is no option of it
        Z = surrogate._scaled(X)  # noqa: SLF001
        lengths = own.lengths.numpy()
        if place == "farthest":
            points = Z[farthest_points(Z, surrogate.inducing_points, seed=0)]
        else:
            clusters = MiniBatchKMeans(surrogate.inducing_points, random_state=0, n_init=1, batch_size=2048)
            points = clusters.fit(Z / lengths).cluster_centers_ * lengths
        target = gp.tensor((y - y.mean()) / y.std(), "cpu")
        learnt = condense(own, gp.tensor(points, "cpu"), gp.tensor(Z, "cpu"), target)
        mean, variance, _ = learnt.posterior().marginals(surrogate._scaled(rows))  # noqa: SLF001
        return y.mean() + y.std() * mean, y.std() * np.sqrt(variance + own.noise)

    return predict


def line(label: str, predict: Callable[..., Prediction], parts: list[tuple[np.ndarray, ...]]) -> None:
    """Print the mean scores of a process over some training sets."""
    scores = []
    for X, y, rows, truth in parts:
        start = time.process_time()
        mean, std = predict(X, y, rows)
        seconds = time.process_time() - start
        error = np.abs(mean - truth)
        scores.append((error.mean(), 100 * np.mean(error < 1.645 * std), seconds))
    error, covered, seconds = np.mean(scores, axis=0)
    print(f"  {label:34s}{error:8.4f}{covered:8.1f}{seconds:9.2f}", flush=True)


def main() -> int:
    """Print the table."""
    warnings.simplefilter("ignore")  # of the other libraries, on their own search
    data = read_critexam(data_folder())
    order = np.random.default_rng(0).permutation(len(data))[: SPARSE + N_TEST + REPEATS * max(SMALL)]
    X = np.asarray(CompositionFeaturizer("magpie").transform([data.formulas[row] for row in order]))
    y = data.formation_energies[order]
    rows, truth = X[:N_TEST], y[:N_TEST]
    print(f"{'':36s}{'MAE':>8s}{'cov.':>8s}{'s':>9s}")
    one_length = "one length scale"
    for predict in (ours, botorch, scikit_learn):
        predict(X[:20], y[:20], rows)  # imports
    with threadpool_limits(1):
        for n in (*SMALL, *LARGE):
            print(f"{n:,} compounds, {X.shape[1]} columns")
            starts = [N_TEST + n * repeat for repeat in range(REPEATS if n in SMALL else 1)]
            parts = [(X[start : start + n], y[start : start + n], rows, truth) for start in starts]
            line("ours", ours, parts)
            line(f"ours, {one_length}", lambda *part: ours(*part, ard=False), parts)
            if n in SMALL:
                line("BoTorch", botorch, parts)
            if n <= LARGE[0]:
                line(f"scikit-learn, {one_length}", scikit_learn, parts)
        print(f"{SPARSE:,} compounds, sparse")
        parts = [(X[N_TEST : N_TEST + SPARSE], y[N_TEST : N_TEST + SPARSE], rows, truth)]
        line("ours", ours, parts)
        line("ours, 2,000 inducing points", lambda *part: ours(*part, inducing_points=2000), parts)
        line("inducing points: farthest rows", elsewhere("farthest"), parts)
        line("inducing points: k-means", elsewhere("k-means"), parts)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Choice of what to calculate next: time and memory, beside what one would write with other libraries.

    python benchmarks/acquisition.py [N_ROWS]

Scores of a million candidates; batches of 50 of them by each method, with the mean score that the batch keeps and how
far apart its rows are; and a batch by the joint distribution of a Gaussian process. Where two sides should choose the
same, they must. Processor time of one thread is told, as the machine may do other things.
"""

from __future__ import annotations

import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.distance import pdist
from scipy.stats import norm
from sklearn.metrics import pairwise_distances
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from matscout.models.acquisition import ACQUISITIONS, choose_batch, joint_batch, keywords
from matscout.models.gaussian_process import GaussianProcess

if TYPE_CHECKING:
    from collections.abc import Callable

N_ROWS, N_COLUMNS, SIZE = 1_000_000, 150, 50
N_SLOW, SLOW_SIZE = 400, 10  # for determinants from scratch
N_TRAIN, N_CHOICES, JOINT_SIZE = 200, 1000, 10


def measured(step: Callable[[], Any]) -> tuple[Any, float]:
    """Run a step once: what it gave, and processor seconds."""
    start = time.process_time()
    answer = step()
    return answer, time.process_time() - start


def line(label: str, ours: float, other: str = "", theirs: float | None = None, note: str = "") -> None:
    """Print a row of the table."""
    beside = "" if theirs is None else f"{other:40s}{theirs:7.2f}{theirs / ours:8.1f}"
    print(f"{label:26s}{ours:7.2f}   {beside:55s}   {note}".rstrip(), flush=True)


def improvement(mean: np.ndarray, std: np.ndarray, best: float) -> np.ndarray:
    """Give the expected improvement, as one writes it with scipy."""
    z = (best - mean) / std
    return (best - mean) * norm.cdf(z) + std * norm.pdf(z)


def by_determinants(score: np.ndarray, features: np.ndarray, length: float, weight: float) -> list[int]:
    """Greedy batch of a determinantal point process, each determinant from scratch."""
    similar = np.exp(-0.5 * pairwise_distances(features) ** 2 / length**2)
    quality = (score - score.min()) / np.ptp(score)
    chosen: list[int] = []
    while len(chosen) < SLOW_SIZE:
        value = np.full(len(score), -np.inf)
        for row in range(len(score)):
            if row not in chosen:
                rows = [*chosen, row]
                determinant = np.linalg.slogdet(similar[np.ix_(rows, rows)])[1]
                value[row] = weight * quality[rows].sum() + (1 - weight) * determinant
        chosen.append(int(value.argmax()))
    return chosen


def by_distances(score: np.ndarray, features: np.ndarray, shortlist: int) -> list[int]:
    """Best row, then the farthest of the best, by scikit-learn."""
    rows = np.argsort(-score, kind="stable")[:shortlist]
    Z = StandardScaler().fit_transform(features[rows])
    chosen, distance = [0], np.full(len(Z), np.inf)
    while len(chosen) < SIZE:
        distance = np.minimum(distance, pairwise_distances(Z, Z[chosen[-1:]])[:, 0])
        distance[chosen] = -1
        chosen.append(int(distance.argmax()))
    return rows[chosen].tolist()


def print_scores(mean: np.ndarray, std: np.ndarray) -> None:
    """Every acquisition on all rows."""
    best = float(np.quantile(mean, 0.001))
    for name, function in ACQUISITIONS.items():
        known = {"best": best, "rng": np.random.default_rng(0)}
        wanted = {word: known[word] for word in keywords(name) if word in known}
        _, ours = measured(lambda function=function, wanted=wanted: function(mean, std, **wanted))
        if name == "expected_improvement":
            _, theirs = measured(lambda: improvement(mean, std, best))
            line(name, ours, "scipy.stats.norm", theirs)
        else:
            line(name, ours)


def print_batches(score: np.ndarray, features: np.ndarray, mean: np.ndarray, std: np.ndarray) -> bool:
    """Every method on all rows; whether all agree with the other libraries."""
    chosen, agree = {}, True
    options: dict[str, dict[str, Any]] = {"local_penalization": {"mean": mean, "std": std}}
    for method in ("top", "local_penalization", "determinantal", "farthest_points"):
        chosen[method], ours = measured(
            lambda method=method: choose_batch(score, SIZE, features, method, **options.get(method, {}))
        )
        spread = pdist(features[chosen[method]]).mean()
        note = f"mean score {score[chosen[method]].mean():.4f}, mean distance {spread:.1f}"
        if method == "top":
            answer, theirs = measured(lambda: np.argsort(-score, kind="stable")[:SIZE])
            line(method, ours, "numpy argsort", theirs, note)
            agree &= answer.tolist() == chosen[method].tolist()
        elif method == "farthest_points":
            answer, theirs = measured(lambda: by_distances(score, features, 10 * SIZE))
            line(method, ours, "numpy argsort, scikit-learn distances", theirs, note)
            agree &= answer == chosen[method].tolist()
        else:
            line(method, ours, note=note)
    few = np.argsort(-score, kind="stable")[:N_SLOW]
    Z = StandardScaler().fit_transform(features[few])
    ours, seconds = measured(
        lambda: choose_batch(score[few], SLOW_SIZE, features[few], "determinantal", length=10.0, weight=0.5)
    )
    answer, theirs = measured(lambda: by_determinants(score[few], Z, 10.0, 0.5))
    line(f"determinantal, {SLOW_SIZE} of {N_SLOW}", seconds, "numpy slogdet from scratch", theirs)
    return agree and answer == ours.tolist()


def by_botorch(surrogate: GaussianProcess, X: np.ndarray, y: np.ndarray, rows: np.ndarray, best: float) -> list[int]:
    """Batch by BoTorch's own process with the same hyperparameters, on the features."""
    import torch
    from botorch.acquisition.logei import qLogExpectedImprovement
    from botorch.models import SingleTaskGP
    from botorch.optim import optimize_acqf_discrete
    from botorch.sampling.normal import SobolQMCNormalSampler
    from gpytorch.kernels import MaternKernel

    torch.set_num_threads(1)
    centre, scale = X.mean(axis=0), X.std(axis=0)
    learnt = surrogate._learnt.hyperparameters  # noqa: SLF001 -- no public way to them
    lengths = learnt.lengths * np.sqrt(12)
    model = SingleTaskGP(
        torch.from_numpy((X - centre) / scale),
        torch.from_numpy(-(y - y.mean()) / y.std())[:, None],
        covar_module=MaternKernel(nu=2.5, ard_num_dims=X.shape[1]),
        outcome_transform=None,
    ).double()
    model.covar_module.lengthscale = lengths
    model.likelihood.noise = learnt.noise
    model.eval()
    choices = torch.from_numpy((rows - centre) / scale)
    sampler = SobolQMCNormalSampler(sample_shape=torch.Size([256]), seed=0)
    score = qLogExpectedImprovement(model, best_f=-(best - y.mean()) / y.std(), sampler=sampler)
    found, _ = optimize_acqf_discrete(score, q=JOINT_SIZE, choices=choices, max_batch_size=128)
    return [int((choices == row).all(dim=1).nonzero()[0, 0]) for row in found]


def print_joint(rng: np.random.Generator) -> None:
    """Batches by a Gaussian process, beside BoTorch's on the features."""
    X, rows = rng.normal(size=(N_TRAIN, N_COLUMNS)), rng.normal(size=(N_CHOICES, N_COLUMNS))
    y = np.sin(X[:, 0]) + 0.3 * X[:, 1] ** 2 + 0.1 * rng.normal(size=N_TRAIN)
    surrogate, seconds = measured(lambda: GaussianProcess().fit(X, y))
    print(f"\na Gaussian process of {N_TRAIN} x {N_COLUMNS}, fitted in {seconds:.2f} s;", end=" ")
    print(f"batches of {JOINT_SIZE} of {N_CHOICES} rows")
    best = float(y.min())
    joint_batch(surrogate, rows[:10], 1, best=best)  # imports
    for acquisition in ("expected_improvement", "upper_confidence_bound", "thompson", "knowledge_gradient"):
        chosen, ours = measured(
            lambda acquisition=acquisition: joint_batch(surrogate, rows, JOINT_SIZE, acquisition, best=best)
        )
        if acquisition == "expected_improvement":
            theirs, seconds = measured(lambda: by_botorch(surrogate, X, y, rows, best))
            same = len(set(theirs) & set(chosen.tolist()))
            line(acquisition, ours, "BoTorch's SingleTaskGP on the features", seconds, f"{same} of {JOINT_SIZE} alike")
        else:
            line(acquisition, ours)


def main() -> int:
    """Print the tables; 1 where two sides choose otherwise."""
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # of torch, at import
    warnings.filterwarnings("ignore", message="Data .*is not contained to the unit cube|Data .*not standardized")
    n_rows = int(sys.argv[1]) if len(sys.argv) > 1 else N_ROWS
    rng = np.random.default_rng(0)
    features = rng.standard_normal((n_rows, N_COLUMNS), dtype=np.float32)
    mean = 0.1 + 0.05 * (features[:, :5] @ np.ones(5)).astype(float) + 0.02 * rng.normal(size=n_rows)
    std = rng.uniform(0.02, 0.1, size=n_rows)
    score = ACQUISITIONS["expected_improvement"](mean, std, best=float(np.quantile(mean, 0.001)))
    print(f"{n_rows:,} candidates, {N_COLUMNS} features of 32 bits")
    print(f"{'':26s}{'s':>7s}   {'the same with':40s}{'s':>7s}{'ratio':>8s}")
    with threadpool_limits(1):
        print_scores(mean, std)
        print(f"\nbatches of {SIZE}, by the expected improvement")
        agree = print_batches(score, features, mean, std)
        print_joint(rng)
    return int(not agree)


if __name__ == "__main__":
    sys.exit(main())

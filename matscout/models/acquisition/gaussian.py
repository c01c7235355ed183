"""Batches by what a Gaussian process says of all candidates together: no penalties, no distances, but covariances.

What one calculation would tell about another candidate is in the process itself. BoTorch does the sums: Balandat et
al., NeurIPS 33, 21524 (2020), arXiv:1910.06403. It is imported when a batch is chosen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.errors import UserError
from matscout.models.acquisition.batches import allowed_rows, best_rows
from matscout.models.acquisition.joint_knowledge import Joint, knowledge_gradient_batch
from matscout.models.options import check_choice, check_number

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from matscout.models.calibration import CalibratedSurrogate
    from matscout.models.gaussian_process import GaussianProcess

JOINT_ACQUISITIONS = ("expected_improvement", "knowledge_gradient", "upper_confidence_bound", "thompson")
"""Known acquisitions of `joint_batch`."""

SHORTLIST = 1000
"""Rows among which `joint_batch` chooses, unless said otherwise: the lowest at `SHORTLIST_STD` below their means."""

SHORTLIST_STD = 2.0

ROWS_AT_A_TIME = 128
"""Rows tried at a time: bounds the memory for samples."""


def joint_batch(
    surrogate: GaussianProcess | CalibratedSurrogate,
    X: Any,
    size: int,
    acquisition: str = "expected_improvement",
    *,
    best: float | None = None,
    baseline: ArrayLike | None = None,
    kappa: float = 1.0,
    taken: ArrayLike | None = None,
    pending: ArrayLike = (),
    shortlist: int = SHORTLIST,
    n_samples: int = 256,
    seed: int = 0,
) -> NDArray[np.intp]:
    """Choose the rows of a batch by the joint distribution of their objectives.

    Each row is the best one beside those chosen before it. Expectations are means over `n_samples` quasi-random
    draws.

    Parameters
    ----------
    surrogate
        A Gaussian process that has learnt; where it is calibrated, each row's covariances are widened as its std is.
    X
        Features, shape (n, n_features).
    size
        Rows to choose; all are chosen where there are fewer.
    acquisition
        ``expected_improvement`` of the batch's lowest over `best`; ``knowledge_gradient``: how much lower the lowest
        mean is expected to be once the batch is calculated, with the process's noise; ``upper_confidence_bound`` of
        minus the objective; ``thompson``: each row the lowest in one draw of all.
    best
        Lowest objective calculated so far; needed by the expected improvement, counted by the knowledge gradient.
    baseline
        What is taken off the prediction to make the objective, shape (n,), such as the energy of the hull.
    kappa
        Of the upper confidence bound.
    taken
        Mask of the rows that cannot be chosen, shape (n,).
    pending
        Numbers of rows that were chosen before and are not learnt from yet; ``thompson`` only passes them over.
    shortlist
        Rows among which is chosen: time grows with its square, memory too.
    n_samples
        Random draws.
    seed
        Of the draws.

    Returns
    -------
    Row numbers in the order of choice, shape (at most size,).

    Raises
    ------
    UserError
        The surrogate is no Gaussian process, or one of a transformed target; the acquisition is unknown, or `best`
        missing.
    """
    check_choice("acquisition", acquisition, JOINT_ACQUISITIONS)
    for name, value in (("size", size), ("seed", seed)):
        check_number(name, value, 0, integer=True)
    for name, value in (("shortlist", shortlist), ("n_samples", n_samples)):
        check_number(name, value, 1, integer=True)
    if acquisition == "expected_improvement" and best is None:
        raise UserError("acquisition expected_improvement needs best, the lowest objective calculated so far")
    from matscout.models.inputs import as_inputs

    process = _process(surrogate)
    features = as_inputs("features", X)
    predicted = surrogate.predict(features)
    level = np.zeros(len(features)) if baseline is None else np.asarray(baseline, dtype=float)
    if level.shape != predicted.mean.shape:
        raise ValueError(f"expected one baseline per row, shape {predicted.mean.shape}, got {level.shape}")
    earlier = np.asarray(pending, dtype=np.intp)
    promise = SHORTLIST_STD * predicted.std - (predicted.mean - level)
    rows = best_rows(promise, max(shortlist, size), allowed_rows(promise, taken, earlier))
    size = min(size, len(rows))
    if not size:
        return rows[:0]
    everyone = np.concatenate([rows, earlier])
    widening = predicted.std / process.predict(features).std if process is not surrogate else np.ones(len(features))
    mean, covariance = process.joint(features.take(everyone))
    scale = widening[everyone]
    noise = process.noise_std * scale
    joint = Joint(mean - level[everyone], covariance * scale[:, None] * scale, noise**2)
    chosen = _choose(joint, len(rows), size, acquisition, best=best, kappa=kappa, n_samples=n_samples, seed=seed)
    return rows[chosen]


def _process(surrogate: object) -> GaussianProcess:
    from matscout.models.calibration import CalibratedSurrogate
    from matscout.models.gaussian_process import GaussianProcess

    inner = surrogate.surrogate if isinstance(surrogate, CalibratedSurrogate) else surrogate
    if not isinstance(inner, GaussianProcess):
        raise UserError(
            f"only a gaussian_process says what it believes of rows together, got {type(inner).__name__}: "
            "choose_batch takes the scores of any surrogate"
        )
    if isinstance(surrogate, CalibratedSurrogate) and surrogate.transform != "none":
        raise UserError(
            f"a target learnt by its {surrogate.transform} is not normal: choose a batch by scores with choose_batch"
        )
    return inner


def _choose(
    joint: Joint,
    m: int,
    size: int,
    acquisition: str,
    *,
    best: float | None,
    kappa: float,
    n_samples: int,
    seed: int,
) -> NDArray[np.intp]:
    """Choose of the first m rows; those behind them are pending."""
    pending = np.arange(m, len(joint.mean))
    if acquisition == "knowledge_gradient":
        lowest = np.inf if best is None else best
        return knowledge_gradient_batch(joint, m, size, best=lowest, n_samples=n_samples, seed=seed)
    import torch

    from matscout.models._gaussian_process_torch import threads
    from matscout.models.acquisition import _botorch as botorch
    from matscout.models.acquisition._finite_posterior import FinitePosterior

    # a distribution of standard deviations around 1, as its thresholds expect
    unit = float(np.sqrt(np.diagonal(joint.covariance).max())) or 1.0
    model = FinitePosterior(-joint.mean / unit, joint.covariance / unit**2)
    choices = torch.arange(m, dtype=torch.float64)[:, None]
    with threads(1), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if acquisition == "thompson":
            return _rows(botorch.MaxPosteriorSampling(model, replacement=False)(choices, num_samples=size))
        sampler = botorch.SobolQMCNormalSampler(sample_shape=torch.Size([n_samples]), seed=seed)
        waiting = torch.from_numpy(pending.astype(float))[:, None] if pending.size else None
        score: Any
        if acquisition == "expected_improvement":
            assert best is not None
            score = botorch.qLogExpectedImprovement(model, best_f=-best / unit, sampler=sampler, X_pending=waiting)
        else:
            score = botorch.qUpperConfidenceBound(model, beta=kappa**2, sampler=sampler, X_pending=waiting)
        chosen, _ = botorch.optimize_acqf_discrete(
            score, q=size, choices=choices, max_batch_size=ROWS_AT_A_TIME, return_acq_values=False
        )
        return _rows(chosen)


def _rows(chosen: Any) -> NDArray[np.intp]:
    return np.asarray(chosen.reshape(-1).numpy(), dtype=np.intp)

"""Make a classification's probabilities mean what they say.

Platt, Probabilistic outputs for support vector machines, in Advances in Large Margin Classifiers, 61 (1999); compared
with isotonic regression, which needs a thousand rows and ties ranks: Niculescu-Mizil, Caruana, Predicting good
probabilities with supervised learning, ICML 625 (2005), doi:10.1145/1102351.1102430.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from matscout.models.error_laws import MIN_ROWS
from matscout.models.prediction import Prediction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from matscout.models.held_out import HeldOut

_CLIP = 1e-6  # log-odds of a probability of 0 or 1 are taken there
BINS = 10
"""Bins of the expected calibration error."""


@dataclass(frozen=True)
class ProbabilityLaw:
    """Calibrated log-odds = slope * log-odds + intercept.

    Attributes
    ----------
    slope
        >= 0: the order of the rows stays.
    intercept
        As above.
    least
        Smallest calibrated probability of either class.
    """

    slope: float
    intercept: float
    least: float

    def as_dict(self) -> dict[str, Any]:
        """Return the law as JSON takes it."""
        return asdict(self)

    def probability(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated probability of 1, shape (n,)."""
        from scipy.special import expit, logit

        odds = logit(np.clip(raw, _CLIP, 1 - _CLIP))
        return np.clip(expit(self.slope * odds + self.intercept), self.least, 1 - self.least)

    def prediction(self, raw: Prediction) -> Prediction:
        """Calibrated prediction; its std is that of the outcome, sqrt(p (1 - p)), its intervals are sets of outcomes.

        The epistemic part, where the surrogate tells it, is that of its own probability times the slope of the law
        there; the aleatoric part is the rest.
        """
        mean = self.probability(raw.mean)
        variance = mean * (1 - mean)
        outcome = Prediction(mean, np.sqrt(variance), law="bernoulli", limits=(0.0, 1.0))
        if raw.epistemic is None:
            return outcome
        clipped = np.clip(raw.mean, _CLIP, 1 - _CLIP)
        steepness = self.slope * variance / (clipped * (1 - clipped))
        epistemic = np.minimum((steepness * raw.epistemic) ** 2, variance)
        return replace(outcome, aleatoric=np.sqrt(variance - epistemic), epistemic=np.sqrt(epistemic))

    @classmethod
    def of_few(cls, n: int) -> Self:
        """Law where there are too few rows for a fit: probabilities stay, but none is surer than n rows can make it.

        Of the rule of succession: what never happened in n rows has the probability 1 / (n + 2).
        """
        return cls(1.0, 0.0, 1 / (n + 2))


@dataclass(frozen=True)
class ProbabilityReport:
    """How a classification did on rows that it had not seen, before and after calibration.

    NaN (None in `as_dict`) where there are none. Each calibrated probability is by a law fitted to the other folds.

    Attributes
    ----------
    n
        Rows learnt from.
    n_held_out
        Rows that were held out.
    folds
        Parts that were held out in turn; 0 where there were too few rows.
    grouped
        Whether rows of one group were held out together. False also where one group, with more than half of the rows,
        had to be parted, or groups left no part of a fit size.
    smallest_training_share
        Share of the rows that the model learnt from, of those judged by held-out rows, which learnt from the fewest.
    fallback
        True where there were too few rows, or of one class, to calibrate.
    prevalence
        Share of ones.
    roc_auc
        Area under the receiver operating characteristic of the probabilities.
    log_loss_before, log_loss_after
        Mean of -ln(probability of what was).
    brier_before, brier_after
        Mean square of probability minus what was: Brier, Mon. Weather Rev. 78, 1 (1950).
    calibration_error_before, calibration_error_after
        Expected calibration error: mean over ten bins of equally many rows of |mean probability - share of ones|.
    slope, intercept
        Calibrated log-odds = slope * log-odds + intercept.
    """

    n: int
    n_held_out: int
    folds: int
    grouped: bool
    smallest_training_share: float
    fallback: bool
    prevalence: float
    roc_auc: float
    log_loss_before: float
    log_loss_after: float
    brier_before: float
    brier_after: float
    calibration_error_before: float
    calibration_error_after: float
    slope: float
    intercept: float

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON takes it."""
        return {name: None if np.isnan(value) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Take up what `as_dict` returned."""
        values: dict[str, Any] = {name: float("nan") if value is None else value for name, value in document.items()}
        return cls(**values)


def calibrate_probabilities(y: NDArray[np.float64], held_out: HeldOut) -> tuple[ProbabilityLaw, ProbabilityReport]:
    """Fit the law to held-out rows and report how well it does."""
    truth, raw, least = y[held_out.rows], held_out.mean, 1 / (len(held_out.rows) + 2)
    if len(truth) < MIN_ROWS or (truth == truth[0]).all():
        return no_calibration(y)
    after = np.empty(len(truth))
    for fold in range(int(held_out.fold_of_row.max()) + 1):
        test = held_out.fold_of_row == fold
        after[test] = ProbabilityLaw(*fit_log_odds(raw[~test], truth[~test]), least).probability(raw[test])
    law = ProbabilityLaw(*fit_log_odds(raw, truth), least)
    return law, ProbabilityReport(
        n=len(y),
        n_held_out=len(truth),
        folds=held_out.n_fits,
        grouped=held_out.grouped,
        smallest_training_share=held_out.smallest_training_share,
        fallback=False,
        prevalence=float(y.mean()),
        roc_auc=roc_auc(truth, raw),
        log_loss_before=log_loss(truth, raw),
        log_loss_after=log_loss(truth, after),
        brier_before=float(((raw - truth) ** 2).mean()),
        brier_after=float(((after - truth) ** 2).mean()),
        calibration_error_before=calibration_error(truth, raw),
        calibration_error_after=calibration_error(truth, after),
        slope=law.slope,
        intercept=law.intercept,
    )


def no_calibration(y: NDArray[np.float64]) -> tuple[ProbabilityLaw, ProbabilityReport]:
    """Law and report where there are too few rows."""
    nan = float("nan")
    law = ProbabilityLaw.of_few(len(y))
    unknown = dict.fromkeys(
        (
            "smallest_training_share",
            "roc_auc",
            "log_loss_before",
            "log_loss_after",
            "brier_before",
            "brier_after",
            "calibration_error_before",
            "calibration_error_after",
        ),
        nan,
    )
    return law, ProbabilityReport(
        n=len(y),
        n_held_out=0,
        folds=0,
        grouped=False,
        fallback=True,
        prevalence=float(y.mean()),
        slope=law.slope,
        intercept=law.intercept,
        **unknown,
    )


def fit_log_odds(raw: NDArray[np.float64], truth: NDArray[np.float64]) -> tuple[float, float]:
    """Slope a >= 0 and intercept b that make outcomes most likely at log-odds a * logit(raw) + b.

    Outcomes are drawn towards their middle as Platt does, (n1 + 1) / (n1 + 2) and 1 / (n0 + 2) of n1 ones and n0
    zeros, so that a perfect order gives no infinite slope.

    Examples
    --------
    >>> from scipy.special import expit, logit
    >>> rng = np.random.default_rng(0)
    >>> raw = rng.uniform(0.01, 0.99, 100_000)
    >>> a, b = fit_log_odds(raw, (rng.random(100_000) < expit(0.5 * logit(raw) + 1)).astype(float))
    >>> round(a, 1), round(b, 1)
    (0.5, 1.0)
    """
    from scipy.optimize import minimize
    from scipy.special import expit, logit

    odds = logit(np.clip(raw, _CLIP, 1 - _CLIP))
    ones = float(truth.sum())
    zeros = len(truth) - ones
    aim = np.where(truth == 1, (ones + 1) / (ones + 2), 1 / (zeros + 2))

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        x = parameters[0] * odds + parameters[1]
        difference = expit(x) - aim
        value = float(np.mean(np.logaddexp(0, x) - aim * x))
        return value, np.array([np.mean(difference * odds), np.mean(difference)])

    a, b = minimize(loss, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None)]).x
    return float(a), float(b)


def roc_auc(truth: NDArray[np.float64], score: NDArray[np.float64]) -> float:
    """Probability that a one has a higher score than a zero, ties counted half; both classes occur.

    Examples
    --------
    >>> roc_auc(np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.1, 0.9, 0.4, 0.4]))
    0.875
    """
    from scipy.stats import rankdata

    ones = truth == 1
    n1, n0 = int(ones.sum()), int((~ones).sum())
    return float((rankdata(score)[ones].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


def log_loss(truth: NDArray[np.float64], probability: NDArray[np.float64]) -> float:
    """Mean of -ln(probability of what was), probabilities within 1e-6 of 0 and 1 taken there."""
    p = np.clip(probability, _CLIP, 1 - _CLIP)
    return float(-np.mean(np.where(truth == 1, np.log(p), np.log1p(-p))))


def calibration_error(truth: NDArray[np.float64], probability: NDArray[np.float64]) -> float:
    """Mean over bins of equally many rows of |mean probability - share of ones|, weighted by their rows.

    Naeini, Cooper, Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, AAAI 29, 2901 (2015),
    doi:10.1609/aaai.v29i1.9602.

    Examples
    --------
    >>> round(calibration_error(np.array([0.0, 1.0]), np.array([0.1, 0.9])), 3)
    0.1
    """
    bins = np.array_split(np.argsort(probability, kind="stable"), min(BINS, len(truth)))
    gaps = [len(rows) * abs(float(probability[rows].mean() - truth[rows].mean())) for rows in bins]
    return float(sum(gaps) / len(truth))

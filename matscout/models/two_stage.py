"""Classify, then regress: for properties that are 0 for many materials and positive for the others."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from typing_extensions import override

from matscout.errors import UserError
from matscout.models.base import Surrogate
from matscout.models.prediction import Prediction
from matscout.models.targets import log_normal_moments

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from matscout.models.inputs import Inputs


@dataclass(kw_only=True)
class TwoStageSurrogate(Surrogate):
    """A surrogate of a target that is 0 or positive: P(y > 0), and y where it is positive.

    The mean is P m and the variance P (s^2 + m^2) - (P m)^2, by the laws of total expectation and total variance, of
    the positive rows' mean m and std s. Two-part model: Duan, Manning, Morris, Newhouse, J. Bus. Econ. Stat. 1, 115
    (1983), doi:10.1080/07350015.1983.10509330.

    Parameters
    ----------
    stage
        What both stages are made of, once as a classification and once as a regression, with its options; it learns
        nothing itself. Its options are those of the whole; what is of a regression alone, as an objective, the
        classification leaves at its default.
    log
        Whether the second stage learns the logarithm.

    Examples
    --------
    >>> from matscout.models.forests import ExtraTrees
    >>> X = np.arange(40.0)[:, None]
    >>> gap = np.maximum(X[:, 0] - 20, 0)  # metals first
    >>> surrogate = TwoStageSurrogate(stage=ExtraTrees(n_trees=20)).fit(X, gap)
    >>> surrogate.probability([[3.0], [33.0]]).round(1).tolist()
    [0.0, 1.0]
    """

    name: ClassVar[str] = "two_stage"

    stage: Surrogate
    log: bool = False

    @override
    def __post_init__(self) -> None:
        if self.stage.task != "regression" or "classification" not in self.stage.tasks:
            raise UserError(
                f"surrogate {self.stage.name} ({self.stage.task}) cannot classify and then regress: it must be able to "
                "do both, and be made for regression"
            )
        self.seed = self.stage.seed
        super().__post_init__()
        # of the class elsewhere, of the stage here
        self.takes = self.stage.takes  # type: ignore[misc]
        self.held_out_part = self.stage.held_out_part  # type: ignore[misc]

    @override
    def options(self) -> dict[str, Any]:
        return self.stage.options()

    def probability(self, X: Any) -> NDArray[np.float64]:
        """P(y > 0) of each row, shape (n,), as the first stage sees it."""
        return np.ones(len(self.predict(X))) if self._classifier is None else self._classifier.predict(X).mean

    @override
    def _fit(self, inputs: Inputs, y: NDArray[np.float64], groups: NDArray[np.intp] | None) -> None:
        if (y < 0).any():
            first = int((y < 0).argmax())
            raise UserError(f"classify, then regress takes targets of 0 and above, got {y[first]:g} in row {first}")
        positive = y > 0
        self._classifier: Surrogate | None = None
        if not positive.all():
            self._classifier = self._unfitted_classifier().fit(inputs, positive.astype(float), groups)
        target = np.log(y[positive]) if self.log else y[positive]
        self._regressor: Surrogate | None = None
        self._only = float(target[0])
        if (target != target[0]).any():
            labels = None if groups is None else groups[positive]
            self._regressor = self.stage.unfitted().fit(inputs.take(positive), target, labels)

    def _unfitted_classifier(self) -> Surrogate:
        of_regression = self.stage.regression_options
        defaults: dict[str, Any] = {
            field.name: field.default for field in fields(self.stage) if field.name in of_regression
        }
        return replace(self.stage, task="classification", **defaults)

    @override
    def _predict(self, inputs: Inputs) -> Prediction:
        n = len(inputs)
        if self._regressor is None:
            m, s = np.full(n, self._only), np.zeros(n)
        else:
            positive = self._regressor.predict(inputs)
            m, s = positive.mean, positive.std
        m, s = log_normal_moments(m, s) if self.log else (np.maximum(m, 0.0), s)
        p = np.ones(n) if self._classifier is None else np.clip(self._classifier.predict(inputs).mean, 0.0, 1.0)
        return Prediction(p * m, np.sqrt(p * s**2 + p * (1 - p) * m**2), limits=(0.0, np.inf))

    @override
    def _save(self, folder: Path) -> dict[str, Any]:
        stages = {"classifier": self._classifier, "regressor": self._regressor}
        for name, stage in stages.items():
            if stage is not None:
                stage.save(folder / name)
        return {"stages": [name for name, stage in stages.items() if stage is not None], "only": self._only}

    @override
    def _load(self, folder: Path, state: Mapping[str, Any]) -> None:
        from matscout.models.registry import load_surrogate

        self._classifier, self._regressor = (
            load_surrogate(folder / name) if name in state["stages"] else None for name in ("classifier", "regressor")
        )
        self._only = state["only"]

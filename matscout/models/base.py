"""What every surrogate is: candidates in, mean and standard deviation out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast

import numpy as np
from typing_extensions import override

from matscout.errors import UserError
from matscout.models.inputs import FeatureInputs, InputKind, Inputs, as_inputs
from matscout.models.kept_files import reading_document, write_document
from matscout.models.labels import known_labels
from matscout.models.options import check_choice, check_number, plain
from matscout.models.prediction import Prediction, joined

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray


Task = Literal["regression", "classification"]

CHUNK_ROWS = 32_768
"""Rows predicted at a time: bounds the memory beside features and result."""

LARGEST = float(np.finfo(np.float32).max)
"""Largest size of a feature: many models take it in single precision, where a larger one is infinite."""

DOCUMENT = "surrogate.json"
"""File in a kept surrogate's folder that says what it is."""


@dataclass(kw_only=True)
class Surrogate(ABC):
    """A model of a calculation's result.

    Subclasses are dataclasses whose fields are their options; they add `_fit`, `_predict`, `_save` and `_load`. The
    same data, options and seed give the same predictions to the last bit on one machine, also in another process and
    after being kept in a folder.

    Parameters
    ----------
    seed
        Seed of everything random.
    task
        ``regression``; or ``classification``, with targets 0 and 1: the mean is then the probability of 1.
    """

    name: ClassVar[str]
    """What it is called in `make_surrogate`."""
    takes: ClassVar[InputKind] = "features"
    """What it learns from."""
    tasks: ClassVar[tuple[Task, ...]] = ("regression",)
    """What it can learn."""
    regression_options: ClassVar[tuple[str, ...]] = ()
    """Options of a regression alone."""
    held_out_part: ClassVar[float | None] = None
    """Share of the rows on which it is calibrated, where training is too dear for a cross-validation; else None."""

    seed: int = 0
    task: Task = "regression"

    def __post_init__(self) -> None:
        self._training: Inputs | None = None
        for field in fields(self):  # JSON takes none of NumPy's numbers
            setattr(self, field.name, plain(getattr(self, field.name)))
        self.check_number("seed", self.seed, 0, integer=True)
        self.check_choice("task", self.task, self.tasks)

    check_number = staticmethod(check_number)
    check_choice = staticmethod(check_choice)

    def fit(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Learn from n rows.

        Parameters
        ----------
        X
            What `takes` says: features, shape (n, n_features), compositions or crystals (see `as_inputs`).
        y
            Target, shape (n,), finite.
        groups
            Label of each row, shape (n,): rows of one group are not parted where a part of them is set aside, as for
            early stopping.

        Raises
        ------
        UserError
            The target is constant, is no 0 or 1 in a classification, a label is unknown, or unknown features are
            refused.
        ValueError
            Shapes do not match, there is no row, a feature is infinite, also in single precision, or a target is not
            finite.
        """
        inputs, target, labels = checked_data(self.takes, X, y, groups)
        check_target(target, self.task)
        self._training = None  # a fit that fails leaves nothing that predicts
        self._fit(inputs, target, labels)
        self._training = inputs.take(slice(0, 0))
        return self

    def predict(self, X: Any) -> Prediction:
        """Mean and std, as the model sees them, of each row of X, which is of the kind it was trained on."""
        if self._training is None:
            raise RuntimeError("fit the surrogate before it predicts")
        inputs = as_inputs(self.takes, X)
        self._check_inputs(inputs)
        starts = range(0, max(len(inputs), 1), CHUNK_ROWS)
        found = joined([self._predict(inputs.take(slice(start, start + CHUNK_ROWS))) for start in starts])
        return replace(found, law="bernoulli") if self.task == "classification" else found

    def unfitted(self) -> Self:
        """Return a new surrogate with the same options that has learnt nothing."""
        return replace(self)

    def options(self) -> dict[str, Any]:
        """Return its options by name, as JSON takes them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Keep what was learnt in a folder, in native formats and without pickle; it is made if it is not there.

        Raises
        ------
        RuntimeError
            Nothing was learnt yet.
        """
        if self._training is None:
            raise RuntimeError("fit the surrogate before it is kept")
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        document = {
            "surrogate": self.name,
            "options": self.options(),
            "columns": _columns(self._training),
            "state": self._save(place),
        }
        write_document(place / DOCUMENT, document)

    def load(self, folder: str | os.PathLike[str]) -> Self:
        """Take up what one with the same options kept in a folder; `load_surrogate` makes such a one and calls this."""
        with reading_document(Path(folder) / DOCUMENT, "surrogate") as document:
            self._training = _empty_inputs(self.takes, document["columns"])
            self._load(Path(folder), document["state"])
        return self

    def _check_inputs(self, inputs: Inputs) -> None:  # noqa: B027 -- only columns of features have something to check
        """Raise a `UserError` where rows to be predicted are not like those of training."""

    @abstractmethod
    def _fit(self, inputs: Any, y: NDArray[np.float64], groups: NDArray[np.intp] | None) -> None:
        """Learn; `inputs` are of the class that `takes` says, `groups` are numbered from 0."""

    @abstractmethod
    def _predict(self, inputs: Any) -> Prediction:
        """Predict some rows; there may be none."""

    @abstractmethod
    def _save(self, folder: Path) -> dict[str, Any]:
        """Write what was learnt into files of the folder; return what JSON can hold of it."""

    @abstractmethod
    def _load(self, folder: Path, state: Mapping[str, Any]) -> None:
        """Take up what `_save` wrote and returned."""


@dataclass(kw_only=True)
class FeatureSurrogate(Surrogate):
    """A surrogate of feature matrices.

    Parameters
    ----------
    missing
        What to do where a feature is unknown (NaN): ``refuse`` it; put the ``median`` of the training rows in its
        place; or leave it as it is, ``native``, to a model that has a way of its own.
    """

    native_missing: ClassVar[bool] = False
    """Whether the model has a way of its own with unknown features."""

    missing: str = "refuse"

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_choice("missing", self.missing, ("refuse", "median", *(("native",) if self.native_missing else ())))

    @override
    def _check_inputs(self, inputs: Inputs) -> None:
        features = cast("FeatureInputs", inputs)
        cast("FeatureInputs", self._training).check_same_columns(features)
        self._check_values(features)

    @override
    def _fit(self, inputs: FeatureInputs, y: NDArray[np.float64], groups: NDArray[np.intp] | None) -> None:
        self._check_values(inputs)
        self._medians = _medians(inputs.values) if self.missing == "median" else None
        self._fit_features(self._known(inputs), y, groups)

    @override
    def _predict(self, inputs: FeatureInputs) -> Prediction:
        return self._predict_features(self._known(inputs))

    def _check_values(self, inputs: FeatureInputs) -> None:
        """Raise an error where a value is infinite in single precision, or unknown and to be refused."""
        unknown, first = 0, 0
        for start in range(0, len(inputs), CHUNK_ROWS):
            part = inputs.values[start : start + CHUNK_ROWS]
            if (np.abs(part) <= LARGEST).all():
                continue
            if (infinite := (np.abs(part) > LARGEST).any(axis=0)).any():
                column = int(infinite.argmax())
                raise ValueError(f"X is infinite in column {column}: no feature may be larger than {LARGEST:.2g}")
            rows = np.flatnonzero(np.isnan(part).any(axis=1))
            first = first if unknown else start + int(rows[0])
            unknown += len(rows)
        if not unknown or self.missing != "refuse":
            return
        column = int(np.isnan(inputs.values[first]).argmax())
        name = inputs.names[column] if inputs.names else f"column {column}"
        ways = "missing=median" + (" or missing=native" if self.native_missing else "")
        raise UserError(
            f"{unknown} of {len(inputs)} rows have unknown features (NaN), the first is {name} in row {first}: "
            f"leave them out, or set the option {ways}"
        )

    def _known(self, inputs: FeatureInputs) -> NDArray[np.floating]:
        """Values as the model takes them."""
        if self.missing == "native":
            return inputs.values
        unknown = np.isnan(inputs.values)
        if self._medians is None or not unknown.any():
            return inputs.values
        return np.where(unknown, self._medians.astype(inputs.values.dtype), inputs.values)

    @override
    def _save(self, folder: Path) -> dict[str, Any]:
        medians = None if self._medians is None else self._medians.tolist()
        return {"medians": medians, "learnt": self._save_learnt(folder)}

    @override
    def _load(self, folder: Path, state: Mapping[str, Any]) -> None:
        self._medians = None if state["medians"] is None else np.array(state["medians"], dtype=np.float64)
        self._load_learnt(folder, state["learnt"])

    @abstractmethod
    def _fit_features(
        self, X: NDArray[np.floating], y: NDArray[np.float64], groups: NDArray[np.intp] | None
    ) -> None: ...

    @abstractmethod
    def _predict_features(self, X: NDArray[np.floating]) -> Prediction: ...

    @abstractmethod
    def _save_learnt(self, folder: Path) -> dict[str, Any]: ...

    @abstractmethod
    def _load_learnt(self, folder: Path, state: Mapping[str, Any]) -> None: ...


def checked_data(
    kind: InputKind, X: Any, y: ArrayLike, groups: ArrayLike | None = None
) -> tuple[Inputs, NDArray[np.float64], NDArray[np.intp] | None]:
    """Training rows, target as float64 of shape (n,), and groups as numbers; or an error that says what is wrong."""
    inputs, target = as_inputs(kind, X), np.asarray(y, dtype=float)
    if target.shape != (len(inputs),):
        raise ValueError(f"expected one target per row, shape ({len(inputs)},), got {target.shape}")
    if not len(inputs) or (isinstance(inputs, FeatureInputs) and not inputs.values.size):
        shape = inputs.values.shape if isinstance(inputs, FeatureInputs) else (len(inputs),)
        raise ValueError(f"nothing to learn from: X has the shape {shape}")
    if not np.isfinite(target).all():
        raise ValueError(f"y is not finite in row {int((~np.isfinite(target)).argmax())}")
    if isinstance(inputs, FeatureInputs) and np.isinf(inputs.values).any():
        raise ValueError(f"X is infinite in column {int(np.isinf(inputs.values).any(axis=0).argmax())}")
    if groups is None:
        return inputs, target, None
    labels = np.asarray(groups)
    if labels.shape != target.shape:
        raise UserError(f"expected one group per row, shape {target.shape}, got {labels.shape}")
    return inputs, target, np.unique(known_labels(groups), return_inverse=True)[1].astype(np.intp)


def check_target(y: NDArray[np.float64], task: Task) -> None:
    """Raise a `UserError` where nothing can be learnt from a target."""
    if task == "classification":
        odd = (y != 0) & (y != 1)
        if odd.any():
            raise UserError(f"a classification has targets 0 and 1, got {y[odd][0]:g} in row {int(odd.argmax())}")
        if (y == y[0]).all():
            raise UserError(f"all {len(y)} targets are of one class ({y[0]:g}): there is nothing to tell apart")
    elif len(y) > 1 and (y == y[0]).all():
        raise UserError(f"all {len(y)} targets are {y[0]:g}: a constant target teaches nothing")


def _columns(training: Inputs) -> dict[str, Any]:
    if not isinstance(training, FeatureInputs):
        return {}
    names = None if training.names is None else list(training.names)
    return {"number": training.values.shape[1], "names": names, "versions": dict(training.versions)}


def _empty_inputs(kind: InputKind, columns: Mapping[str, Any]) -> Inputs:
    if kind != "features":
        return as_inputs(kind, [])
    names = None if columns["names"] is None else tuple(columns["names"])
    return FeatureInputs(np.empty((0, columns["number"])), names, columns["versions"])


def _medians(X: NDArray[np.floating]) -> NDArray[np.float64]:
    """Median of the known values of each column, shape (n_features,); 0 where none is known."""
    some = ~np.isnan(X).all(axis=0)
    medians = np.zeros(X.shape[1])
    if some.any():
        medians[some] = np.nanmedian(X[:, some], axis=0)
    return medians

"""Kriging: a value from the nearest known compositions, each with the weight that its likeness gives it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from typing_extensions import override

from matscout.db.files import write_whole
from matscout.errors import UserError
from matscout.models.base import Surrogate
from matscout.models.element_kernel import Neighbours, element_vectors, nearest, positions
from matscout.models.inputs import CompositionInputs, FeatureInputs, InputKind, as_inputs
from matscout.models.kept_files import read_arrays, reading
from matscout.models.kriging import KERNELS, Kriged, krige
from matscout.models.labels import known_labels
from matscout.models.prediction import Prediction

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

FILE = "local_kriging.npz"
"""File in a kept surrogate's folder."""

LENGTH_SCALES = (0.1, 0.2, 0.4, 0.8, 1.6)
"""What `length_scale` is chosen of where it is not given."""

NOISES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
"""What `noise` is chosen of where it is not given."""

PRIOR_WEIGHTS = (1.0, 3.0, 10.0, 30.0, 100.0)
"""What `prior_weight` is chosen of where it is not given."""

SPREAD_OF = 8
"""Nearest rows whose spread is a column of `kriging_features`."""

FEATURES = (
    "kriging mean",
    "kriging std",
    "target of nearest",
    "target of second nearest",
    "target of third nearest",
    "distance to nearest",
    "distance to second nearest",
    "distance to third nearest",
    f"distance to nearest {SPREAD_OF}",
    f"spread of nearest {SPREAD_OF}",
)
"""Columns of `kriging_features`; targets in their unit, distances between 0 and 1.4."""

_SMALLEST = float(np.finfo(float).tiny)
_NUMBERS_AT_ONCE = 4_000_000  # 32 MB of positions of neighbours
_SMALLEST_NOISE = 1e-6


@dataclass(frozen=True)
class Hyperparameters:
    """What the local processes have in common.

    Attributes
    ----------
    length_scale
        Distance at which values stop to be alike.
    noise
        Variance of the noise in units of that of the function.
    prior_weight
        How many neighbours the variance of all rows counts as.
    variance
        Of the function by all rows, in the square of the target's unit.
    scale
        By what variances are multiplied, so that errors of training rows, each predicted from the others, are as large
        as told.
    """

    length_scale: float
    noise: float
    prior_weight: float
    variance: float
    scale: float

    def local(self, kriged: Kriged) -> Floats:
        """Variance of the function at each row, before it is scaled, in the square of the target's unit."""
        weight = self.prior_weight
        return np.asarray((weight * self.variance + kriged.squares) / (weight + kriged.freedom))


@dataclass(kw_only=True)
class LocalKriging(Surrogate):
    """Ordinary kriging from the nearest training compositions: a Gaussian process with an unknown constant mean.

    Each row has a process of its own neighbours, so that the time grows as the number of rows, and any number of rows
    will do to learn from: Gramacy, Apley, Local Gaussian process approximation for large computer experiments,
    J. Comput. Graph. Stat. 24, 561 (2015), doi:10.1080/10618600.2014.914442; Vecchia, J. R. Stat. Soc. B 50, 297
    (1988), doi:10.1111/j.2517-6161.1988.tb01729.x. Kriging: Cressie, Statistics for Spatial Data, Wiley (1993),
    doi:10.1002/9781119115151. Compositions of alike elements in like amounts are near (see
    `matscout.models.element_kernel`).

    Where length scale, noise or prior weight is not given, it is the one out of a few under which training rows, each
    predicted from the others, are most likely (Sundararajan, Keerthi, Neural Comput. 13, 1103 (2001),
    doi:10.1162/08997660151134343). With groups, a row is predicted from other groups; without, from other compositions,
    as a polymorph of the same would tell how far polymorphs differ, and nothing of compositions.

    Parameters
    ----------
    neighbours
        Training rows that a row is predicted from.
    kernel
        ``matern``: once differentiable functions, Matérn 3/2; ``exponential``: rougher ones.
    length_scale
        Distance at which values stop to be alike; two elements that have nothing in common are 1.4 apart. None: chosen.
    noise
        Variance of the noise in units of that of the function: what compositions do not tell, as which polymorph it is.
        None: chosen.
    prior_weight
        The variance of the function is that of the neighbours, averaged with that of all rows, which counts as so many
        neighbours. None: chosen.
    element_length, element_identity
        How far elements are alike, and which part of each is its own: see `element_vectors`.
    hyperparameter_rows
        Rows, drawn at random, from which hyperparameters and the size of the variance are learnt, where there are more.
    """

    name: ClassVar[str] = "local_kriging"
    takes: ClassVar[InputKind] = "compositions"

    neighbours: int = 64
    kernel: str = "matern"
    length_scale: float | None = None
    noise: float | None = None
    prior_weight: float | None = None
    element_length: float = 0.5
    element_identity: float = 0.02
    hyperparameter_rows: int = 1000

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_choice("kernel", self.kernel, tuple(KERNELS))
        self.check_number("neighbours", self.neighbours, 2, integer=True)
        self.check_number("hyperparameter_rows", self.hyperparameter_rows, 2, integer=True)
        if self.length_scale is not None:
            self.check_number("length_scale", self.length_scale, 0, above=True)
        if self.noise is not None:
            self.check_number("noise", self.noise, _SMALLEST_NOISE)
        if self.prior_weight is not None:
            self.check_number("prior_weight", self.prior_weight, 0, above=True)
        self.check_number("element_length", self.element_length, 0, above=True)
        self.check_number("element_identity", self.element_identity, _SMALLEST_NOISE, 1)

    @property
    def hyperparameters(self) -> dict[str, float]:
        """Length scale, noise and prior weight, as given or as learnt, and variance of the function over all rows."""
        if self._training is None:
            raise RuntimeError("fit the surrogate before it tells what it learnt")
        return asdict(self._learnt)

    def leave_one_out(self, groups: ArrayLike | None = None) -> Prediction:
        """Predict each training row from the others, in the order in which they were given.

        The hyperparameters are those of all rows.

        Parameters
        ----------
        groups
            Label of each training row, shape (n,): rows of its own group are left out, too.

        Raises
        ------
        UserError
            There is not one label per row, or only one group.
        """
        self._check_fitted()
        n = len(self._known)
        return self._prediction(self._without_own(np.arange(n) if groups is None else _labels(groups, n)))

    def features_of_training(self, groups: ArrayLike | None = None) -> FeatureInputs:
        """Columns of each training row as `kriging_features` describes them, from the others.

        Parameters
        ----------
        groups
            Label of each training row, shape (n,): rows of its own group are left out, too. If left out, those of its
            own composition are: the target of a polymorph would stand in the columns, and none does in those of a
            composition that is not known yet.

        Raises
        ------
        UserError
            There is not one label per row, or only one group or composition.
        """
        self._check_fitted()
        labels = _own_compositions(self._known) if groups is None else _labels(groups, len(self._known))
        return self._features(self._without_own(labels))

    def features(self, X: Any) -> FeatureInputs:
        """Columns of new rows as `kriging_features` describes them."""
        inputs = as_inputs("compositions", X)
        assert isinstance(inputs, CompositionInputs)
        self._check_fitted()
        return self._features(self._near(inputs))

    def _check_fitted(self) -> None:
        if self._training is None:
            raise RuntimeError("fit the surrogate before it predicts")

    def _near(self, inputs: CompositionInputs) -> Neighbours:
        return nearest(positions(inputs, self._vectors), self._points, self.neighbours)

    def _without_own(self, labels: NDArray[np.intp]) -> Neighbours:
        """Find the neighbours of each training row among those of other labels."""
        found = nearest(self._points, self._points, self.neighbours, (labels, labels))
        lonely = found.rows[:, 0] < 0
        if lonely.any():
            raise UserError(
                f"row {int(lonely.argmax())} has no other row to be predicted from, as all are of its group or "
                "composition: give two groups or compositions, or more"
            )
        return found

    def _features(self, found: Neighbours) -> FeatureInputs:
        prediction = self._prediction(found)
        last = np.maximum((found.rows >= 0).sum(axis=1) - 1, 0)
        kept = np.minimum(np.arange(SPREAD_OF), last[:, None])
        distances = np.take_along_axis(found.distances, kept, axis=1)
        targets = self._target[np.take_along_axis(found.rows, kept, axis=1)]
        columns = [prediction.mean, prediction.std, *targets.T[:3], *distances.T[:3], distances[:, -1]]
        return FeatureInputs(np.column_stack([*columns, targets.std(axis=1)]), FEATURES)

    @override
    def _fit(self, inputs: CompositionInputs, y: Floats, groups: NDArray[np.intp] | None) -> None:
        self._vectors = element_vectors(self.element_length, self.element_identity)
        self._known, self._target = inputs, y
        self._points = positions(inputs, self._vectors)
        self._learnt = Hyperparameters(self.length_scale or 1.0, self.noise or 1.0, 1.0, float(y.var()) or 1.0, 1.0)
        if len(y) < 2:
            return
        labels = _apart(groups, inputs)
        rng = np.random.default_rng(self.seed)
        some = np.sort(rng.permutation(len(y))[: self.hyperparameter_rows])
        self._learn(nearest(self._points[some], self._points, self.neighbours, (labels[some], labels)), y[some])

    def _learn(self, found: Neighbours, truth: Floats) -> None:
        """Choose the hyperparameters under which rows are most likely, and the variances that are most likely then."""
        lengths = LENGTH_SCALES if self.length_scale is None else (self.length_scale,)
        noises = NOISES if self.noise is None else (self.noise,)
        weights = PRIOR_WEIGHTS if self.prior_weight is None else (self.prior_weight,)
        best = -np.inf
        for length, noise in product(lengths, noises):
            kriged = self._kriged(found, length, noise)
            squares = (truth - kriged.mean) ** 2
            overall = max(float((squares / (kriged.variance + noise)).mean()), _SMALLEST)
            for weight in weights:
                tried = Hyperparameters(length, noise, weight, overall, 1.0)
                variance = (kriged.variance + noise) * tried.local(kriged)
                scale = max(float((squares / variance).mean()), _SMALLEST)
                likelihood = -0.5 * (float(np.log(variance).mean()) + np.log(scale))
                if likelihood > best:
                    best, self._learnt = likelihood, replace(tried, scale=scale)

    def _kriged(self, found: Neighbours, length: float, noise: float) -> Kriged:
        """Krige rows from their neighbours, a block at a time."""
        correlation = KERNELS[self.kernel]
        k = found.rows.shape[1]
        block = max(1, _NUMBERS_AT_ONCE // max(k * (self._points.shape[1] + 4 * k), 1))
        parts = []
        for start in range(0, max(len(found), 1), block):
            some = found.block(slice(start, start + block))
            between, there = self._between(some), some.rows >= 0
            parts.append(
                krige(
                    np.where(there[:, :, None] & there[:, None, :], correlation(between / length), 0.0),
                    np.where(there, correlation(np.where(there, some.distances, 0.0) / length), 0.0),
                    np.where(there, self._target[some.rows], 0.0),
                    there,
                    noise,
                )
            )
        return Kriged(*(np.concatenate(columns) for columns in zip(*(part.columns() for part in parts), strict=True)))

    def _between(self, found: Neighbours) -> Floats:
        """Distances among the neighbours of each row, shape (m, k, k)."""
        points = self._points[found.rows]
        products = points @ points.transpose(0, 2, 1)
        squares = np.diagonal(products, axis1=1, axis2=2)
        return np.asarray(np.sqrt(np.maximum(squares[:, :, None] + squares[:, None, :] - 2 * products, 0.0)))

    def _prediction(self, found: Neighbours) -> Prediction:
        learnt = self._learnt
        kriged = self._kriged(found, learnt.length_scale, learnt.noise)
        variance = learnt.scale * learnt.local(kriged)
        epistemic, aleatoric = np.sqrt(variance * kriged.variance), np.sqrt(variance * learnt.noise)
        return Prediction(kriged.mean, np.hypot(epistemic, aleatoric), aleatoric, epistemic)

    @override
    def _predict(self, inputs: CompositionInputs) -> Prediction:
        return self._prediction(self._near(inputs))

    @override
    def _save(self, folder: Path) -> dict[str, Any]:
        arrays: dict[str, Any] = {
            "numbers": self._known.numbers,
            "fractions": self._known.fractions,
            "target": self._target,
            "element_vectors": self._vectors,  # whatever the tables of elements say by then
        }
        write_whole(folder / FILE, partial(np.savez_compressed, allow_pickle=False, **arrays))
        return asdict(self._learnt)

    @override
    def _load(self, folder: Path, state: Mapping[str, Any]) -> None:
        with reading(folder / FILE):
            kept = read_arrays(folder / FILE)
            self._known = CompositionInputs(kept["numbers"], kept["fractions"])
            self._target, self._vectors = kept["target"], kept["element_vectors"]
        self._points = positions(self._known, self._vectors)
        self._learnt = Hyperparameters(**state)


def _apart(groups: NDArray[np.intp] | None, inputs: CompositionInputs) -> NDArray[np.intp]:
    """Label rows by group; else by composition; else each by itself: a single group, or composition, is none."""
    for labels in (groups, _own_compositions(inputs)):
        if labels is not None and (labels != labels[0]).any():
            return labels
    return np.arange(len(inputs))


def _own_compositions(inputs: CompositionInputs) -> NDArray[np.intp]:
    """Give rows of one composition one number, shape (n,)."""
    rows = np.column_stack([inputs.numbers, inputs.fractions.round(9)])
    return np.unique(rows, axis=0, return_inverse=True)[1].astype(np.intp)


def _labels(groups: ArrayLike, n: int) -> NDArray[np.intp]:
    labels = known_labels(groups)
    if labels.shape != (n,):
        raise UserError(f"expected one group per row, shape ({n},), got {labels.shape}")
    return np.unique(labels, return_inverse=True)[1].astype(np.intp)


def kriging_features(
    compositions: Any,
    y: ArrayLike,
    queries: Any,
    groups: ArrayLike | None = None,
    **options: Any,
) -> tuple[FeatureInputs, FeatureInputs]:
    """Turn what kriging says into columns for another model: of training rows, each without itself, and of queries.

    A model that learns from the columns sees training rows as it will see others. The target may be any that is known
    of the training rows, and nothing leaks where that of a row does not depend on other rows. An energy relative to the
    hull of the others does: the hull of a row's neighbours holds the row itself, so that their targets tell something
    of its own.

    Parameters
    ----------
    compositions, y
        Training rows and their target, shape (n,).
    queries
        Rows to be predicted, m of them.
    groups
        Label of each training row, shape (n,): rows of its own group are left out with it. Give those by which the
        other model is validated. If left out, rows of its own composition are.
    options
        Of `LocalKriging`.

    Returns
    -------
    Columns of the training rows, shape (n, 10), and of the queries, shape (m, 10): mean and std of the kriging; targets
    of the three nearest training rows, their distances, and that of the last of `SPREAD_OF`; the std of the targets of
    these. With fewer training rows the farthest there is stands for those that are missing.

    Examples
    --------
    >>> training, new = kriging_features(["NaCl", "KCl", "NaBr", "KBr"], [-2.1, -2.2, -1.9, -2.0], ["RbCl"], noise=0.01)
    >>> training.values.shape, new.values.shape, new.names[:2]
    ((4, 10), (1, 10), ('kriging mean', 'kriging std'))
    """
    surrogate = LocalKriging(**options).fit(compositions, y, groups)
    return surrogate.features_of_training(groups), surrogate.features(queries)

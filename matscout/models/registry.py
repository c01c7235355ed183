"""Surrogates by name."""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matscout.errors import UserError, nearest
from matscout.models.base import DOCUMENT, Surrogate
from matscout.models.calibration import CalibratedSurrogate
from matscout.models.kept_files import reading_document
from matscout.models.options import check_options

if TYPE_CHECKING:
    import os

SURROGATES: dict[str, str] = {
    "dummy": "baselines:Dummy",
    "ridge": "baselines:Ridge",
    "extra_trees": "forests:ExtraTrees",
    "random_forest": "forests:RandomForest",
    "adaboost_trees": "boosted_forest:AdaBoostTrees",
    "xgboost": "gradient_boosting:XGBoostEnsemble",
    "gaussian_process": "gaussian_process:GaussianProcess",
    "local_kriging": "local_kriging:LocalKriging",
    "composition_network": "networks.composition_network:CompositionNetwork",
    "crystal_graph": "networks.crystal_graph:CrystalGraph",
    "chgnet_transfer": "networks.chgnet_transfer:CHGNetTransfer",
}
"""Module and class of each known surrogate by its name."""

_OF_CALIBRATION = ("folds", "transform", "domain")


def surrogate_class(name: str) -> type[Surrogate]:
    """Return the class of a surrogate.

    Raises
    ------
    UserError
        The name is unknown.

    Examples
    --------
    >>> surrogate_class("extra_trees").takes
    'features'
    """
    if name not in SURROGATES:
        near = nearest(name, SURROGATES)
        hint = f"Did you mean {near}? " if near else ""
        raise UserError(f'unknown surrogate "{name}". {hint}Known: {", ".join(SURROGATES)}.')
    module, _, kind = SURROGATES[name].partition(":")
    found: type[Surrogate] = getattr(import_module(f"matscout.models.{module}"), kind)
    return found


def surrogate_options(name: str) -> tuple[str, ...]:
    """Names of the options that a surrogate takes, those of its calibration included.

    Examples
    --------
    >>> surrogate_options("dummy")
    ('seed', 'task', 'missing', 'folds', 'transform', 'domain')
    """
    return (*(field.name for field in fields(surrogate_class(name))), *_OF_CALIBRATION)


def make_surrogate(name: str, **options: Any) -> CalibratedSurrogate:
    """Make a surrogate by name, calibrated, not yet fitted.

    Parameters
    ----------
    name
        One of `SURROGATES`.
    options
        Those of the surrogate's class, ``seed`` among them, and of `CalibratedSurrogate`.

    Raises
    ------
    UserError
        The name or an option is unknown, or an option is out of bounds.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(60, 3))
    >>> surrogate = make_surrogate("extra_trees", n_trees=50, seed=1).fit(X, X[:, 0] ** 2)
    >>> surrogate.predict(X).mean.shape, surrogate.calibration.folds
    ((60,), 5)
    """
    check_options(f"surrogate {name}", tuple(options), surrogate_options(name))
    of_calibration = {option: options.pop(option) for option in _OF_CALIBRATION if option in options}
    return CalibratedSurrogate(surrogate_class(name)(**options), **of_calibration)


def load_surrogate(folder: str | os.PathLike[str]) -> Surrogate:
    """Take up a surrogate that `Surrogate.save` kept, as it was before calibration.

    Raises
    ------
    UserError
        There is none in the folder, or it was kept by another version.
    """
    with reading_document(Path(folder) / DOCUMENT, "surrogate") as document:
        surrogate = surrogate_class(document["surrogate"])(**document["options"])
    return surrogate.load(folder)

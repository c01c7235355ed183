"""Surrogates by name."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from matscout.errors import UserError, nearest
from matscout.models.calibration import CalibratedSurrogate
from matscout.models.ensembles import Dummy, ExtraTrees, RandomForest, XGBoostEnsemble

if TYPE_CHECKING:
    from matscout.models.base import Surrogate

SURROGATES: dict[str, type[Surrogate]] = {
    "xgboost": XGBoostEnsemble,
    "extra_trees": ExtraTrees,
    "random_forest": RandomForest,
    "dummy": Dummy,
}
"""Known surrogates by name."""

_OF_CALIBRATION = ("folds",)


def surrogate_options(name: str) -> tuple[str, ...]:
    """Names of the options that a surrogate takes, those of its calibration included.

    Examples
    --------
    >>> surrogate_options("dummy")
    ('seed', 'folds')
    """
    return (*(field.name for field in fields(_known(name))), *_OF_CALIBRATION)


def make_surrogate(name: str, **options: Any) -> CalibratedSurrogate:
    """Make a surrogate by name, calibrated, not yet fitted.

    Parameters
    ----------
    name
        One of `SURROGATES`: ``xgboost``, ``extra_trees``, ``random_forest``, ``dummy``.
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
    known = surrogate_options(name)
    for option in options:
        if option not in known:
            near = nearest(option, known)
            hint = f" Did you mean {near}?" if near else ""
            raise UserError(f'surrogate {name} has no option "{option}".{hint} It takes: {", ".join(known)}.')
    of_calibration = {option: options.pop(option) for option in _OF_CALIBRATION if option in options}
    return CalibratedSurrogate(_known(name)(**options), **of_calibration)


def _known(name: str) -> type[Surrogate]:
    if name not in SURROGATES:
        near = nearest(name, SURROGATES)
        hint = f"Did you mean {near}? " if near else ""
        raise UserError(f'unknown surrogate "{name}". {hint}Known: {", ".join(SURROGATES)}.')
    return SURROGATES[name]

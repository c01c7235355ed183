"""Surrogates with calibrated uncertainty, and what to calculate next."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from matscout.late import late_names

if TYPE_CHECKING:
    from matscout.models import acquisition
    from matscout.models.base import Prediction, Surrogate
    from matscout.models.calibration import CalibratedSurrogate, CalibrationReport
    from matscout.models.registry import SURROGATES, make_surrogate, surrogate_options

__all__ = [
    "SURROGATES",
    "CalibratedSurrogate",
    "CalibrationReport",
    "Prediction",
    "Surrogate",
    "acquisition",
    "make_surrogate",
    "surrogate_options",
]

_HOMES = {
    "base": ("Prediction", "Surrogate"),
    "calibration": ("CalibratedSurrogate", "CalibrationReport"),
    "registry": ("SURROGATES", "make_surrogate", "surrogate_options"),
}
_MODULES = ("acquisition",)

_late_name = late_names(__name__, {name: module for module, names in _HOMES.items() for name in names})


def __getattr__(name: str) -> object:
    return import_module(f"{__name__}.{name}") if name in _MODULES else _late_name(name)


def __dir__() -> list[str]:
    return sorted(__all__)

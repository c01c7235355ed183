"""Surrogates with calibrated uncertainty, how far they can be trusted, and what to calculate next."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from matscout.late import late_names

if TYPE_CHECKING:
    from matscout.models import acquisition, explanation, report, validation
    from matscout.models.base import Surrogate
    from matscout.models.calibration import CalibratedSurrogate
    from matscout.models.calibration_report import CalibrationReport
    from matscout.models.delta import DeltaSurrogate
    from matscout.models.model import Model, train_model
    from matscout.models.model_card import ModelCard
    from matscout.models.prediction import Prediction
    from matscout.models.probability_calibration import ProbabilityReport
    from matscout.models.registry import SURROGATES, load_surrogate, make_surrogate, surrogate_options

__all__ = [
    "SURROGATES",
    "CalibratedSurrogate",
    "CalibrationReport",
    "DeltaSurrogate",
    "Model",
    "ModelCard",
    "Prediction",
    "ProbabilityReport",
    "Surrogate",
    "acquisition",
    "explanation",
    "load_surrogate",
    "make_surrogate",
    "report",
    "surrogate_options",
    "train_model",
    "validation",
]

_HOMES = {
    "base": ("Surrogate",),
    "calibration": ("CalibratedSurrogate",),
    "calibration_report": ("CalibrationReport",),
    "delta": ("DeltaSurrogate",),
    "model": ("Model", "train_model"),
    "model_card": ("ModelCard",),
    "prediction": ("Prediction",),
    "probability_calibration": ("ProbabilityReport",),
    "registry": ("SURROGATES", "load_surrogate", "make_surrogate", "surrogate_options"),
}
_MODULES = ("acquisition", "explanation", "report", "validation")

_late_name = late_names(__name__, {name: module for module, names in _HOMES.items() for name in names})


def __getattr__(name: str) -> object:
    return import_module(f"{__name__}.{name}") if name in _MODULES else _late_name(name)


def __dir__() -> list[str]:
    return sorted(__all__)

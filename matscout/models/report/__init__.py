"""How far a surrogate can be trusted: scores, calibration, the report card, and plots of these."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matscout.late import late_names

if TYPE_CHECKING:
    from matscout.models.report.calibration_curves import CalibrationCurve, calibration_curve
    from matscout.models.report.comparison import TargetComparison, compare_targets
    from matscout.models.report.plots import (
        plot_calibration,
        plot_discovery,
        plot_element_errors,
        plot_error_by_std,
        plot_learning_curve,
        plot_parity,
    )
    from matscout.models.report.report_card import ReportCard, make_report_card
    from matscout.models.report.scores import (
        ClassificationScores,
        RegressionScores,
        classification_scores,
        regression_scores,
    )
    from matscout.models.report.stability import StabilityScores, calculations_saved, stability_scores

__all__ = [
    "CalibrationCurve",
    "ClassificationScores",
    "RegressionScores",
    "ReportCard",
    "StabilityScores",
    "TargetComparison",
    "calculations_saved",
    "calibration_curve",
    "classification_scores",
    "compare_targets",
    "make_report_card",
    "plot_calibration",
    "plot_discovery",
    "plot_element_errors",
    "plot_error_by_std",
    "plot_learning_curve",
    "plot_parity",
    "regression_scores",
    "stability_scores",
]

_HOMES = {
    "calibration_curves": ("CalibrationCurve", "calibration_curve"),
    "comparison": ("TargetComparison", "compare_targets"),
    "plots": (
        "plot_calibration",
        "plot_discovery",
        "plot_element_errors",
        "plot_error_by_std",
        "plot_learning_curve",
        "plot_parity",
    ),
    "report_card": ("ReportCard", "make_report_card"),
    "scores": ("ClassificationScores", "RegressionScores", "classification_scores", "regression_scores"),
    "stability": ("StabilityScores", "calculations_saved", "stability_scores"),
}

__getattr__ = late_names(__name__, {name: module for module, names in _HOMES.items() for name in names})


def __dir__() -> list[str]:
    return sorted(__all__)

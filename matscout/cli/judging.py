"""How `matscout train` judges a model: on rows it had not seen, by the decision it serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.errors import UserError, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from matscout.models.model import Model
    from matscout.models.training_data import TrainingData
    from matscout.models.validation import LearningCurve, Split

FEW_ROWS = 1_000
"""Up to so many rows each is tested once, in five parts; of more one part is held out, which costs a fifth."""


@dataclass(frozen=True)
class Judging:
    """What was asked for.

    Attributes
    ----------
    scheme
        Of `matscout.models.validation.SCHEMES`, or ``none``; None chooses by the number of rows.
    parts, test_part
        Parts of ``k-fold``, and the share tested by ``hold-out`` and ``monte-carlo``.
    threshold
        Distance to the hull that counts as stable, in the unit of the target; None where that is not asked.
    hull_energy
        Column with the energy of the hull at each row's composition, where the target is a formation energy.
    learning_curve
        Whether to train on growing parts of the rows, too.
    """

    scheme: str | None
    parts: int
    test_part: float
    threshold: float | None
    hull_energy: str | None
    learning_curve: bool


@dataclass(frozen=True, eq=False)
class Plan:
    """What rows will be tested, and what they will be judged by.

    Attributes
    ----------
    splits
        Which rows are tested without having been learnt from.
    prototypes
        Label of each row, shape (n,); None where the input does not tell.
    hull_energy
        Energy of the hull at the composition of each row in eV/atom, shape (n,); None where that is not asked.
    """

    splits: Sequence[Split]
    prototypes: NDArray[np.str_] | None
    hull_energy: NDArray[np.float64] | None


def check_judging(judging: Judging, task: str) -> None:
    """Raise a `UserError` where options do not belong together, before anything is read."""
    from matscout.models.options import check_choice
    from matscout.models.validation import SCHEMES

    if judging.scheme is not None:
        check_choice("--validate", judging.scheme, (*SCHEMES, "none"))
    if not 0 < judging.test_part < 1:
        raise UserError(f"--test-part must be above 0 and below 1, got {judging.test_part:g}")
    asked = {
        "--threshold": judging.threshold is not None,
        "--hull-energy": judging.hull_energy is not None,
        "--learning-curve": judging.learning_curve,
    }
    if judging.scheme == "none" and any(asked.values()):
        named = " and ".join(flag for flag, given in asked.items() if given)
        raise UserError(f"--validate none judges nothing, and {named} would: leave one of them out")
    if judging.threshold is not None and not np.isfinite(judging.threshold):
        raise UserError(f"--threshold must be a finite number, got {judging.threshold:g}")
    if judging.hull_energy is not None and judging.threshold is None:
        raise UserError("--hull-energy turns a formation energy into a distance: say --threshold, too")
    if judging.threshold is not None and task == "classification":
        raise UserError("--threshold needs predicted distances, and this is a classification: leave it out")


def plan_judging(judging: Judging, rows: TrainingData, groups: Any, *, takes: str, task: str, seed: int) -> Plan | None:
    """Choose the rows to be tested; None where nothing is judged.

    Raises
    ------
    UserError
        The rows do not allow what was asked for.
    """
    from matscout.models.validation import make_splits

    scheme = judging.scheme or ("k-fold" if len(rows) <= FEW_ROWS else "hold-out")
    if scheme == "none":
        return None
    if scheme == "leave-one-prototype-out" and "prototype" not in rows.columns:
        raise UserError(f'--validate {scheme} needs a column "prototype", and {rows.name} has none')
    if scheme == "leave-one-cluster-out" and takes != "features":
        raise UserError(f"--validate {scheme} needs features, and the model learns from {takes}: choose another way")
    prototypes = rows.columns["prototype"].astype(str) if "prototype" in rows.columns else None
    splits = make_splits(
        scheme,
        len(rows),
        groups,
        X=rows.inputs if takes == "features" else None,
        compositions=rows.compositions,
        prototypes=prototypes,
        folds=judging.parts,
        test_part=judging.test_part,
        classes=rows.target if task == "classification" else None,
        seed=seed,
    )
    return Plan(splits, prototypes, None if judging.hull_energy is None else _hull(rows, judging.hull_energy))


def _hull(rows: TrainingData, column: str) -> NDArray[np.float64]:
    from matscout.models.result_columns import named_row

    energy = rows.numbers(column)
    unknown = np.flatnonzero(~np.isfinite(energy))
    if len(unknown):
        first = named_row(int(rows.row_numbers[unknown[0]]), rows.ids[unknown[0]])
        raise UserError(
            f'--hull-energy: column "{column}" of {rows.name} has no number for {len(unknown):,} of {len(rows):,} '
            f"rows, the first is {first}: fill it in, or leave these rows out"
        )
    return energy


def judge(
    model: Model,
    rows: TrainingData,
    groups: Any,
    plan: Plan,
    judging: Judging,
    tell: Callable[[str], None],
    make: Callable[[], Any],
) -> dict[str, Any] | None:
    """Return the report card of surrogates like the model's, trained without the rows that they are tested on.

    None, with a warning, where it cannot be had: the model itself is good, and hours may have been spent on it.
    """
    from matscout.models.report import make_report_card
    from matscout.models.validation import cross_validate

    try:
        validation = cross_validate(
            make,
            rows.inputs,
            rows.target,
            plan.splits,
            groups=groups,
            progress=lambda done, n: tell(f"judging it: {done} of {n} parts"),
        )
        card = make_report_card(
            validation,
            rows.target,
            target=model.card.target,
            unit=model.card.unit,
            compositions=rows.compositions,
            prototypes=plan.prototypes,
            threshold=judging.threshold,
            hull_energy=plan.hull_energy,
            features=[str(one) for one in model.features],
            grouped_by="" if groups is None else model.card.groups_by,
            learning_curve=_curve(model, rows, groups, tell, make) if judging.learning_curve else None,
        )
    except ValueError as error:
        warn(f"the model is kept, but could not be judged: {error}")
        return None
    return card.as_dict()


def _curve(
    model: Model, rows: TrainingData, groups: Any, tell: Callable[[str], None], make: Callable[[], Any]
) -> LearningCurve | None:
    """Train on growing parts of the rows; None, with a warning, where that cannot be done."""
    from matscout.models.validation import learning_curve

    try:
        return learning_curve(
            make,
            rows.inputs,
            rows.target,
            groups=groups,
            seed=model.surrogate.surrogate.seed,
            progress=lambda done, n: tell(f"learning curve: {done} of {n} trainings"),
        )
    except UserError as error:
        warn(f"there is no learning curve: {error}")
        return None

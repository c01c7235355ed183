"""How `matscout train` judges a model: on rows it had not seen, by the decision it serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from matscout.models.model import Model
    from matscout.models.training_data import TrainingData

FEW_ROWS = 1_000
"""Up to so many rows each is tested once, in five parts; of more one part is held out, which costs a fifth."""

SCHEMES_BY_DEFAULT = "k-fold up to 1000 rows, else hold-out"


@dataclass(frozen=True)
class Judging:
    """What was asked for.

    Attributes
    ----------
    scheme
        Of `matscout.models.validation.SCHEMES`, or ``none``; None chooses by the number of rows.
    folds, test_part
        Parts of ``k-fold``, and the share tested by ``hold-out`` and ``monte-carlo``.
    threshold
        Distance to the hull that counts as stable, in the unit of the target; None where that is not asked.
    hull_energy
        Column with the energy of the hull at each row's composition, where the target is a formation energy.
    learning_curve
        Whether to train on growing parts of the rows, too.
    """

    scheme: str | None
    folds: int
    test_part: float
    threshold: float | None
    hull_energy: str | None
    learning_curve: bool


def check_judging(judging: Judging) -> None:
    """Raise a `UserError` where options do not belong together, before anything is read."""
    from matscout.models.options import check_choice
    from matscout.models.validation import SCHEMES

    if judging.scheme is not None:
        check_choice("--validate", judging.scheme, (*SCHEMES, "none"))
    if judging.hull_energy is not None and judging.threshold is None:
        raise UserError("--hull-energy turns a formation energy into a distance: say --threshold, too")


def judge(
    model: Model,
    rows: TrainingData,
    groups: Any,
    group_by: str,
    judging: Judging,
    tell: Callable[[str], None],
    make: Callable[[], Any],
) -> dict[str, Any] | None:
    """Return the report card of surrogates like the model's, trained without the rows that they are tested on."""
    from matscout.models.report import make_report_card
    from matscout.models.validation import cross_validate, learning_curve, make_splits

    scheme = judging.scheme or ("k-fold" if len(rows) <= FEW_ROWS else "hold-out")
    if scheme == "none":
        return None
    prototypes = rows.columns["prototype"].astype(str) if "prototype" in rows.columns else None
    splits = make_splits(
        scheme,
        len(rows),
        groups,
        X=rows.inputs if model.surrogate.surrogate.takes == "features" else None,
        compositions=rows.compositions,
        prototypes=prototypes,
        folds=judging.folds,
        test_part=judging.test_part,
        seed=model.surrogate.surrogate.seed,
    )
    validation = cross_validate(
        make,
        rows.inputs,
        rows.target,
        splits,
        groups=groups,
        progress=lambda done, n: tell(f"judging it: {done} of {n} parts"),
    )
    curve = None
    if judging.learning_curve:
        curve = learning_curve(
            make,
            rows.inputs,
            rows.target,
            groups=groups,
            seed=model.surrogate.surrogate.seed,
            progress=lambda done, n: tell(f"learning curve: {done} of {n} trainings"),
        )
    card = make_report_card(
        validation,
        rows.target,
        target=model.card.target,
        unit=model.card.unit,
        compositions=rows.compositions,
        prototypes=prototypes,
        threshold=judging.threshold,
        hull_energy=None if judging.hull_energy is None else rows.numbers(judging.hull_energy),
        features=[str(one) for one in model.features],
        grouped_by="" if groups is None else group_by,
        learning_curve=curve,
    )
    return card.as_dict()

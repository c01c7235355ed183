"""Features of a campaign's candidates: where they are made, and whether they are worth their time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matscout.errors import UserError, warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from matscout.db.candidates import CandidateTable
    from matscout.db.documents import CalculationResult
    from matscout.featurizers import FeatureMatrix

LONGEST_ROW = 60.0
"""Longest time for one candidate and one featurizer of crystals, s; its features are unknown then."""

WORTH = 0.1
"""Features that cost more than this share of a calculation are not worth much: they are to replace it."""

_LEAST_CALCULATIONS = 3  # a single one may have waited for its calculator to load


def candidate_features(table: CandidateTable, names: Sequence[str]) -> FeatureMatrix:
    """Features of unrelaxed candidates.

    Those of crystals are kept in the user's cache, shared by all campaigns, and made on dask where the setting
    MATSCOUT_DASK says so. A candidate that has none has NaN in their place, and a warning names it.
    """
    from matscout.featurizers import RowFeaturizer, featurize
    from matscout.featurizers.parts import source_of
    from matscout.featurizers.registry import resolve
    from matscout.settings import get_settings

    featurizers = resolve(list(names), source_of(table))
    one_by_one = any(isinstance(featurizer, RowFeaturizer) for featurizer in featurizers)
    features = featurize(
        table, featurizers, get_settings().dask if one_by_one else None, time_limit=LONGEST_ROW if one_by_one else None
    )
    if features.errors and len(features.errors) == len(table) and np.isnan(features.values).all():
        raise UserError(
            f"no candidate has any of the features {', '.join(names)}: {features.formulas[0]}: {features.errors[0]}"
        )
    if features.errors:
        first = min(features.errors)
        warn(
            f"{len(features.errors)} of {len(table)} candidates lack features ({', '.join(names)}), which the "
            f"surrogate takes as unknown; the first one is {features.formulas[first]}: {features.errors[first]}"
        )
    return features


def crystals_of(table: CandidateTable) -> tuple[CandidateTable, NDArray[np.bool_]]:
    """Candidates whose crystals can be made, and which of the table these are; a warning names the first other one."""
    from matscout.crystals.crystal import Crystal

    errors: dict[int, str] = {}
    for row in range(len(table)):
        try:
            Crystal.of_candidate(table, row)
        except UserError as error:
            errors[row] = str(error)
    usable = np.ones(len(table), dtype=bool)
    usable[list(errors)] = False
    if len(errors) == len(table):
        raise UserError(f"no candidate can be made a crystal at its predicted volume: {errors[0]}")
    if errors:
        warn(
            f"{len(errors)} of {len(table)} candidates cannot be made crystals, so the surrogate says nothing of them; "
            f"the first one is {errors[min(errors)]}"
        )
    return (table if usable.all() else table.take(usable)), usable


def warn_of_cost(features: FeatureMatrix, results: Iterable[CalculationResult]) -> None:
    """Warn where a candidate's features cost more than a tenth of a calculation; both as they were measured."""
    seconds = [result.seconds for result in results if result.outcome == "completed" and result.seconds > 0]
    if len(seconds) < _LEAST_CALCULATIONS:
        return
    calculation = float(np.median(seconds))
    if features.seconds_per_row > WORTH * calculation:
        sets = ", ".join(dict.fromkeys(features.sets))
        warn(
            f"the features of one candidate ({sets}) cost {features.seconds_per_row:.2g} s, a calculation "
            f"{calculation:.2g} s: features should cost less than a tenth of what they are to replace, so leave some "
            "out or take a dearer protocol"
        )

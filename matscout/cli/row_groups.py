"""Rows that are held out together, as `matscout train --group-by` names them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.errors import UserError

if TYPE_CHECKING:
    from matscout.featurizers.parts import Source
    from matscout.models.training_data import TrainingData


def row_groups(source: Source, rows: TrainingData, by: str) -> Any:
    """Label of each row, shape (n,): rows of one label are held out together; None where each stands for itself."""
    from matscout.models.labels import known_labels

    if by == "none":
        return None
    if by == "chemical-system":
        return rows.chemical_systems()
    if by == "composition":
        keys = np.concatenate([rows.compositions.numbers, rows.compositions.fractions.round(6)], axis=1)
        return np.unique(keys, axis=0, return_inverse=True)[1].ravel()
    if by in {"label", "prototype"} and source.kind != "formulas":
        return _structure_groups(source, rows, by)
    if by in rows.columns:
        return known_labels(rows.columns[by], f"label in the column {by}").astype(str)
    if by in {"label", "prototype"}:
        raise UserError(f"--group-by {by} needs crystals: {source.name} holds formulas")
    known = ", ".join(("chemical-system", "composition", "label", "prototype", "none", *rows.columns))
    raise UserError(f'--group-by "{by}" is neither a way of grouping nor a column. Known: {known}.')


def _structure_groups(source: Source, rows: TrainingData, by: str) -> Any:
    from matscout.workflows.enumeration import split_groups

    wanted = set(rows.row_numbers.tolist())
    structures, start = [], 0
    for part in source.parts(1_000):
        structures += [part.crystal(row).structure() for row in range(len(part)) if start + row in wanted]
        start += len(part)
    return split_groups(structures, by=by)

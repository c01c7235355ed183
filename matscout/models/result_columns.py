"""Results that stand apart from the rows they belong to, and columns as numbers."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.errors import UserError, nearest, warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

_ENDING = re.compile(r"\.(cif|mcif|vasp|poscar|json|xyz|extxyz)(\.gz)?$", re.IGNORECASE)
_YES_AND_NO = {"yes", "no", "y", "n", "true", "false", "t", "f"}


def beside_rows(results: pd.DataFrame, ids: Sequence[str], name: str) -> dict[str, NDArray[Any]]:
    """Columns of results for rows that are known by their ids; unknown where a row has none.

    Parameters
    ----------
    results
        Its column ``id`` says which row each belongs to. A crystal's may be the name of its file, with its ending.
    ids
        Of the n rows; several rows may have one id.
    name
        What messages call the rows.

    Returns
    -------
    Arrays of shape (n,) by name.

    Raises
    ------
    UserError
        There is no column ``id``, one id has several results, or no id is one of a row.

    Warns
    -----
    MatscoutWarning
        Some of the ids are of no row.

    Examples
    --------
    >>> import pandas as pd
    >>> results = pd.DataFrame({"id": ["b.cif", "a"], "energy": [-1.0, -2.0]})
    >>> beside_rows(results, ["a", "b", "c"], "the crystals")["energy"].tolist()
    [-2.0, -1.0, nan]
    """
    if "id" not in results.columns:
        raise UserError(f'results need a column "id" that says which row each belongs to; there is {_some(results)}')
    known = set(ids)
    keys = [key if key in known else _ENDING.sub("", key) for key in results["id"].astype(str)]
    strange = [key for key in keys if key not in known]
    if len(strange) == len(keys):
        there = f'the first result is of "{keys[0]}"' if keys else "there is no result"
        rows = f'the first row is "{ids[0]}"' if ids else "there is no row"
        raise UserError(f"no id of the results is one of {name}: {there}, {rows}")
    if len(set(keys)) < len(keys):
        twice = Counter(keys).most_common(1)[0][0]
        raise UserError(f'the id "{twice}" has several results: keep one')
    if strange:
        warn(
            f'{len(strange):,} of {len(keys):,} ids of the results are of no row of {name}, the first is "{strange[0]}"'
        )
    joined = results.drop(columns="id").set_axis(keys, axis=0).reindex(list(ids))
    return {str(column): joined[column].to_numpy() for column in joined.columns}


def column_of(columns: Mapping[str, NDArray[Any]], name: str, where: str) -> NDArray[Any]:
    """Return a column by its name; a `UserError` that names the nearest one where there is none."""
    if name in columns:
        return columns[name]
    near = nearest(name, columns)
    hint = f" Did you mean {near}?" if near else ""
    known = f" It has: {', '.join(columns)}." if columns else ""
    raise UserError(f'{where} has no column "{name}".{hint}{known}')


def as_numbers(values: NDArray[Any], name: str, where: str, ids: Sequence[str]) -> NDArray[np.float64]:
    """Values as numbers, shape (n,), NaN where there is none; a `UserError` names the first that is something else."""
    found, wrong = np.full(len(values), np.nan), []
    for row, value in enumerate(values.tolist()):
        try:
            found[row] = np.nan if value is None or type(value).__name__ == "NAType" else float(value)
        except (TypeError, ValueError):
            wrong.append((row, value))
    if not wrong:
        return found
    row, value = wrong[0]
    said = {str(value).strip().lower() for _, value in wrong}
    if said <= _YES_AND_NO:
        raise UserError(
            f'column "{name}" of {where} says {" and ".join(sorted(said))}: write 1 and 0, or true and false, and take '
            "the option task=classification"
        )
    raise UserError(
        f'column "{name}" of {where} holds no numbers in {len(wrong):,} of {len(found):,} rows, the first is '
        f'"{str(value)[:40]}" in {named_row(row, ids[row])}: correct them, or leave them empty'
    )


def named_row(row: int, called: str) -> str:
    """Name a row by its number, and by its id where that is something else.

    Examples
    --------
    >>> named_row(3, "3"), named_row(3, "mp-22862")
    ('row 3', 'row 3 (mp-22862)')
    """
    return f"row {row}" if called == str(row) else f"row {row} ({called})"


def _some(names: Iterable[Any]) -> str:
    return ", ".join(map(str, names)) or "none"

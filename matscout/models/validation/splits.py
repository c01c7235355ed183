"""Which rows teach and which rows test.

What a split leaves out says what its score means. Random parts tell how a surrogate does between known neighbours;
a search goes to where there are none. Leaving out clusters: Meredig et al., Can machine learning identify the next
high-temperature superconductor? Mol. Syst. Des. Eng. 3, 819 (2018), doi:10.1039/C8ME00012C.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.errors import UserError, nearest, warn
from matscout.models.held_out import assign_folds
from matscout.models.inputs import FeatureInputs, as_inputs
from matscout.models.options import check_number
from matscout.models.validation.groups import deal_classes, draw_part, numbered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import ArrayLike, NDArray

SCHEMES = (
    "hold-out",
    "k-fold",
    "monte-carlo",
    "leave-one-cluster-out",
    "leave-one-element-out",
    "leave-one-prototype-out",
    "leave-one-out",
)
"""Ways to split that `make_splits` knows."""

_LEFT_OUT_ROWS = 5_000  # one by one: memory grows as n^2, 200 MB here, and so does the time of training


@dataclass(frozen=True, eq=False)
class Split:
    """Rows to learn from and rows to test on; no group has rows in both.

    Attributes
    ----------
    train, test
        Row numbers in ascending order; neither is empty.
    label
        What is left out, or the number of the part.
    scheme
        One of `SCHEMES`; empty where rows were parted in another way.
    """

    train: NDArray[np.intp]
    test: NDArray[np.intp]
    label: str
    scheme: str = ""


def make_splits(
    scheme: str,
    rows: int | ArrayLike,
    groups: ArrayLike | None = None,
    *,
    X: Any = None,
    compositions: Any = None,
    prototypes: ArrayLike | None = None,
    folds: int = 5,
    repeats: int = 10,
    test_part: float = 0.2,
    n_clusters: int = 10,
    smallest_test: int = 1,
    classes: ArrayLike | None = None,
    seed: int = 0,
) -> list[Split]:
    """Split rows by a scheme, keeping groups together.

    A group is never cut by ``hold-out``, ``k-fold`` and ``monte-carlo``. The schemes that leave one out test exactly
    the rows left out; other rows of their groups leave the training part, too.

    Parameters
    ----------
    scheme
        ``hold-out``: one random part. ``k-fold``: each row tested once. ``monte-carlo``: random parts, drawn anew
        each time. ``leave-one-cluster-out``: clusters by k-means on standardised features `X`.
        ``leave-one-element-out``: all rows that hold an element, for each element of `compositions`.
        ``leave-one-prototype-out``: by the labels `prototypes`. ``leave-one-out``: each row for itself; it warns.
    rows
        Number of rows, or the target, of which only the length counts.
    groups
        Label of each row, shape (n,): rows of one chemical system, or duplicates (see `merge_groups`).
    X
        Features, as `matscout.models.inputs.as_inputs` takes them; an unknown one counts as the mean of its column.
    compositions
        Formulas, compositions or a table of candidates.
    prototypes
        Label of each row, shape (n,).
    folds
        Parts of ``k-fold``.
    repeats
        Random parts of ``monte-carlo``.
    test_part
        Share of rows tested by ``hold-out`` and ``monte-carlo``; with groups as near to it as whole groups allow.
    n_clusters
        Clusters of ``leave-one-cluster-out``.
    smallest_test
        Elements, prototypes or clusters with fewer rows are not left out.
    classes
        Class of each row, shape (n,), as the target of a classification: ``k-fold`` gives each part the same share of
        each class, as far as whole groups allow. Other schemes take no account of it.
    seed
        Of all that is random.

    Raises
    ------
    UserError
        The scheme is unknown, what it needs is not given or of another length than the rows, there are fewer rows or
        groups than parts, a part would be empty, or ``leave-one-out`` is asked of more than 5000 rows.

    Warns
    -----
    MatscoutWarning
        The scheme is ``leave-one-out``; or what should be left out cannot be, since nothing would be left to learn
        from: it is then passed over.

    Examples
    --------
    >>> splits = make_splits("leave-one-element-out", 3, compositions=["NaCl", "KCl", "KBr"])
    >>> [(split.label, split.train.tolist(), split.test.tolist()) for split in splits]  # doctest: +NORMALIZE_WHITESPACE
    [('Na', [1, 2], [0]), ('Cl', [2], [0, 1]), ('K', [0], [1, 2]), ('Br', [0, 1], [2])]
    """
    if scheme not in SCHEMES:
        near = nearest(scheme, SCHEMES)
        raise UserError(
            f'unknown split scheme "{scheme}". {f"Did you mean {near}? " if near else ""}Known: {", ".join(SCHEMES)}.'
        )
    n = int(rows) if isinstance(rows, (int, np.integer)) else len(np.asarray(rows))
    check_number("smallest_test", smallest_test, 1, integer=True)
    labels = np.arange(n) if groups is None else numbered(groups, n)
    if scheme == "k-fold":
        of_row = None if classes is None else numbered(classes, n, "class")
        return _k_fold(labels, folds, seed, grouped=groups is not None, classes=of_row)
    if scheme in ("hold-out", "monte-carlo"):
        check_number("repeats", repeats, 1, integer=True)
        return _random_parts(labels, test_part, repeats if scheme == "monte-carlo" else None, seed)
    if scheme == "leave-one-out":
        return _leave_one_out(labels, grouped=groups is not None)
    sources: dict[str, Callable[[], Iterable[tuple[str, NDArray[np.bool_]]]]] = {
        "leave-one-cluster-out": lambda: _clusters(X, n, n_clusters, seed),
        "leave-one-element-out": lambda: _elements(compositions, n),
        "leave-one-prototype-out": lambda: _prototypes(prototypes, n),
    }
    return _left_out(sources[scheme](), labels, smallest_test, scheme)


def _check_two(labels: NDArray[np.intp]) -> int:
    """Return the number of groups; there must be one to learn from and one to test."""
    n_groups = len(np.unique(labels))
    if n_groups < 2:
        what = "row" if len(labels) == n_groups else f"group with all {len(labels)} rows"
        raise UserError(f"a split needs a training and a test part, and there is {n_groups or 'no'} {what}")
    return n_groups


def _k_fold(
    labels: NDArray[np.intp], folds: int, seed: int, *, grouped: bool, classes: NDArray[np.intp] | None
) -> list[Split]:
    check_number("folds", folds, 2, integer=True)
    n_groups = _check_two(labels)
    if n_groups < folds:
        what = f"groups ({len(labels)} rows)" if grouped else "rows"
        raise UserError(f"{folds} folds need at least {folds} {'groups' if grouped else 'rows'}, got {n_groups} {what}")
    if classes is None:
        fold_of_row, _ = assign_folds(len(labels), folds, labels if grouped else None, seed=seed)
    else:
        fold_of_row = deal_classes(labels, classes, folds, np.random.default_rng(seed))
    return [_split(fold_of_row == fold, labels, f"fold {fold + 1} of {folds}", "k-fold") for fold in range(folds)]


def _random_parts(labels: NDArray[np.intp], test_part: float, repeats: int | None, seed: int) -> list[Split]:
    check_number("test_part", test_part, 0, 1, above=True)
    if test_part == 1:
        raise UserError("option test_part must be < 1: nothing would be left to learn from")
    _check_two(labels)
    if repeats is None:
        return [_split(draw_part(labels, test_part, np.random.default_rng(seed)), labels, "hold-out", "hold-out")]
    # a generator for each part, so that fewer repeats are the first ones of more
    masks = [draw_part(labels, test_part, np.random.default_rng((seed, repeat))) for repeat in range(repeats)]
    return [
        _split(mask, labels, f"repeat {repeat + 1} of {repeats}", "monte-carlo") for repeat, mask in enumerate(masks)
    ]


def _leave_one_out(labels: NDArray[np.intp], *, grouped: bool) -> list[Split]:
    _check_two(labels)
    if len(labels) > _LEFT_OUT_ROWS:
        raise UserError(
            f"leave-one-out would train {len(labels)} times, and takes at most {_LEFT_OUT_ROWS} rows: choose k-fold, "
            "with groups where rows are alike, or hold-out"
        )
    leak = "" if grouped else " duplicates and polymorphs of a row still teach it, so that its error looks too small;"
    warn(f"leave-one-out:{leak} it trains {len(labels)} times: k-fold with groups says more for less")
    alone = (np.arange(len(labels)) == row for row in range(len(labels)))
    return [_split(mask, labels, f"row {row}", "leave-one-out") for row, mask in enumerate(alone)]


def _left_out(
    parts: Iterable[tuple[str, NDArray[np.bool_]]], labels: NDArray[np.intp], smallest: int, scheme: str
) -> list[Split]:
    splits, everywhere = [], []
    for name, mask in parts:
        if mask.sum() < smallest:
            continue
        split = _split(mask, labels, name, scheme)
        if len(split.train):
            splits.append(split)
        else:
            everywhere.append(name)
    if not splits:
        why = f" (without {', '.join(everywhere[:3])} no row is left to learn from)" if everywhere else ""
        raise UserError(f"{scheme}: nothing can be left out of {len(labels)} rows{why}: choose another scheme")
    if everywhere:
        warn(f"{scheme}: {', '.join(everywhere)} not left out: no row without it is there to learn from")
    return splits


def _split(tested: NDArray[np.bool_], labels: NDArray[np.intp], label: str, scheme: str) -> Split:
    """Test the rows of a mask; train on those of groups that have no row in it."""
    tied = np.zeros(int(labels.max()) + 1, dtype=bool)
    tied[labels[tested]] = True
    return Split(np.flatnonzero(~tied[labels]), np.flatnonzero(tested), label, scheme)


def _clusters(X: Any, n: int, n_clusters: int, seed: int) -> Iterable[tuple[str, NDArray[np.bool_]]]:
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    check_number("n_clusters", n_clusters, 2, integer=True)
    features = _standardised(_given(X, "features", "X", n))
    distinct = len(np.unique(features, axis=0))
    if distinct < n_clusters:
        raise UserError(f"{n_clusters} clusters need as many different rows of features, got {distinct} among {n} rows")
    with threadpool_limits(1):  # the order of sums would depend on the number of threads
        cluster_of_row = KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(features)
    return [(f"cluster {i + 1} of {n_clusters}", cluster_of_row == i) for i in range(n_clusters)]


def _standardised(inputs: FeatureInputs) -> NDArray[np.float64]:
    """Columns of mean 0 and std 1, shape (n, n_features); unknown features and constant columns are 0."""
    values = inputs.values.astype(np.float64)
    unknown = np.isnan(values)
    if np.isinf(values).any():
        raise UserError("leave-one-cluster-out needs finite features, some of X are infinite")
    known = np.maximum((~unknown).sum(axis=0), 1)
    centred = np.where(unknown, 0.0, values)
    centred = np.where(unknown, 0.0, values - centred.sum(axis=0) / known)
    std = np.sqrt((centred**2).sum(axis=0) / known)
    spread = std > 1e-12 * np.abs(np.where(unknown, 0.0, values)).max(axis=0, initial=0.0)
    return np.where(spread, centred / np.where(spread, std, 1.0), 0.0)


def _elements(compositions: Any, n: int) -> Iterable[tuple[str, NDArray[np.bool_]]]:
    from matscout.db._elements import symbols

    numbers = _given(compositions, "compositions", "compositions", n).numbers
    present = [number for number in np.unique(numbers).tolist() if number]
    order = sorted(present, key=lambda number: int((numbers == number).any(axis=1).argmax()))
    return [(symbols()[number], (numbers == number).any(axis=1)) for number in order]


def _prototypes(prototypes: ArrayLike | None, n: int) -> Iterable[tuple[str, NDArray[np.bool_]]]:
    if prototypes is None:
        raise UserError("leave-one-prototype-out needs the label of each row: give prototypes")
    labels = np.asarray(prototypes)
    numbers = numbered(labels, n, "prototype")
    return [(str(label), numbers == i) for i, label in enumerate(np.unique(labels))]


def _given(rows: Any, kind: Any, name: str, n: int) -> Any:
    if rows is None:
        raise UserError(f"this split scheme needs the {kind} of the rows: give {name}")
    inputs = as_inputs(kind, rows)
    if len(inputs) != n:
        raise UserError(f"expected {kind} of {n} rows in {name}, got {len(inputs)}")
    return inputs

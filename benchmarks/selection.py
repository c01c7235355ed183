"""Selection of columns and rows of a large matrix: time and memory, beside what one would write with other libraries.

    python benchmarks/selection.py [N_ROWS]

Both sides work on the same rows in the same process, one after the other, and must choose the same. What would take
long with the other library gets fewer rows, and so do we for that ratio. Memory is the largest beside the matrix
itself, where the system tells it.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse.linalg import svds
from sklearn.feature_selection import VarianceThreshold
from sklearn.metrics import pairwise_distances
from sklearn.preprocessing import StandardScaler

from matscout.featurizers.selection import (
    cur_columns,
    cur_rows,
    drop_constant,
    drop_correlated,
    farthest_columns,
    farthest_points,
)

if TYPE_CHECKING:
    from collections.abc import Callable

N_ROWS, N_COLUMNS = 1_000_000, 150
N_SLOW = 20_000  # rows for what is slow
N_FARTHEST, N_CUR = 10, 5
THRESHOLD = 0.95


class Measured(NamedTuple):
    """What a call gave, how long it took in s, and how much memory it took beside what was there, in GB."""

    answer: Any
    seconds: float
    memory: float


def measured(step: Callable[[], Any]) -> Measured:
    """Run a step once."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the largest size so far
    before = memory("VmRSS")
    start = time.perf_counter()
    answer = step()
    seconds = time.perf_counter() - start
    return Measured(answer, seconds, memory("VmHWM") - before)


def memory(kind: str) -> float:
    """Memory of this process in GB; NaN where the system does not tell."""
    status = Path("/proc/self/status")
    found = re.search(rf"^{kind}:\s+(\d+) kB", status.read_text(), re.MULTILINE) if status.exists() else None
    return int(found[1]) / 1e6 if found else float("nan")


def features(n_rows: int) -> np.ndarray:
    """Columns that follow 40 others, some of them nearly the same, five of them constant."""
    rng = np.random.default_rng(0)
    X = np.empty((n_rows, N_COLUMNS))
    mixing = rng.normal(size=(40, N_COLUMNS)) * (rng.random((40, N_COLUMNS)) < 0.1)
    for start in range(0, n_rows, 10_000):
        part = X[start : start + 10_000]
        part[:] = rng.normal(size=(len(part), 40)) @ mixing
        part += 0.1 * rng.normal(size=part.shape)
    X[:, ::30] = 3.0
    X[:, 7] = 2 * X[:, 3] + 1
    return X


def correlated(X: np.ndarray) -> list[int]:
    """Columns that stay, by pandas."""
    r = pd.DataFrame(X).corr().abs().to_numpy()
    kept: list[int] = []
    for column in range(X.shape[1]):
        if not kept or not (r[kept, column] >= THRESHOLD).any():
            kept.append(column)
    return kept


def farthest(X: np.ndarray) -> list[int]:
    """Farthest points, by scikit-learn."""
    first = int(np.random.default_rng(0).integers(len(X)))
    Z = StandardScaler().fit_transform(X)
    chosen, distance = [first], np.full(len(Z), np.inf)
    while len(chosen) < N_FARTHEST:
        distance = np.minimum(distance, pairwise_distances(Z, Z[chosen[-1:]])[:, 0])
        chosen.append(int(distance.argmax()))
    return chosen


def farthest_of_columns(X: np.ndarray) -> list[int]:
    """Farthest columns, by numpy."""
    with np.errstate(invalid="ignore"):
        each = 1 - np.abs(np.corrcoef(X, rowvar=False))
    varying = np.flatnonzero(~np.isnan(np.diagonal(each)))
    each = np.where(np.isnan(each), -1.0, each)
    chosen = [int(varying[np.random.default_rng(0).integers(len(varying))])]
    while len(chosen) < N_FARTHEST:
        distance = each[chosen].min(axis=0)
        distance[chosen] = -1.0
        chosen.append(int(distance.argmax()))
    return chosen


def cur(X: np.ndarray, *, columns: bool) -> list[int]:
    """CUR as it is defined, on a copy of the matrix, the leading singular vectors by scipy."""
    left = StandardScaler().fit_transform(X)
    start = np.random.default_rng(0).normal(size=min(left.shape))
    chosen: list[int] = []
    while len(chosen) < N_CUR:
        of_rows, _, of_columns = svds(left, k=1, v0=start)
        leverage = (of_columns[0] if columns else of_rows[:, 0]) ** 2
        chosen.append(int(leverage.argmax()))
        if columns:
            picked = left[:, chosen[-1]] / np.linalg.norm(left[:, chosen[-1]])
            left -= np.outer(picked, picked @ left)
        else:
            picked = left[chosen[-1]] / np.linalg.norm(left[chosen[-1]])
            left -= np.outer(left @ picked, picked)
    return chosen


class Case(NamedTuple):
    """A selection, and the same with other libraries, on so many rows where it is slow."""

    label: str
    ours: Callable[[np.ndarray], Any]
    other: str
    theirs: Callable[[np.ndarray], Any]
    n_rows: int | None = None


NAMES = [f"x{i}" for i in range(N_COLUMNS)]
CASES = (
    Case(
        "constant columns",
        lambda X: drop_constant(X, NAMES).kept.tolist(),
        "scikit-learn VarianceThreshold",
        lambda X: VarianceThreshold().fit(X).get_support(indices=True).tolist(),
    ),
    Case(
        "correlated columns",
        lambda X: drop_correlated(X, NAMES, THRESHOLD).kept.tolist(),
        "pandas corr",
        correlated,
        N_SLOW,
    ),
    Case(
        f"{N_FARTHEST} farthest points",
        lambda X: farthest_points(X, N_FARTHEST, seed=0).tolist(),
        "scikit-learn pairwise_distances",
        farthest,
    ),
    Case(
        f"{N_FARTHEST} farthest columns",
        lambda X: farthest_columns(X, N_FARTHEST, seed=0).tolist(),
        "numpy corrcoef",
        farthest_of_columns,
    ),
    Case(
        f"{N_CUR} columns by CUR",
        lambda X: cur_columns(X, N_CUR).indices.tolist(),
        "scipy svds on a copy",
        lambda X: cur(X, columns=True),
        N_SLOW,
    ),
    Case(
        f"{N_CUR} rows by CUR",
        lambda X: cur_rows(X, N_CUR).indices.tolist(),
        "scipy svds on a copy",
        lambda X: cur(X, columns=False),
        N_SLOW,
    ),
)


def main() -> int:
    """Print the table; 1 where two sides choose otherwise."""
    n_rows = int(sys.argv[1]) if len(sys.argv) > 1 else N_ROWS
    X = features(n_rows)
    print(f"{n_rows:,} x {N_COLUMNS} numbers, {X.nbytes / 1e9:.2f} GB")
    print(f"{'':22s}{'s':>7s}{'GB':>7s}   {'the same with':32s}{'rows':>10s}{'s':>8s}{'GB':>7s}{'times as long':>15s}")
    differ = False
    for case in CASES:
        whole = measured(lambda case=case: case.ours(X))
        part = X[: case.n_rows]
        a = whole if len(part) == len(X) else measured(lambda case=case, part=part: case.ours(part))
        b = measured(lambda case=case, part=part: case.theirs(part))
        print(f"{case.label:22s}{whole.seconds:7.2f}{whole.memory:7.2f}   {case.other:32s}{len(part):10,d}", end="")
        print(f"{b.seconds:8.2f}{b.memory:7.2f}{b.seconds / a.seconds:15.1f}", flush=True)
        if a.answer != b.answer:
            print(f"  DIFFERENT: {a.answer} and {b.answer}")
            differ = True
    return int(differ)


if __name__ == "__main__":
    sys.exit(main())

from __future__ import annotations

import numpy as np
import pytest

from matscout.models.validation import cross_validate, learning_curve, make_splits

FORMULAS = [f"{a}{x}" for a in ("Li", "Na", "K", "Rb", "Cs", "Cu", "Ag") for x in ("F", "Cl", "Br", "I", "H")]


@pytest.fixture(scope="session")
def salts():
    """Made-up energies of 70 salts, two prototypes each, in eV/atom: formulas, prototypes, features, energies."""
    rng = np.random.default_rng(0)
    formulas = FORMULAS * 2
    prototypes = ["rock-salt"] * 35 + ["CsCl"] * 35
    X = np.array([[i // 5, i % 5, prototype] for prototype in (0, 1) for i in range(35)], dtype=float)
    return formulas, prototypes, X, -2 + 0.1 * X[:, 0] + 0.2 * X[:, 1] + rng.normal(0, 0.1, 70)


@pytest.fixture(scope="session")
def validation(salts):
    formulas, _, X, y = salts
    splits = make_splits("k-fold", y, formulas, seed=1)
    return cross_validate("extra_trees", X, y, splits, groups=formulas, options={"n_trees": 10})


@pytest.fixture(scope="session")
def curve(salts):
    _, _, X, y = salts
    return learning_curve("extra_trees", X, y, sizes=[14, 28, 42, 56], repeats=2, options={"n_trees": 10})

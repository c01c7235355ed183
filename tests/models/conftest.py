"""Data with simple laws, of the three kinds that surrogates learn from, and every surrogate in a small size.

Also run by path in processes of their own: nothing here needs pytest's state.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from matscout.models import make_surrogate
from matscout.models.registry import surrogate_class

_NETWORK = {"n_members": 2, "epochs": 10, "batch_size": 30, "width": 16, "device": "cpu"}

#: Options that make a surrogate small: what holds for every size is shown with these.
SMALL = {
    "dummy": {},
    "ridge": {},
    "extra_trees": {"n_trees": 20},
    "random_forest": {"n_trees": 20},
    "adaboost_trees": {"n_rounds": 8, "n_trees": 2},
    "xgboost": {"n_members": 3, "n_trees": 20},
    "gaussian_process": {"max_iterations": 30, "device": "cpu"},
    "local_kriging": {"neighbours": 20},
    "composition_network": _NETWORK | {"n_layers": 1, "n_heads": 2},
    "crystal_graph": _NETWORK | {"n_convolutions": 2},
    "chgnet_transfer": {"device": "cpu"},
}

#: Options with which it learns more than the mean, where these are not its own defaults.
LEARNS = {
    "composition_network": SMALL["composition_network"] | {"epochs": 20},
    "crystal_graph": SMALL["crystal_graph"] | {"epochs": 40},
    "chgnet_transfer": SMALL["chgnet_transfer"],
    "local_kriging": SMALL["local_kriging"],
}

#: Rows to learn from and rows to predict, by kind.
ROWS = {"features": (120, 500), "compositions": (120, 200), "crystals": (80, 100)}

_NEAR = re.findall("[A-Z][a-z]?", "LiNaKMgCaSrAlGaSiGePSNOFClTiVCrMnFeCoNiCuZn")
_FAR = re.findall("[A-Z][a-z]?", "CsBaLaCeHfTaWReOsPtAuHgTlPbBiTeI")
_ANIONS = {False: ["O", "F", "N", "Cl"], True: ["Te", "I"]}


def features(n, seed, *, far=False):
    """Two of twenty features count; far ones lie at four times the distance from the middle."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 20)) * (4 if far else 1)
    return X, X[:, 0] + np.abs(X[:, 1]) + 0.1 * rng.normal(size=n)


@cache
def _electronegativity(symbol):
    from pymatgen.core import Element

    return float(Element(symbol).X)


def compositions(n, seed, *, far=False):
    """Formulas of two or three elements; the law knows mean and width of their electronegativities."""
    rng = np.random.default_rng(seed)
    formulas, y = [], np.empty(n)
    for row in range(n):
        elements = rng.choice(_FAR if far else _NEAR, int(rng.integers(2, 4)), replace=False).tolist()
        amounts = rng.integers(1, 5, len(elements)).tolist()
        formulas.append("".join(f"{element}{amount}" for element, amount in zip(elements, amounts, strict=True)))
        chi = np.array([_electronegativity(element) for element in elements])
        y[row] = np.average(chi, weights=amounts) - np.ptp(chi)
    return formulas, y + 0.02 * rng.normal(size=n)


def crystals(n, seed, *, far=False):
    """Cubic perovskites ABX3; the law knows the element of each site."""
    from pymatgen.core import Lattice, Structure

    rng = np.random.default_rng(seed)
    cations = [element for element in (_FAR if far else _NEAR) if element not in ("S", "N", "O", "F", "Cl", "Te", "I")]
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    structures, y = [], np.empty(n)
    for row in range(n):
        a, b = rng.choice(cations, 2, replace=False).tolist()
        x = str(rng.choice(_ANIONS[far]))
        length = 3.9 + 0.2 * (_electronegativity("O") - _electronegativity(x))
        structures.append(Structure(Lattice.cubic(length), [a, b, x, x, x], sites))
        y[row] = 0.5 * _electronegativity(a) + _electronegativity(b) - 0.7 * _electronegativity(x)
    return structures, y + 0.02 * rng.normal(size=n)


MAKERS = {"features": features, "compositions": compositions, "crystals": crystals}


def kind_of(name):
    return surrogate_class(name).takes


def data(name, n=None, seed=0, *, far=False):
    """Rows and targets of the kind that a surrogate takes, as many as are to be learnt from."""
    kind = kind_of(name)
    return MAKERS[kind](ROWS[kind][0] if n is None else n, seed, far=far)


def unseen(name, *, far=False):
    """Rows and targets to be predicted."""
    return data(name, ROWS[kind_of(name)][1], 1, far=far)


def small(name, **options):
    """A calibrated surrogate of small size."""
    return make_surrogate(name, **(SMALL.get(name, {}) | options))


def bare(name, **options):
    """The same without calibration."""
    return surrogate_class(name)(**(SMALL.get(name, {}) | options))


def full(name, **options):
    """A calibrated surrogate of full size."""
    return make_surrogate(name, **(LEARNS.get(name, {}) | options))


def groups(y):
    """A label of each row: those of five neighbours are one."""
    return np.arange(len(y)) // 5


def bits(prediction):
    """Hash of all that a prediction says, to the last bit."""
    digest = hashlib.sha256()
    for part in ("mean", "std", "aleatoric", "epistemic"):
        value = getattr(prediction, part)
        digest.update(b"none" if value is None else value.tobytes())
    return digest.hexdigest()


@pytest.fixture(scope="session")
def kit():
    """Makers of data and of small surrogates, and the file that a process of its own can run for them."""
    return SimpleNamespace(
        data=data,
        unseen=unseen,
        groups=groups,
        small=small,
        bare=bare,
        full=full,
        bits=bits,
        file=str(Path(__file__)),
    )

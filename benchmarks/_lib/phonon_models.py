"""Highest peak of the phonon density of states of 1,265 crystals, on the official folds of Matbench.

Dunn et al., npj Comput. Mater. 6, 138 (2020), doi:10.1038/s41524-020-00406-3; Petretto et al., Sci. Data 5, 180065
(2018), doi:10.1038/sdata.2018.65. The published scores are of models that were given the relaxed crystals, and so are
the first of ours. The others are given each crystal at the volume that is predicted from its elements and its shape;
they flatter, since the shape is still the relaxed one, and the law of volumes was fitted to these crystals, too. The
peaks are learnt as logarithms. CHGNet, whose force constants are among the features, has seen relaxations of many of
these crystals, but no phonons.
"""

from __future__ import annotations

import gzip
import json
import time
from typing import Any

import numpy as np
from _lib.figures import Clock, Figure, in_seconds
from _lib.learning_data import MATBENCH, features, mae, mean_over_folds, official_splits
from pymatgen.core.structure import Structure

from matscout.crystals.crystal import Crystal
from matscout.crystals.volume import predict_volume
from matscout.models import make_surrogate
from matscout.models.validation import cross_validate, make_splits

SETS = ("chgnet_phonons", "magpie")
MODELS: dict[str, dict[str, Any]] = {
    "gaussian_process": {"n_threads": 2, "seed": 0},
    "extra_trees": {"n_trees": 300, "n_threads": 2, "seed": 0},
}
PUBLISHED = {"random forest": 67.6, "CGCNN": 57.8, "MODNet": 34.3, "best": 28.8}
SUBSET: int | None = None
"""Crystals of a trial; None for all."""


def phonons() -> list[Figure]:
    """Score each surrogate on both inputs; the features, which take long, are kept in the user's cache."""
    structures, y = _read()
    figures = []
    for given, crystals in (
        ("relaxed crystals", structures),
        ("crystals at their predicted volume", [_unrelaxed(one) for one in structures]),
    ):
        start = time.perf_counter()
        X = features(crystals, SETS)
        seconds = time.perf_counter() - start
        for name, options in MODELS.items():
            first = name == "gaussian_process" and crystals is structures
            figures.append(_scored(name, options, X, y, given, 31.0 if first else None, seconds))
    return figures


def _scored(
    name: str, options: dict[str, Any], X: Any, y: np.ndarray, given: str, at_most: float | None, seconds: float
) -> Figure:
    splits = official_splits("phonons", len(y)) if SUBSET is None else make_splits("k-fold", len(y))
    with Clock() as clock:
        validation = cross_validate(lambda: make_surrogate(name, **options).surrogate, X, np.log(y), splits)
    return Figure(
        task=f"phonons: highest peak, official folds, {given}, MAE in 1/cm",
        model=f"{name}, {' and '.join(SETS)}",
        score=mean_over_folds(lambda truth, mean: mae(np.exp(truth), np.exp(mean)), validation, np.log(y)),
        at_most=at_most,
        published=PUBLISHED,
        seconds=float(np.mean(validation.fit_seconds)),
        processor_seconds=clock.processor_seconds / len(splits),
        n_threads=options["n_threads"],
        note=f"features in {in_seconds(seconds)}, or from the cache",
        options=options,
    )


def _read() -> tuple[list[Structure], np.ndarray]:
    """Crystals, and the peaks in 1/cm."""
    with gzip.open(MATBENCH / "phonons_structures.json.gz", "rt") as file:
        rows = json.load(file)["data"][:SUBSET]
    return [Structure.from_dict(row[0]) for row in rows], np.array([float(row[1]) for row in rows])


def _unrelaxed(structure: Structure) -> Structure:
    """Return a crystal at its own shape and the volume that is predicted for it."""
    scaled = structure.copy()
    scaled.scale_lattice(predict_volume(Crystal.from_structure(structure)) * len(structure))
    return scaled

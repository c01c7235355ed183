"""Formation energies of 72,261 compounds from their compositions, and the stability labels that follow from them.

Bartel et al., npj Comput. Mater. 6, 97 (2020), doi:10.1038/s41524-020-00362-y. The train part teaches; the validation
part is predicted once. Beside what a composition says by itself there are columns that look at the train part, for each
of its compounds without that compound: the hull about it (`hull_surroundings`), and kriging from the nearest compounds
(`local_kriging`), of the energy and of its height above that hull.
"""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from _lib.figures import Clock, Figure
from _lib.learning_data import Columns, features, mae, read_critexam, varying
from matscout.models import make_surrogate
from matscout.models.inputs import FeatureInputs
from matscout.models.report.stability import StabilityScores, stability_scores
from matscout.workflows.stability import Hull, hull_surroundings

KEPT = Path(__file__).resolve().parents[1] / "data"
NETWORK_SCORES = KEPT / "composition_network.json"
NETWORK_PREDICTIONS = KEPT / "composition_network_val.csv.gz"

SETS = ("ordered_elements", "charge_balance", "fractions", "stoichiometry")
MOST_SECONDS = 180.0  # for the fit with all that it looks at, on two cores
TREES: dict[str, Any] = {
    "n_members": 2,
    "n_trees": 300,
    "learning_rate": 0.06,
    "max_depth": 9,
    "min_child_weight": 3.0,
    "row_fraction": 0.8,
    "column_fraction": 0.25,
    "missing": "native",
    "n_threads": 2,
    "seed": 0,
}
PUBLISHED_MAE = {"Roost": 0.0547, "CrabNet": 0.0593, "ElemNet": 0.0706, "xgboost untuned": 0.080, "forest": 0.0997}
PUBLISHED_F1 = {"Roost": 0.721, "xgboost untuned": 0.688, "forest": 0.567}
SUBSET: int | None = None
"""Rows of each part in a trial; None for all."""


@dataclass(frozen=True, eq=False)
class Parts:
    """The two parts.

    Attributes
    ----------
    train, val
        Formation energies in eV/atom.
    clock
        Measures what the columns of the train part cost.
    """

    train: Columns
    val: Columns
    clock: Clock

    @classmethod
    def read(cls) -> Parts:
        """Read both."""
        parts = [read_critexam("Ef", name) for name in ("train", "val")]
        if SUBSET is not None:
            parts = [part.take(np.arange(min(SUBSET, len(part)))) for part in parts]
        return cls(*parts, Clock())

    @cached_property
    def hull(self) -> Hull:
        """The hull of the train part."""
        return Hull(self.train.formulas, self.train.target, formation_energies=True)

    @cached_property
    def inputs(self) -> tuple[FeatureInputs, FeatureInputs]:
        """Columns of both parts; those of the train part, as a training pays them, are timed."""
        with self.clock:
            own = features(self.train.formulas, SETS, single=True)
            around = hull_surroundings(self.hull, self.train.formulas)
            kriged = self._kriged(around.values[:, 0])
        learnt = _joined(own, around.values, around.names, *(one.leave_one_out() for one in kriged))
        unseen = features(self.val.formulas, SETS, single=True)
        around = hull_surroundings(self.hull, self.val.formulas)
        asked = _joined(unseen, around.values, around.names, *(one.predict(self.val.formulas) for one in kriged))
        return learnt, asked

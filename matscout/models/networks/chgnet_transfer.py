"""What CHGNet learnt from relaxations of known crystals, put to another use: the choice for little data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from typing_extensions import override

from matscout.errors import UserError
from matscout.featurizers.descriptors._chgnet import MODELS
from matscout.models.inputs import FeatureInputs
from matscout.models.networks.chgnet_vectors import NAMES, vectors_of
from matscout.models.networks.network_surrogate import NetworkSurrogate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from matscout.models.base import Surrogate
    from matscout.models.inputs import CrystalInputs, InputKind, Inputs
    from matscout.models.networks.chgnet_layers import ReadOut, SiteRows
    from matscout.models.networks.outputs import Rows
    from matscout.models.prediction import Prediction

HEADS = ("gaussian_process", "ridge", "extra_trees", "random_forest", "xgboost")
"""Surrogates of features that can stand behind CHGNet's vectors."""

_HEAD = "head"


@dataclass(kw_only=True)
class CHGNetTransfer(NetworkSurrogate):
    """CHGNet's packaged weights, transferred to another target.

    In the mode ``embedding`` CHGNet's vectors of crystal and atoms and its energies are features of another surrogate,
    the head. In the mode ``fine-tune`` the layers that CHGNet reads an atom's energy by are trained further, by an
    ensemble; its convolutions stay as they are. That wants more rows than a head does. How a crystal is turned,
    shifted, numbered or its cell chosen makes no difference to what single precision leaves of that.

    CHGNet has seen the relaxed energies of the Materials Project: for a crystal that was among them a score tells
    nothing about new ones. It costs one pass of the network per crystal, milliseconds to tens of them, on the CPU. Of
    the `MOST_KEPT` crystals asked for last what was computed is kept while the process lives, so that a campaign's next
    fit pays for new crystals alone.

    Deng et al., Nat. Mach. Intell. 5, 1031 (2023), doi:10.1038/s42256-023-00716-3.

    Parameters
    ----------
    mode
        ``embedding`` or ``fine-tune``.
    head
        Of the mode ``embedding``: gaussian_process, ridge, extra_trees, random_forest or xgboost, with the options it
        has by itself; ``auto`` takes the first one, or ridge for a classification, which that one does not learn.
    model
        Which of the packaged weights: 0.3.0, 0.2.0 or r2scan.
    epochs, learning_rate, patience
        Of the mode ``fine-tune``, as all the options of `NetworkSurrogate`.

    Raises
    ------
    UserError
        CHGNet cannot take a crystal: one with elements that it never saw (Po, At, Rn, Fr, Ra and those beyond Pu), an
        atom without neighbours, or so dense that its graph would not fit into memory. The message names the row.
    """

    name: ClassVar[str] = "chgnet_transfer"
    takes: ClassVar[InputKind] = "crystals"
    packages: ClassVar[tuple[str, ...]] = ("torch", "chgnet")

    epochs: int = 200
    learning_rate: float = 3e-3
    patience: int = 60
    mode: str = "embedding"
    head: str = "auto"
    model: str = "0.3.0"

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_choice("mode", self.mode, ("embedding", "fine-tune"))
        self.check_choice("head", self.head, ("auto", *HEADS))
        self.check_choice("model", self.model, MODELS)
        if self.mode == "embedding":
            self._head: Surrogate = self._new_head()

    def _new_head(self) -> Surrogate:
        from matscout.models.registry import surrogate_class

        automatic = "ridge" if self.task == "classification" else "gaussian_process"
        kind = surrogate_class(automatic if self.head == "auto" else self.head)
        if self.task not in kind.tasks:
            fitting = [name for name in HEADS if self.task in surrogate_class(name).tasks]
            raise UserError(f"option head: {self.head} learns no {self.task}; take {' or '.join(fitting)}")
        return kind(seed=self.seed, task=self.task)

    @override
    def _fit(self, inputs: Inputs, y: NDArray[np.float64], groups: NDArray[np.intp] | None) -> None:
        if self.mode == "fine-tune":
            super()._fit(inputs, y, groups)
            return
        self._head = self._new_head().fit(self._features(cast("CrystalInputs", inputs)), y, groups)

    @override
    def _predict(self, inputs: Inputs) -> Prediction:
        if self.mode == "fine-tune":
            return super()._predict(inputs)
        return self._head.predict(self._features(cast("CrystalInputs", inputs)))

    @override
    def _save(self, folder: Path) -> dict[str, Any]:
        if self.mode == "fine-tune":
            return super()._save(folder)
        self._head.save(folder / _HEAD)
        return {}

    @override
    def _load(self, folder: Path, state: Mapping[str, Any]) -> None:
        if self.mode == "fine-tune":
            super()._load(folder, state)
            return
        from matscout.models.registry import load_surrogate

        self._head = load_surrogate(folder / _HEAD)

    def _features(self, inputs: CrystalInputs) -> FeatureInputs:
        columns = [vectors.columns for vectors in vectors_of(inputs.crystals(), self.model)]
        values = np.stack(columns) if columns else np.empty((0, len(NAMES)))
        return FeatureInputs(values, NAMES)

    @override
    def _rows(self, inputs: CrystalInputs) -> SiteRows:
        from matscout.models.networks.chgnet_layers import SiteRows

        return SiteRows(vectors_of(inputs.crystals(), self.model))

    @override
    def _network(self, rows: Rows | None) -> ReadOut:
        from matscout.models.networks.chgnet_layers import ReadOut

        return ReadOut(self.model)

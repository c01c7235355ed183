"""What CHGNet makes of crystals, one pass of the network each, kept for the next time. Torch is imported when asked."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matscout.crystals.crystal import Crystal
from matscout.errors import UserError
from matscout.featurizers.descriptors._chgnet import (
    check_installed,
    checked_cell,
    graph_of,
    packaged_network,
    refuse_elements,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from numpy.typing import NDArray

MOST_KEPT = 20_000
"""Crystals whose vectors a process keeps: some kilobytes each."""

_WIDTH = 64

NAMES = (
    *(f"crystal {i}" for i in range(_WIDTH)),
    *(f"atom {pool} {i}" for pool in ("mean", "std") for i in range(_WIDTH)),
    "energy",
    "interaction energy",
)
"""Columns of `Vectors.columns`."""


class Vectors(NamedTuple):
    """What the network says of a crystal.

    Attributes
    ----------
    columns
        Shape (194,), see `NAMES`: what the energy is read from, per atom; mean and std over the atoms of their vectors
        before the last convolution; energy, and energy less what CHGNet's sum over elements gives, eV/atom.
    of_sites
        Vectors that each site's energy is read from, before any normalisation, shape (n_sites, 64), in the order of
        the crystal's sites.
    """

    columns: NDArray[np.float64]
    of_sites: NDArray[np.float32]


def vectors_of(crystals: Iterable[Crystal], model: str) -> list[Vectors]:
    """Ask CHGNet for each crystal.

    Raises
    ------
    UserError
        chgnet is not installed, or cannot take a crystal: the message names its row and formula.
    """
    check_installed("the surrogate chgnet_transfer")
    found = []
    for row, crystal in enumerate(crystals):
        places = (np.asarray(array, dtype=np.float64).tobytes() for array in (crystal.lattice, crystal.frac_coords))
        try:
            found.append(_vectors(model, *places, np.asarray(crystal.numbers, dtype=np.int64).tobytes()))
        except UserError as error:
            raise UserError(f"row {row}, {crystal.formula}: {error}") from error
    return found


@lru_cache(maxsize=MOST_KEPT)
def _vectors(model: str, lattice: bytes, frac_coords: bytes, numbers: bytes) -> Vectors:
    """Ask for one crystal, by its arrays; several at a time would have other last digits."""
    crystal = Crystal(
        np.frombuffer(lattice).reshape(3, 3),
        np.frombuffer(frac_coords).reshape(-1, 3),
        np.frombuffer(numbers, dtype=np.int64),
    )
    refuse_elements(crystal)
    with packaged_network(model) as network:
        return _passed(network, checked_cell(crystal, network))


def _passed(network: Any, crystal: Crystal) -> Vectors:
    import torch

    seen: list[torch.Tensor] = []

    def keep(_module: torch.nn.Module, given: tuple[torch.Tensor]) -> None:
        seen.append(given[0].detach())

    graph = graph_of(network, crystal)
    first = network.mlp if network.readout_norm is None else network.readout_norm  # 0.2.0 has none
    hook = first.register_forward_pre_hook(keep)
    try:
        with torch.no_grad():
            found = network([graph], task="e", return_atom_feas=True, return_crystal_feas=True)
            of_elements = float(network.composition_model([graph])[0])
    finally:
        hook.remove()
    atoms = found["atom_fea"][0].numpy().astype(np.float64)
    energy = float(found["e"][0])
    of_crystal = found["crystal_fea"][0].numpy().astype(np.float64) / len(crystal)
    columns = np.concatenate([of_crystal, atoms.mean(axis=0), atoms.std(axis=0), [energy, energy - of_elements]])
    return Vectors(columns, seen[0].numpy().copy())

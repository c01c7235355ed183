"""What a neural network makes of a crystal on the way to its energy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.featurizers.base import Descriptor
from matscout.featurizers.descriptors._chgnet import (
    CHGNET_CITATION,
    check_installed,
    check_model,
    checked_cell,
    graph_of,
    packaged_network,
    refuse_elements,
)
from matscout.featurizers.descriptors._options import checked_names
from matscout.featurizers.descriptors._surroundings import POOLS, pooled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matscout.crystals.crystal import Crystal

_WIDTH = 64  # numbers per atom


class ChgnetEmbedding(Descriptor):
    """CHGNet's learned vectors of a crystal and of its atoms, as numbers to learn from.

    The crystal's vector is that which CHGNet reads its energy from, per atom; CHGNet itself adds the atoms up. The
    atoms' vectors are those before the last convolution, from which it reads magnetic moments; of each of their 64
    numbers, mean and standard deviation over the atoms are taken. They do not depend on how the crystal is turned,
    shifted, numbered or its cell chosen, to what single precision leaves of that. They do depend on its volume.

    .. warning::
       **CHGNet has seen the answer.** It was trained on the energies of the Materials Project's relaxations. For a
       crystal that was among them, its vector is a memory of that energy, and a score of a surrogate on such crystals
       tells nothing about new ones. And it costs milliseconds a crystal, one pass of the network, as much as CHGNet's
       own energy: it is of no use where that energy is the calculation to be replaced.

    It is always computed on the CPU and by one thread: a GPU, or another number of threads, would change the last
    digits, and with them choices that follow.

    Parameters
    ----------
    pool
        How the atoms' numbers become the crystal's: any of mean, std, min, max.
    model
        Which of the packaged weights: 0.3.0, 0.2.0 or r2scan.

    Notes
    -----
    It sees distances and angles alone, so that it gives a crystal and its mirror image the same numbers. Each of its
    four steps reaches 6 Å (5 Å in 0.2.0) far: groups of atoms farther from one another are described as if each stood
    alone.

    A crystal is refused that has an atom without a neighbour within that distance, less than 2 Å^3 per atom, or an
    element that CHGNet was never trained with: Po, At, Rn, Fr, Ra, and those beyond Pu.

    Raises
    ------
    UserError
        An option has a value it cannot take; at the first crystal, if chgnet is not installed.

    References
    ----------
    Deng et al., Nat. Mach. Intell. 5, 1031 (2023), doi:10.1038/s42256-023-00716-3.
    """

    citations = (CHGNET_CITATION,)
    software = ("chgnet", "torch")

    def __init__(self, *, pool: Sequence[str] = ("mean", "std"), model: str = "0.3.0") -> None:
        check_model("chgnet", model)
        self._pools = checked_names("pool", pool, tuple(POOLS))
        self._model = model
        kinds = ("crystal", *(f"atom {name}" for name in self._pools))
        self.names = tuple(f"chgnet {kind} {i}" for kind in kinds for i in range(_WIDTH))
        self.units = ("",) * len(self.names)

    def check_installed(self) -> None:
        """See `Descriptor`."""
        check_installed("the descriptor chgnet")

    def describe(self, crystal: Crystal) -> NDArray[np.float64]:
        """See the class."""
        self.check_installed()
        refuse_elements(crystal)
        with packaged_network(self._model) as network:
            crystal = checked_cell(crystal, network)
            of_crystal, of_atoms = _vectors(network, crystal)
        return np.concatenate([of_crystal / len(crystal), pooled(of_atoms, self._pools)])


def _vectors(network: Any, crystal: Crystal) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum of the atoms' last vectors, shape (64,), and the vectors before, shape (n_sites, 64)."""
    import torch

    with torch.no_grad():
        found = network([graph_of(network, crystal)], task="e", return_atom_feas=True, return_crystal_feas=True)
    return found["crystal_fea"][0].numpy().astype(float), found["atom_fea"][0].numpy().astype(float)

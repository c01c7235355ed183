"""What a neural network makes of a crystal on the way to its energy."""

from __future__ import annotations

import contextlib
import io
import threading
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.db._elements import symbols
from matscout.errors import UserError
from matscout.featurizers.base import Descriptor
from matscout.featurizers.descriptors._options import checked_names
from matscout.featurizers.descriptors._surroundings import (
    POOLS,
    compact,
    neighbours_within,
    pooled,
    refuse_dense,
    refuse_large,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matscout.crystals.crystal import Crystal

CHGNET_CITATION = (
    "Deng, Zhong, Jun, Riebesell, Han, Bartel, Ceder, CHGNet as a pretrained universal neural network potential for "
    "charge-informed atomistic modelling, Nat. Mach. Intell. 5, 1031 (2023), doi:10.1038/s42256-023-00716-3"
)

MODELS = ("0.3.0", "0.2.0", "r2scan")
"""Editions of the weights that come inside the package chgnet."""

MOST_ANGLES = 500_000
"""Angles between bonds in one cell; with many more, the network would not fit into memory."""

_WIDTH = 64  # numbers per atom
_HEAVIEST = 94
_NEVER_SEEN = (
    84,
    85,
    86,
    87,
    88,
)  # Po, At, Rn, Fr, Ra: their weights are still the random ones the training began with

# torch's number of threads and Python's standard output belong to the whole process.
_ONE_AT_A_TIME = threading.Lock()


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
        if model not in MODELS:
            raise UserError(f"chgnet: unknown model {model!r}. Known: {', '.join(MODELS)}.")
        self._pools = checked_names("pool", pool, tuple(POOLS))
        self._model = model
        kinds = ("crystal", *(f"atom {name}" for name in self._pools))
        self.names = tuple(f"chgnet {kind} {i}" for kind in kinds for i in range(_WIDTH))
        self.units = ("",) * len(self.names)

    def check_installed(self) -> None:
        """See `Descriptor`."""
        if not all(find_spec(package) for package in ("chgnet", "torch")):
            raise UserError("the descriptor chgnet needs chgnet and torch: pip install 'matscout[gnn]'")

    def describe(self, crystal: Crystal) -> NDArray[np.float64]:
        """See the class."""
        self.check_installed()
        _refuse_elements(crystal)
        refuse_dense(crystal)
        crystal = compact(crystal)
        with _ONE_AT_A_TIME:
            network = _network(self._model)
            _refuse_surroundings(crystal, network.graph_converter)
            of_crystal, of_atoms = _vectors(network, crystal)
        return np.concatenate([of_crystal / len(crystal), pooled(of_atoms, self._pools)])


def _refuse_elements(crystal: Crystal) -> None:
    strange = sorted(z for z in set(crystal.numbers.tolist()) if z > _HEAVIEST or z in _NEVER_SEEN)
    if strange:
        raise UserError(f"CHGNet was never trained with {', '.join(symbols()[z] for z in strange)}")


def _refuse_surroundings(crystal: Crystal, converter: Any) -> None:
    """Refuse atoms without neighbours, of which there is no graph, and graphs that do not fit into memory."""
    refuse_large(crystal, converter.atom_graph_cutoff)
    centres, _, distances = neighbours_within(crystal, converter.atom_graph_cutoff)
    alone = np.flatnonzero(np.bincount(centres, minlength=len(crystal)) == 0)
    if len(alone):
        symbol = symbols()[crystal.numbers[alone[0]]]
        raise UserError(
            f"the {symbol} atom on site {alone[0]} has no neighbour within {converter.atom_graph_cutoff:g} Å, "
            "as far as CHGNet sees"
        )
    bonds = np.bincount(centres[distances <= converter.bond_graph_cutoff], minlength=len(crystal))
    angles = int((bonds * (bonds - 1)).sum())
    if angles > MOST_ANGLES:
        raise UserError(f"{angles} angles between bonds, more than {MOST_ANGLES}: take the primitive cell")


@cache
def _network(model: str) -> Any:
    """Load CHGNet once per process, and quietly: it prints what it loads."""
    from chgnet.model.model import CHGNet

    with contextlib.redirect_stdout(io.StringIO()):
        network = CHGNet.load(model_name=model, use_device="cpu", verbose=False)
    return network.eval()


def _vectors(network: Any, crystal: Crystal) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum of the atoms' last vectors, shape (64,), and the vectors before, shape (n_sites, 64)."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            graph = network.graph_converter(_unwritten(crystal))
            found = network([graph], task="e", return_atom_feas=True, return_crystal_feas=True)
    finally:
        torch.set_num_threads(threads)
    return found["crystal_fea"][0].numpy().astype(float), found["atom_fea"][0].numpy().astype(float)


def _unwritten(crystal: Crystal) -> Any:
    """Build a pymatgen structure that writes no file: chgnet leaves those it fails on in the working directory."""
    structure = crystal.structure()
    vars(structure)["to"] = lambda *_, **__: ""
    return structure

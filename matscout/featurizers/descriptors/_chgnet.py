"""The packaged network CHGNet, loaded once, quietly, and kept away from cells that it cannot take.

What needs torch is imported when it is called.
"""

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
from matscout.featurizers.descriptors._surroundings import compact, neighbours_within, refuse_dense, refuse_large

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matscout.crystals.crystal import Crystal

CHGNET_CITATION = (
    "Deng, Zhong, Jun, Riebesell, Han, Bartel, Ceder, CHGNet as a pretrained universal neural network potential for "
    "charge-informed atomistic modelling, Nat. Mach. Intell. 5, 1031 (2023), doi:10.1038/s42256-023-00716-3"
)

MODELS = ("0.3.0", "0.2.0", "r2scan")
"""Editions of the weights that come inside the package chgnet."""

MOST_ANGLES = 500_000
"""Angles between bonds in one cell; with many more, the network would not fit into memory."""

HEAVIEST = 94
"""Atomic number of the heaviest element that it has weights for (plutonium)."""

NEVER_SEEN = (84, 85, 86, 87, 88)
"""Po, At, Rn, Fr, Ra: their weights are still the random ones the training began with."""

# torch's number of threads and Python's standard output belong to the whole process.
_ONE_AT_A_TIME = threading.Lock()


def check_installed(wanted_by: str) -> None:
    """Refuse to work without CHGNet.

    Raises
    ------
    UserError
        chgnet or torch is not there; the message says who needs it and how to install it.
    """
    if not all(find_spec(package) for package in ("chgnet", "torch")):
        raise UserError(f"{wanted_by} needs chgnet and torch: pip install 'matscout[gnn]'")


def check_model(wanted_by: str, model: str) -> None:
    """Refuse weights that are not packaged.

    Raises
    ------
    UserError
        There are none of that name.
    """
    if model not in MODELS:
        raise UserError(f"{wanted_by}: unknown model {model!r}. Known: {', '.join(MODELS)}.")


def checked_cell(crystal: Crystal, network: Any) -> Crystal:
    """Return a crystal in a compact cell, if CHGNet can take it.

    Raises
    ------
    UserError
        It is too dense, has an atom without neighbours, of which there is no graph, or its graph does not fit into
        memory.
    """
    refuse_dense(crystal)
    crystal, converter = compact(crystal), network.graph_converter
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
    return crystal


def refuse_elements(crystal: Crystal) -> None:
    """Refuse elements that CHGNet never saw.

    Raises
    ------
    UserError
        There is one; the message names it.
    """
    strange = sorted(z for z in set(crystal.numbers.tolist()) if z > HEAVIEST or z in NEVER_SEEN)
    if strange:
        raise UserError(f"CHGNet was never trained with {', '.join(symbols()[z] for z in strange)}")


@contextlib.contextmanager
def packaged_network(model: str) -> Iterator[Any]:
    """Give CHGNet on the CPU, to one caller at a time and by one thread: more would change the last digits."""
    import torch

    with _ONE_AT_A_TIME:
        network = loaded(model)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield network
        finally:
            torch.set_num_threads(threads)


@cache
def loaded(model: str) -> Any:
    """Load CHGNet once per process, and quietly: it prints what it loads. Its weights are not to be changed."""
    from chgnet.model.model import CHGNet

    with contextlib.redirect_stdout(io.StringIO()):
        network = CHGNet.load(model_name=model, use_device="cpu", verbose=False)
    return network.eval().requires_grad_(requires_grad=False)


def graph_of(network: Any, crystal: Crystal) -> Any:
    """Build CHGNet's graph of a checked cell, and no file: chgnet writes one of each cell it fails on."""
    structure = crystal.structure()
    vars(structure)["to"] = lambda *_, **__: ""
    return network.graph_converter(structure)

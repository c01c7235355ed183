"""How stiff CHGNet takes a crystal to be: its vibrations at the centre of the Brillouin zone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.errors import UserError
from matscout.featurizers.base import SYMMETRY, Descriptor
from matscout.featurizers.descriptors._chgnet import (
    CHGNET_CITATION,
    check_installed,
    check_model,
    checked_cell,
    graph_of,
    packaged_network,
    refuse_elements,
)
from matscout.featurizers.descriptors._force_constants import WAVENUMBER, Symmetry, frequencies
from matscout.featurizers.descriptors._primitive import primitive_cell

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.crystals.crystal import Crystal

    Floats = NDArray[np.float64]

MOST_SITES = 60
"""Atoms of a primitive cell; the time grows as their square."""

_EDGES_AT_ONCE = 20_000  # angles or bonds of the copies that are computed together
_SAME_PLACE = 0.01  # Å, of atoms that a translation joins
_IMAGINARY = -10.0  # 1/cm; what is nearer to 0 is rounding
_SAME_FREQUENCY = 0.5  # 1/cm
_COLUMNS = (
    *((f"frequency {which}", "1/cm") for which in ("highest", "second", "third", "fourth", "sixth")),
    *((f"frequency {which}", "1/cm") for which in ("mean", "rms", "upper quartile", "median", "lowest")),
    ("imaginary share", ""),
    *((f"site frequency {which}", "1/cm") for which in ("highest", "mean", "stiffest highest", "stiffest mean")),
    *((f"force constant {which}", "eV/Å^2") for which in ("highest", "mean", "lowest")),
    *((f"highest mode {which}", unit) for which, unit in (("mass", "u"), ("largest part", ""), ("sites", ""))),
    ("force highest", "eV/Å"),
    ("force mean", "eV/Å"),
    *((f"highest mode {i}", "") for i in range(64)),
)


class ChgnetPhonons(Descriptor):
    """Frequencies of vibration in which all cells move alike, and force constants, as CHGNet has them.

    The atoms of the primitive cell are displaced by both signs of a small step, those that symmetry does not give
    from others, and the forces give the force constants (finite differences; the cell is not relaxed, nor repeated, so
    that it is the centre of the Brillouin zone alone, without the splitting of longitudinal and transverse modes in
    polar crystals). CHGNet is too soft: it has learnt from structures near their minima, and its frequencies want a
    factor that a surrogate learns (Deng et al., npj Comput. Mater. 11, 9 (2025), doi:10.1038/s41524-024-01500-6).

    Frequencies of a site are those it would have if all others stood still: the mean over directions, and of the
    stiffest one. Of the highest mode it is told which mass moves, the largest part that one atom has in it, and on how
    many atoms it is spread, and the mean of the vectors (see `ChgnetEmbedding`) of the atoms that move. Forces are
    those on the atoms where they are.

    It costs some tens of CHGNet's evaluations of forces per crystal: milliseconds to seconds on one core.

    Parameters
    ----------
    displacement
        Å.
    model
        Which of the packaged weights: 0.3.0, 0.2.0 or r2scan.

    Notes
    -----
    Imaginary frequencies are negative numbers; the mean leaves them out, the root mean square counts them as 0, and so
    do the frequencies of sites. The three modes in which the whole crystal moves are left out, but where a cell has no
    others they are all there is, 0. Where there is no third, fourth or sixth mode, the lowest stands there. A crystal
    is refused for the reasons that `ChgnetEmbedding` names, and for more than `MOST_SITES` atoms in the primitive cell.
    Always computed on the CPU and by one thread.

    Raises
    ------
    UserError
        An option has a value it cannot take; at the first crystal, if chgnet is not installed.

    References
    ----------
    Deng et al., Nat. Mach. Intell. 5, 1031 (2023), doi:10.1038/s42256-023-00716-3.
    """

    citations = (CHGNET_CITATION,)
    software = ("chgnet", "torch", *SYMMETRY)

    def __init__(self, *, displacement: float = 0.05, model: str = "0.3.0") -> None:
        check_model("chgnet_phonons", model)
        number = isinstance(displacement, (int, float)) and not isinstance(displacement, bool)
        if not number or not 1e-3 <= displacement <= 0.3:
            raise UserError(f"chgnet_phonons: displacement must be 0.001 to 0.3 Å, got {displacement!r}")
        self._displacement = float(displacement)
        self._model = model
        self.names = tuple(f"phonon {name}" for name, _ in _COLUMNS)
        self.units = tuple(unit for _, unit in _COLUMNS)

    def check_installed(self) -> None:
        """See `Descriptor`."""
        check_installed("the descriptor chgnet_phonons")

    def describe(self, crystal: Crystal) -> Floats:
        """See the class."""
        self.check_installed()
        refuse_elements(crystal)
        crystal = primitive_cell(crystal, _SAME_PLACE)
        if len(crystal) > MOST_SITES:
            raise UserError(f"{len(crystal)} atoms in the primitive cell, more than {MOST_SITES}")
        with packaged_network(self._model) as network:
            crystal = checked_cell(crystal, network)
            constants, forces = force_constants(network, crystal, self._displacement)
            of_atoms = vectors_of_atoms(network, crystal)
        return numbers_of(constants, forces, _masses(crystal), of_atoms)


def force_constants(network: Any, crystal: Crystal, displacement: float) -> tuple[Floats, Floats]:
    """Force constants of a checked cell, eV/Å^2, shape (n, 3, n, 3), and forces where the atoms are, (n, 3), eV/Å."""
    symmetry = Symmetry.of(crystal)
    chosen = symmetry.displacements(crystal.lattice)
    inverse = np.linalg.inv(crystal.lattice)
    coords = [crystal.frac_coords]
    for one in chosen:
        for sign in (1, -1) if one.both else (1,):
            moved = crystal.frac_coords.copy()
            moved[one.atom] += sign * displacement * one.direction @ inverse
            coords.append(moved)
    here, *there = forces_of_copies(network, crystal, np.stack(coords))
    answers, place = [], 0
    for one in chosen:
        # where an operation turns a displacement round, the fit to all operations is that to both signs
        against = there[place + 1] if one.both else here
        answers.append((there[place] - against) / (displacement * (2 if one.both else 1)))
        place += 2 if one.both else 1
    return symmetry.force_constants(chosen, np.stack(answers)), here


def forces_of_copies(network: Any, crystal: Crystal, frac_coords: Floats) -> Floats:
    """Compute the forces on atoms moved a little, eV/Å.

    All copies have the bonds of the crystal where it is: what a bond contributes vanishes smoothly at the cutoff.

    Parameters
    ----------
    crystal
        A checked cell.
    frac_coords
        Of each copy, shape (n_copies, n_sites, 3).

    Returns
    -------
    Shape (n_copies, n_sites, 3).
    """
    import torch
    from chgnet.model.model import BatchedGraph

    graph = graph_of(network, crystal)
    at_once = max(1, _EDGES_AT_ONCE // max(len(graph.atom_graph), len(graph.bond_graph)))
    found = []
    with torch.enable_grad():
        for start in range(0, len(frac_coords), at_once):
            copies = frac_coords[start : start + at_once]
            batch = BatchedGraph.from_graphs(
                [_copied(graph, copies)],
                bond_basis_expansion=network.bond_basis_expansion,
                angle_basis_expansion=network.angle_basis_expansion,
            )
            computed = network._compute(batch)  # noqa: SLF001 -- chgnet's forward would convert each copy by itself
            energy = computed["e"].sum() * len(batch.atomic_numbers)
            (gradient,) = torch.autograd.grad(energy, batch.atom_positions[0])
            found.append(-gradient.numpy().astype(float).reshape(copies.shape))
    return np.concatenate(found)


def _copied(graph: Any, frac_coords: Floats) -> Any:
    """Put copies of a graph, with other coordinates, into one graph."""
    import torch
    from chgnet.graph.crystalgraph import CrystalGraph

    n = len(frac_coords)
    copies = torch.arange(n, dtype=torch.int32)
    atoms, directed, undirected = frac_coords.shape[1], len(graph.atom_graph), len(graph.undirected2directed)
    angles = graph.bond_graph
    if len(angles):
        shifts = torch.tensor([atoms, undirected, directed, undirected, directed], dtype=torch.int32)
        angles = (angles + copies[:, None, None] * shifts).reshape(-1, 5)
    return CrystalGraph(
        atomic_number=graph.atomic_number.repeat(n),
        atom_frac_coord=torch.tensor(frac_coords.reshape(-1, 3), dtype=torch.float32, requires_grad=True),
        atom_graph=(graph.atom_graph + copies[:, None, None] * atoms).reshape(-1, 2),
        atom_graph_cutoff=graph.atom_graph_cutoff,
        neighbor_image=graph.neighbor_image.repeat(n, 1),
        directed2undirected=(graph.directed2undirected + copies[:, None] * undirected).reshape(-1),
        undirected2directed=(graph.undirected2directed + copies[:, None] * directed).reshape(-1),
        bond_graph=angles,
        bond_graph_cutoff=graph.bond_graph_cutoff,
        lattice=graph.lattice.detach(),
    )


def numbers_of(constants: Floats, forces: Floats, masses: Floats, of_atoms: Floats) -> Floats:
    """Put what was computed into the columns of `ChgnetPhonons`.

    Parameters
    ----------
    constants
        eV/Å^2, shape (n_sites, 3, n_sites, 3).
    forces
        eV/Å, shape (n_sites, 3).
    masses
        u, shape (n_sites,).
    of_atoms
        CHGNet's vectors, shape (n_sites, 64).

    Returns
    -------
    Shape (n_columns,).
    """
    waves, modes = frequencies(constants, masses)
    # modes of one frequency are mixed at will, their mean is not
    highest = waves >= waves[-1] - _SAME_FREQUENCY
    parts = (modes[highest] ** 2).sum(axis=2).mean(axis=0)
    sizes = np.linalg.norm(forces, axis=1)
    own = np.stack([constants[site, :, site] for site in range(len(masses))])
    numbers = [
        *_of_frequencies(waves),
        *_of_sites(own, masses),
        parts @ masses,
        parts.max(),
        1 / (parts**2).sum(),
        sizes.max(),
        sizes.mean(),
        *(parts @ of_atoms),
    ]
    return np.array(numbers, dtype=np.float64)


def _of_frequencies(waves: Floats) -> list[float]:
    optical = np.delete(waves, np.argsort(np.abs(waves), kind="stable")[:3]) if len(waves) > 3 else np.zeros(3)
    falling, real = optical[::-1], optical[optical > 1.0]
    return [
        *(float(falling[min(i, len(falling) - 1)]) for i in (0, 1, 2, 3, 5)),
        float(real.mean()) if len(real) else 0.0,
        float(np.sqrt(np.mean(np.maximum(optical, 0.0) ** 2))),
        float(np.percentile(optical, 75)),
        float(np.median(optical)),
        float(optical.min()),
        float((optical < _IMAGINARY).mean()),
    ]


def _of_sites(own: Floats, masses: Floats) -> list[float]:
    """Numbers of the force constants of single atoms, shape (n_sites, 3, 3)."""
    mean = np.trace(own, axis1=1, axis2=2) / 3
    stiffest = np.linalg.eigvalsh(own)[:, -1]
    of_mean, of_stiffest = (np.sqrt(np.maximum(k, 0.0) / masses) * WAVENUMBER for k in (mean, stiffest))
    of_waves = [of_mean.max(), of_mean.mean(), of_stiffest.max(), of_stiffest.mean()]
    return [*map(float, (*of_waves, mean.max(), mean.mean(), mean.min()))]


def vectors_of_atoms(network: Any, crystal: Crystal) -> Floats:
    """Return CHGNet's vectors of the atoms before its last convolution, shape (n_sites, 64)."""
    import torch

    with torch.no_grad():
        found = network([graph_of(network, crystal)], task="e", return_atom_feas=True)
    vectors: Floats = found["atom_fea"][0].numpy().astype(np.float64)
    return vectors


def _masses(crystal: Crystal) -> Floats:
    """Masses of the atoms, u, shape (n_sites,)."""
    from pymatgen.core.periodic_table import Element

    return np.array([float(Element.from_Z(int(number)).atomic_mass) for number in crystal.numbers])

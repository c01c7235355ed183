"""Force constants from forces on displaced atoms, with as few displacements as the symmetry leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matscout.db._symmetry import spglib_call

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.crystals.crystal import Crystal

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

SYMMETRY_TOLERANCE = 1e-3
"""How far atoms may be off the places that a symmetry gives them, Å."""

WAVENUMBER = 521.4709
"""1/cm per sqrt(eV / Å^2 / u), from the constants of CODATA 2018."""

_SAME_DIRECTION = 1e-3
_INDEPENDENT = 1e-2


class Displacement(NamedTuple):
    """One atom moved along a direction (of length 1), and whether the opposite is another, which must be moved too."""

    atom: int
    direction: Floats
    both: bool


@dataclass(frozen=True, eq=False)
class Symmetry:
    """Operations of a crystal.

    Attributes
    ----------
    rotations
        Acting on Cartesian columns, shape (n_operations, 3, 3).
    images
        Which site each one is taken to, shape (n_operations, n_sites).
    """

    rotations: Floats
    images: Ints

    @classmethod
    def of(cls, crystal: Crystal) -> Symmetry:
        """Find the operations by spglib; the identity alone where it finds none."""
        cell = (crystal.lattice, crystal.frac_coords, crystal.numbers)
        found = spglib_call("get_symmetry", cell, symprec=SYMMETRY_TOLERANCE)
        if found is None:
            return cls(np.eye(3)[None], np.arange(len(crystal))[None])
        columns = crystal.lattice.T
        rotations = columns @ found["rotations"] @ np.linalg.inv(columns)
        pairs = zip(found["rotations"], found["translations"], strict=True)
        images = np.stack([_images(crystal, rotation, translation) for rotation, translation in pairs])
        good = [len(np.unique(one)) == len(crystal) for one in images]
        return cls(rotations[good], images[good])

    def displacements(self, lattice: Floats) -> list[Displacement]:
        """Choose displacements whose images under all operations span all displacements of all atoms."""
        first = self.images.min(axis=0)
        axes = lattice / np.linalg.norm(lattice, axis=1, keepdims=True)
        chosen = []
        for atom in np.flatnonzero(first == np.arange(len(first))).tolist():
            group = self.rotations[self.images[:, atom] == atom]
            spanned = np.zeros((0, 3))
            while _rank(spanned) < 3:
                direction = max(axes, key=lambda axis: _rank(np.concatenate([spanned, group @ axis])))
                spanned = np.concatenate([spanned, group @ direction])
                opposite = np.abs(group @ direction + direction).max(axis=1) < _SAME_DIRECTION
                chosen.append(Displacement(atom, direction, not bool(opposite.any())))
        return chosen

    def force_constants(self, chosen: list[Displacement], forces: Floats) -> Floats:
        """Second derivatives of the energy by all displacements.

        Parameters
        ----------
        chosen
            Displacements as `displacements` gave them.
        forces
            On all atoms, per length of each displacement, eV/Å^2, shape (n_chosen, n_sites, 3).

        Returns
        -------
        eV/Å^2, shape (n_sites, 3, n_sites, 3), symmetric and such that no force acts when all atoms move alike.
        """
        n = self.images.shape[1]
        constants = np.zeros((n, n, 3, 3))  # atom moved, atom acted on, direction moved, direction of force
        for atom in sorted({one.atom for one in chosen}):
            moved, answers = [], []
            for displacement, force in zip(chosen, forces, strict=True):
                if displacement.atom != atom:
                    continue
                for operation in np.flatnonzero(self.images[:, atom] == atom):
                    rotation, answer = self.rotations[operation], np.empty((n, 3))
                    answer[self.images[operation]] = -force @ rotation.T
                    moved.append(rotation @ displacement.direction)
                    answers.append(answer.reshape(-1))
            solved = np.linalg.lstsq(np.array(moved), np.array(answers), rcond=None)[0]
            constants[atom] = solved.reshape(3, n, 3).transpose(1, 0, 2)
        for atom, first in enumerate(self.images.min(axis=0).tolist()):
            if atom != first:
                to_atom = int(np.flatnonzero(self.images[:, first] == atom)[0])
                rotation = self.rotations[to_atom]
                constants[atom, self.images[to_atom]] = rotation @ constants[first] @ rotation.T
        return _consistent(constants.transpose(0, 2, 1, 3))


def frequencies(constants: Floats, masses: Floats) -> tuple[Floats, Floats]:
    """Frequencies at the centre of the Brillouin zone, ascending, and their modes.

    Parameters
    ----------
    constants
        eV/Å^2, shape (n_sites, 3, n_sites, 3).
    masses
        u, shape (n_sites,).

    Returns
    -------
    1/cm, shape (3 n_sites,), imaginary ones as negative numbers; displacements times the root of the mass, shape
    (3 n_sites, n_sites, 3), each of length 1.
    """
    weights = np.repeat(masses, 3) ** -0.5
    matrix = constants.reshape(len(weights), -1) * weights * weights[:, None]
    squares, modes = np.linalg.eigh(matrix)
    return np.sign(squares) * np.sqrt(np.abs(squares)) * WAVENUMBER, modes.T.reshape(len(weights), -1, 3)


def _images(crystal: Crystal, rotation: Ints, translation: Floats) -> Ints:
    moved = crystal.frac_coords @ rotation.T + translation
    steps = moved[:, None] - crystal.frac_coords
    lengths = np.linalg.norm((steps - np.rint(steps)) @ crystal.lattice, axis=-1)
    lengths[crystal.numbers[:, None] != crystal.numbers] = np.inf
    nearest: Ints = lengths.argmin(axis=1)
    return nearest


def _rank(vectors: Floats) -> int:
    return int(np.linalg.matrix_rank(vectors, tol=_INDEPENDENT)) if len(vectors) else 0


def _consistent(constants: Floats) -> Floats:
    """Make force constants symmetric, and the sum over the atoms acted on zero."""
    n = len(constants)
    constants = (constants + constants.transpose(2, 3, 0, 1)) / 2
    for atom in range(n):
        own = constants[atom, :, atom] - constants[atom].sum(axis=1)
        constants[atom, :, atom] = (own + own.T) / 2
    return constants

"""Whether a crystal stays what it is: relaxed again from a rattled cell, and by its vibrations.

Both are protocols of their own, for the few crystals that are about to be reported stable. They relax the crystal, then
go on from what it became, each part an ordinary calculation of the same code in a folder of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.db.documents import DynamicStability

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from pymatgen.core import Structure

    from matscout.workflows.calculations.protocols import Protocol

    Run = Callable[[Protocol, Structure, str], dict[str, Any]]
    """Runs a protocol on a crystal in a sub-folder, and gives the fields of a result."""

KINDS = ("rattled", "phonons")


def check(protocol: Protocol, structure: Structure, run: Run) -> dict[str, Any]:
    """Relax a crystal, then check it as the protocol says.

    Returns
    -------
    Fields of a result, with ``dynamics``; of the relaxation where that failed.
    """
    options = protocol.settings["check"]
    plain = replace(protocol, settings={key: value for key, value in protocol.settings.items() if key != "check"})
    relaxed = run(plain, structure, "relax")
    if relaxed["outcome"] != "completed":
        return relaxed
    crystal = relaxed["geometry"].to_structure()
    if options["kind"] == "rattled":
        return _rattled(plain, crystal, relaxed, options, run)
    return _phonons(plain, crystal, relaxed, options, run)


def supercell_matrix(structure: Structure, least_length: float) -> NDArray[np.intp]:
    """Diagonal supercell whose cell heights are at least so many Å, shape (3, 3)."""
    matrix = structure.lattice.matrix
    areas = [np.linalg.norm(np.cross(matrix[(i + 1) % 3], matrix[(i + 2) % 3])) for i in range(3)]
    heights = structure.volume / np.array(areas)
    return np.diag(np.maximum(np.ceil(least_length / heights - 1e-6), 1).astype(int))


def rattled(structure: Structure, options: Mapping[str, Any]) -> Structure:
    """Supercell with every atom displaced and the cell strained at random, so that no symmetry is left.

    Parameters
    ----------
    structure
        The crystal.
    options
        ``least_length_A`` of the supercell, ``rattle_A`` and ``strain``, standard deviations of each component of a
        displacement and of the strain tensor, and ``seed``.
    """
    from pymatgen.core import Lattice, Structure

    random = np.random.default_rng(options["seed"])
    cell = structure.make_supercell(supercell_matrix(structure, options["least_length_A"]), in_place=False)
    strain = random.normal(0.0, options["strain"], (3, 3))
    lattice = cell.lattice.matrix @ (np.eye(3) + (strain + strain.T) / 2)
    coords = cell.frac_coords @ lattice + random.normal(0.0, options["rattle_A"], (len(cell), 3))
    return Structure(Lattice(lattice), cell.species, coords, coords_are_cartesian=True)


def _rattled(
    protocol: Protocol, crystal: Structure, relaxed: dict[str, Any], options: Mapping[str, Any], run: Run
) -> dict[str, Any]:
    again = run(protocol, rattled(crystal, options), "rattled")
    again["steps"] = in_stages(relaxed, "relax") + in_stages(again, "rattled")
    if again["outcome"] != "completed":
        return again
    gain = relaxed["energy_per_atom"] - again["energy_per_atom"]
    again["dynamics"] = DynamicStability(
        supercell=supercell_matrix(crystal, options["least_length_A"]).tolist(),
        energy_gain=gain,
        stable=bool(gain <= options["tolerance_eV_per_atom"]),
    )
    return again


def _phonons(
    protocol: Protocol, crystal: Structure, relaxed: dict[str, Any], options: Mapping[str, Any], run: Run
) -> dict[str, Any]:
    """Take the frequencies from the forces on displaced atoms, at the q-points that the supercell holds whole."""
    import phonopy
    from phonopy.structure.atoms import PhonopyAtoms
    from pymatgen.core import Structure

    matrix = supercell_matrix(crystal, options["least_length_A"])
    cell = PhonopyAtoms(
        symbols=[site.specie.symbol for site in crystal],
        cell=crystal.lattice.matrix,
        scaled_positions=crystal.frac_coords,
    )
    phonon = phonopy.Phonopy(cell, supercell_matrix=matrix, primitive_matrix=np.eye(3), symprec=1e-3, log_level=0)
    phonon.generate_displacements(distance=options["displacement_A"])
    static = replace(protocol, settings=protocol.settings | {"relax": "nothing"})
    forces, steps = [], list(in_stages(relaxed, "relax"))
    for number, displaced in enumerate(phonon.supercells_with_displacements, start=1):
        moved = Structure(displaced.cell, displaced.symbols, displaced.scaled_positions)
        found = run(static, moved, f"displacement-{number}")
        if found["outcome"] != "completed":
            told = {key: found[key] for key in ("outcome", "cause", "message", "evidence") if key in found}
            return relaxed | told | {"steps": tuple(steps)}
        steps += in_stages(found, f"displacement-{number}")
        forces.append(found["steps"][-1].forces)
    phonon.forces = np.array(forces)
    phonon.produce_force_constants()
    phonon.symmetrize_force_constants()
    return relaxed | {"dynamics": _stability(phonon, matrix, options["tolerance_THz"]), "steps": tuple(steps)}


def _stability(phonon: Any, matrix: NDArray[np.intp], tolerance: float) -> DynamicStability:
    divisions = np.diag(matrix)
    points = np.array([np.array(point) / divisions for point in np.ndindex(*divisions.tolist())])
    phonon.run_qpoints(points)
    frequencies = np.sort(np.array(phonon.qpoints.frequencies), axis=1)
    gamma = int(np.flatnonzero(~points.any(axis=1))[0])
    # The three translations at Gamma have no frequency; what is left of them is noise.
    acoustic = np.argsort(np.abs(frequencies[gamma]))[:3]
    kept = np.concatenate([np.delete(frequencies, gamma, axis=0).ravel(), np.delete(frequencies[gamma], acoustic)])
    lowest = float(kept.min()) if kept.size else 0.0
    return DynamicStability(
        supercell=matrix.tolist(),
        lowest_frequency=lowest,
        imaginary=int((kept < -tolerance).sum()),
        stable=bool(lowest >= -tolerance),
    )


def in_stages(fields: Mapping[str, Any], part: str) -> tuple[Any, ...]:
    """Name the steps by the part of a calculation that they belong to."""
    return tuple(
        step.model_copy(update={"stage": f"{part}, {step.stage}" if step.stage else part})
        for step in fields.get("steps", ())
    )

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

    Run = Callable[[Protocol, Structure, str, str | None], dict[str, Any]]
    """Runs a protocol on a crystal in a sub-folder, and gives the fields of a result.

    The last is the magnetic ordering whose moments the crystal brings; None to try those that the protocol asks for.
    """


_FAILURE = ("outcome", "cause", "message", "evidence", "traceback")


def check(protocol: Protocol, structure: Structure, run: Run) -> dict[str, Any]:
    """Relax a crystal, then check it as the protocol says.

    Returns
    -------
    Fields of a result, with ``dynamics``; of the relaxation where that failed.
    """
    options = protocol.settings["check"]
    plain = replace(protocol, settings={key: value for key, value in protocol.settings.items() if key != "check"})
    relaxed = run(plain, structure, "relax", None)
    if relaxed["outcome"] != "completed":
        return relaxed
    crystal = relaxed["geometry"].to_structure()
    magnetism = relaxed["magnetism"]
    if (
        magnetism is not None and magnetism.moments is not None
    ):  # forces of another ordering are those of another crystal
        crystal.add_site_property("magmom", list(magnetism.moments))
    if options["kind"] == "rattled":
        return _rattled(plain, crystal, relaxed, options, run)
    return _phonons(plain, crystal, relaxed, options, run)


def supercell_matrix(structure: Structure, least_length: float) -> NDArray[np.intp]:
    """Diagonal supercell whose cell heights are at least so many Å, shape (3, 3)."""
    return np.diag(np.maximum(np.ceil(least_length / cell_heights(structure) - 1e-6), 1).astype(int))


def cell_heights(structure: Structure) -> NDArray[np.float64]:
    """Distances of the opposite faces of a cell, Å, shape (3,)."""
    heights: NDArray[np.float64] = 1 / np.linalg.norm(np.linalg.inv(structure.lattice.matrix), axis=0)
    return heights


def rattled(structure: Structure, options: Mapping[str, Any]) -> Structure:
    """Supercell with every atom displaced and the cell strained at random, so that no symmetry is left.

    Parameters
    ----------
    structure
        The crystal. Moments that it has, as site property ``magmom``, stay with their atoms.
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
    return Structure(
        Lattice(lattice), cell.species, coords, coords_are_cartesian=True, site_properties=cell.site_properties
    )


def _rattled(
    protocol: Protocol, crystal: Structure, relaxed: dict[str, Any], options: Mapping[str, Any], run: Run
) -> dict[str, Any]:
    again = run(protocol, rattled(crystal, options), "rattled", _ordering(relaxed))
    again["steps"] = in_stages(relaxed, "relax") + in_stages(again, "rattled")
    if "orderings" in relaxed:
        again["orderings"] = relaxed["orderings"]
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
        magnetic_moments=crystal.site_properties.get("magmom"),  # atoms of other spin are others
    )
    phonon = phonopy.Phonopy(cell, supercell_matrix=matrix, primitive_matrix=np.eye(3), symprec=1e-3, log_level=0)
    phonon.generate_displacements(distance=options["displacement_A"])
    static = replace(protocol, settings=protocol.settings | {"relax": "nothing"})
    forces, steps = [], list(in_stages(relaxed, "relax"))
    for number, displaced in enumerate(phonon.supercells_with_displacements, start=1):
        moved = Structure(displaced.cell, displaced.symbols, displaced.scaled_positions)
        if displaced.magnetic_moments is not None:
            moved.add_site_property("magmom", np.ravel(displaced.magnetic_moments).tolist())
        found = run(static, moved, f"displacement-{number}", _ordering(relaxed))
        if found["outcome"] != "completed":
            told = {key: found[key] for key in _FAILURE if key in found}
            return relaxed | told | {"steps": (*steps, *in_stages(found, f"displacement-{number}"))}
        steps += in_stages(found, f"displacement-{number}")
        forces.append(found["steps"][-1].forces)
    phonon.forces = np.array(forces)
    phonon.produce_force_constants()
    phonon.symmetrize_force_constants()
    return relaxed | {"dynamics": _stability(phonon, matrix, options["tolerance_THz"]), "steps": tuple(steps)}


def _ordering(relaxed: Mapping[str, Any]) -> str:
    return "none" if relaxed["magnetism"] is None else str(relaxed["magnetism"].ordering)


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

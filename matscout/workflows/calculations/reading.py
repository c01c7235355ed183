"""Outputs of codes as fields of a result: energies, geometries, every ionic step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.db.documents import Geometry, IonicStep
from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymatgen.core import Structure
    from pymatgen.core.entries import ComputedStructureEntry

    from matscout.db.documents import CalculationResult
    from matscout.workflows.calculations.protocols import Protocol

KBAR = -0.1 * 0.006241509074460763
"""One kbar of a task document's stress in eV/Å³; VASP and atomate2 give it with the opposite sign of ASE."""


TRAJECTORY = "ionic_steps.traj"
"""File of an ASE job that has each step as soon as it is taken: what is left of a relaxation that fails."""


class UnreadableOutputError(ValueError):
    """What a code left cannot be taken as the result of a calculation."""


def plain(document: Any) -> Any:
    """Return an output as plain data: a model or an object of pymatgen as its dict."""
    if hasattr(document, "model_dump"):
        return document.model_dump()
    if hasattr(document, "as_dict") and not isinstance(document, dict):
        return document.as_dict()
    return document


def as_structure(value: Any) -> Structure:
    """Build the structure of an output that may be an object or plain data."""
    from pymatgen.core import Structure

    if isinstance(value, Structure):
        return value
    if not isinstance(value, dict):
        raise UnreadableOutputError(f"a structure was expected, not {type(value).__name__}")
    return Structure.from_dict(value)


def ionic_step(
    structure: Structure,
    energy: float,
    forces: Any,
    *,
    stress: Any = None,
    moments: Sequence[float] | None = None,
    stage: str | None = None,
    functional: str | None = None,
) -> IonicStep:
    """Make one step; `stress` in eV/Å³, as a tensor or in Voigt order."""
    from ase.stress import full_3x3_to_voigt_6_stress

    force = np.asarray(forces, dtype=float).reshape(-1, 3)
    if stress is not None:
        stress = np.asarray(stress, dtype=float)
        if stress.ndim == 2:
            stress = full_3x3_to_voigt_6_stress(stress)  # type: ignore[no-untyped-call]  # ASE's
        stress = stress.tolist()
    return IonicStep(
        energy=float(energy),
        species=tuple(site.specie.symbol for site in structure),
        max_force=float(np.linalg.norm(force, axis=1).max()),
        lattice=structure.lattice.matrix.tolist(),
        coords=structure.cart_coords.tolist(),
        forces=force.tolist(),
        stress=stress,
        magnetic_moments=tuple(np.asarray(moments, dtype=float).tolist()) if moments is not None else None,
        stage=stage,
        functional=functional,
    )


def stress_of(step: Mapping[str, Any]) -> Any:
    """Stress of a step of a task document in eV/Å³, None where it has none."""
    return None if step.get("stress") is None else np.asarray(step["stress"], dtype=float) * KBAR


def result_fields(structure: Structure, final: Structure, steps: Sequence[IonicStep], energy: float) -> dict[str, Any]:
    """Fields that every result has, from its steps and its final crystal."""
    last = steps[-1]
    return {
        "energy": energy,
        "energy_per_atom": energy / len(final),
        "geometry": Geometry.from_structure(final),
        "initial_volume": structure.volume / len(structure),
        "final_volume": final.volume / len(final),
        "max_force": last.max_force,
        "n_steps": steps_taken(steps),
        "magnetic_moments": last.magnetic_moments,
        "steps": tuple(steps),
    }


def steps_taken(steps: Sequence[IonicStep]) -> int:
    """How often the ions moved: the first step of each stage is the crystal as it went in."""
    return len(steps) - len({step.stage for step in steps})


def without_repeats(steps: Sequence[IonicStep]) -> tuple[IonicStep, ...]:
    """Drop steps equal to the one before: atomate2 records an optimizer's last frame twice."""
    return tuple(step for n, step in enumerate(steps) if n == 0 or step != steps[n - 1])


def read_ase(outputs: Mapping[str, Any], structure: Structure) -> dict[str, Any]:
    """Read atomate2's ASE task documents, one a stage, in the order in which they ran.

    Returns
    -------
    Fields of a result, and ``converged``: whether every stage that moved atoms met its optimizer's criterion.

    Raises
    ------
    UnreadableOutputError
        There is none, or one lacks its ionic steps.
    """
    if not outputs:
        raise UnreadableOutputError("no job left an output")
    several = len(outputs) > 1
    steps: list[IonicStep] = []
    converged = True
    for stage, output in outputs.items():
        document = plain(output)
        of_stage = ase_steps(document, stage if several else None)
        steps += of_stage
        moving = document["input"].get("steps") != 0 and len(of_stage) > 1
        converged = converged and (not moving or _converged(document))
    final = as_structure(document.get("structure") or document["output"]["mol_or_struct"])
    fields = result_fields(structure, final, steps, steps[-1].energy)
    return fields | {"converged": converged}


def _converged(document: dict[str, Any]) -> bool:
    """Whether the optimizer said so; that of the atoms' forces alone differs where a cell was relaxed with them."""
    state = document.get("state")
    if state is None:
        return bool(document.get("is_force_converged"))
    return bool(getattr(state, "value", state) == "successful")


def ase_steps(document: dict[str, Any], stage: str | None) -> tuple[IonicStep, ...]:
    """Every ionic step of one of atomate2's ASE task documents, the unrelaxed one first."""
    found = document.get("output", {}).get("ionic_steps")
    if not isinstance(found, list) or not found:
        raise UnreadableOutputError(f"the output of {stage or 'the job'} has no ionic steps")
    steps = []
    for step in map(plain, found):
        crystal = as_structure(step.get("mol_or_struct") or step.get("structure"))
        stress, moments = stress_of(step), step.get("magmoms")
        steps.append(ionic_step(crystal, step["energy"], step["forces"], stress=stress, moments=moments, stage=stage))
    return without_repeats(steps)


def entry_of(protocol: Protocol, result: CalculationResult) -> ComputedStructureEntry:
    """Make the entry of a completed calculation, uncorrected.

    It states the protocol it was made by, unless the protocol's rule is to go by run type and U, as the entries of the
    Materials Project do, and no setting was changed.

    Raises
    ------
    UserError
        The calculation did not complete: a failure has no place on a hull.
    """
    from pymatgen.core.entries import ComputedStructureEntry

    if result.outcome != "completed" or result.geometry is None or result.energy is None:
        raise UserError(f"calculation {result.id} of {result.formula} {result.outcome}: it makes no entry")
    structure = result.geometry.to_structure()
    parameters = {
        key: result.run[key] for key in ("run_type", "hubbards", "potcar_spec", "software") if key in result.run
    }
    data: dict[str, Any] = {"calculation_id": result.id, "protocol_id": result.protocol_id}
    if protocol.entry["states"] == "its protocol" or protocol.overrides:
        data["protocol"] = protocol.label
    return ComputedStructureEntry(
        structure, result.energy, parameters=parameters, data=data, entry_id=result.subject or result.id
    )

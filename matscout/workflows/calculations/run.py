"""The stage that runs one calculation: a request in, a result out, whatever happens.

A failure is a result with its cause, not an exception: it stays in the store as data.
"""

from __future__ import annotations

import errno
import platform
import time
import traceback
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.db.documents import CalculationRequest, CalculationResult, Geometry, IonicStep
from matscout.workflows.calculations.guards import refusal
from matscout.workflows.calculations.protocols import get_protocol

if TYPE_CHECKING:
    from pathlib import Path

    from atomate2.ase.schemas import AseResult
    from pymatgen.core import Structure

    from matscout.db.documents import Cause
    from matscout.workflows.calculations.protocols import Protocol

PLAUSIBLE_ENERGY = (-20.0, 5.0)
"""Energies in eV/atom beyond which CHGNet has left what it knows: tungsten, the lowest element, lies at -12.96."""

MACHINE_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES})
"""Operating system errors that are the machine's, whatever was calculated."""


def calculate(request: CalculationRequest, folder: Path | None = None) -> CalculationResult:
    """Run one calculation and describe its outcome.

    Parameters
    ----------
    request
        What to calculate. The settings are those of its protocol as installed.
    folder
        A folder of the calculation's own for what its code writes; nothing is written when None.

    Returns
    -------
    The result: finished with an energy in eV/atom, or failed with a cause and a message.

    Raises
    ------
    UserError
        The protocol is unknown or its packages are not installed: nothing can be calculated at all.
    ImportError, OSError
        The installation is broken or the disk is full: likewise, and no outcome of this calculation.
    """
    protocol = get_protocol(request.protocol)
    versions = protocol.versions()
    started = time.perf_counter()
    try:
        structure = request.geometry.to_structure()
        reason = refusal(structure, protocol.settings)
        fields = _failed("input-refused", reason) if reason else _run(protocol, structure, folder)
    except ImportError:
        raise  # a broken installation says nothing about this calculation
    except OSError as error:
        if error.errno in MACHINE_ERRORS:
            raise  # nor does a full disk
        fields = _raised(error)
    except Exception as error:  # noqa: BLE001  whatever a code raises is the outcome of this one calculation, kept as data
        fields = _raised(error)
    return CalculationResult(
        id=request.id,
        protocol=request.protocol,
        protocol_id=request.protocol_id,
        subject=request.subject,
        formula=request.geometry.reduced_formula,
        seconds=round(time.perf_counter() - started, 3),
        host=platform.node(),
        versions=versions,
        **fields,
    )


def _failed(cause: Cause, message: str | None) -> dict[str, Any]:
    return {"outcome": "failed", "cause": cause, "message": message}


def _raised(error: BaseException) -> dict[str, Any]:
    lines = traceback.format_exception(error)
    return {**_failed("error", f"{type(error).__name__}: {error}"), "traceback": "".join(lines)[-4000:]}


def _run(protocol: Protocol, structure: Structure, folder: Path | None) -> dict[str, Any]:
    from matscout.workflows.calculations.chgnet import ChgnetMaker, CollapsedCellError, one_thread

    maker = ChgnetMaker.from_protocol(protocol, folder=folder)
    try:
        with one_thread():
            outcome = maker.run_ase(structure)
    except CollapsedCellError as error:
        return _failed("implausible", str(error))
    trajectory: Any = outcome.trajectory  # pymatgen's, as the Maker asks for it
    if not np.isfinite([properties["energy"] for properties in trajectory.frame_properties]).all():
        return _failed("implausible", "the energy is not a number")
    fields = _numbers(structure, outcome)
    if maker.relax_cell:
        fields |= _prototype(structure, fields["geometry"].to_structure())
    return fields | _verdict(protocol, fields, converged=bool(outcome.converged))


def _numbers(structure: Structure, outcome: AseResult) -> dict[str, Any]:
    """Energies, geometry and ionic steps of a run that came to its end."""
    steps = _ionic_steps(outcome.trajectory)
    final: Any = outcome.final_mol_or_struct  # a Structure, as one went in
    return {
        "energy": steps[-1].energy,
        "energy_per_atom": steps[-1].energy / len(structure),
        "geometry": Geometry.from_structure(final),
        "initial_volume": structure.volume / len(structure),
        "final_volume": final.volume / len(final),
        "max_force": steps[-1].max_force,
        "n_steps": len(steps) - 1,
        "steps": steps,
    }


def _ionic_steps(trajectory: Any) -> tuple[IonicStep, ...]:
    """Take the frames of a pymatgen trajectory; the optimizer's last frame is recorded twice by atomate2."""
    steps: list[IonicStep] = []
    for frame, properties in zip(trajectory, trajectory.frame_properties, strict=True):
        forces = np.asarray(properties["forces"], dtype=float)
        step = IonicStep(
            energy=float(properties["energy"]),
            max_force=float(np.linalg.norm(forces, axis=1).max()),
            lattice=frame.lattice.matrix.tolist(),
            coords=frame.cart_coords.tolist(),
            forces=forces.tolist(),
            stress=np.asarray(properties["stress"], dtype=float).tolist() if "stress" in properties else None,
        )
        if not steps or step != steps[-1]:
            steps.append(step)
    return tuple(steps)


def _prototype(initial: Structure, final: Structure) -> dict[str, Any]:
    from matscout.workflows.stability.crystals import same_prototype, space_group

    return {
        "prototype_kept": same_prototype(initial, final),
        "space_group_before": space_group(initial),
        "space_group_after": space_group(final),
    }


def _verdict(protocol: Protocol, fields: dict[str, Any], *, converged: bool) -> dict[str, Any]:
    energy, ratio = fields["energy_per_atom"], fields["final_volume"] / fields["initial_volume"]
    largest = protocol.settings.get("max_volume_ratio", np.inf)
    if not PLAUSIBLE_ENERGY[0] < energy < PLAUSIBLE_ENERGY[1]:
        return _failed("implausible", f"{energy:.3g} eV/atom is no energy of a crystal")
    if ratio > largest:
        return _failed("implausible", f"the cell grew to {ratio:.1f} times its volume")
    if not converged:
        limit, force = protocol.settings["max_steps"], fields["max_force"]
        return _failed("not-converged", f"{force:.2g} eV/Å after {limit} steps")
    return {"outcome": "finished"}

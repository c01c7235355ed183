"""The stage that runs one calculation: a request in, a result out, whatever happens.

A failure is a result with its cause, not an exception: it stays in the store as data.
"""

from __future__ import annotations

import platform
import time
import traceback
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.db.documents import CalculationRequest, CalculationResult, MagneticOrdering
from matscout.errors import UserError
from matscout.workflows.calculations.causes import classify, is_of_machine
from matscout.workflows.calculations.guards import refusal
from matscout.workflows.calculations.protocols import get_protocol
from matscout.workflows.calculations.reading import UnreadableOutputError, steps_taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymatgen.core import Structure

    from matscout.db.documents import Cause, IonicStep, MagneticStart
    from matscout.workflows.calculations.protocols import Protocol

PLAUSIBLE_ENERGY = {"chgnet": (-20.0, 5.0)}
"""Energies beyond which a code has left what it knows, eV/atom: tungsten, the lowest element, lies at -12.96."""

WIDEST = (-1e6, 1e3)
"""The same for other codes, eV/atom: zero is where each puts it, deep below with all electrons, but never far above."""

LONGEST_MESSAGE = 500
"""Characters of a failure's message; the whole of it is in the traceback and in the code's own files."""


def calculate(request: CalculationRequest, folder: Path | None = None) -> CalculationResult:
    """Run one calculation and describe its outcome.

    Parameters
    ----------
    request
        What to calculate. The settings are those of its protocol as installed, with the request's own changes.
    folder
        A folder of the calculation's own for what its code writes; nothing is kept when None. Started again in the same
        folder, a protocol of several jobs goes on after the last one that ended.

    Returns
    -------
    The result: completed with an energy in eV/atom, or failed with a cause, its evidence and a message.

    Raises
    ------
    UserError
        The protocol is unknown, has other settings here than where it was asked for, or its packages are not installed:
        nothing can be calculated at all.
    ImportError, OSError
        The installation is broken, the disk is full, or there is no such program as the run command: likewise, and no
        outcome of this calculation.
    """
    protocol = get_protocol(request.protocol, request.overrides).adjusted(request.adjustments)
    if protocol.id != request.protocol_id:
        raise UserError(
            f"protocol {request.protocol} was asked for with other settings ({request.protocol_id}) than it has here "
            f"({protocol.id}): install the same version of matscout in both places"
        )
    versions = protocol.versions()
    started = time.perf_counter()
    fields = _caught(lambda: _described(protocol, request.geometry.to_structure(), folder), folder)
    fields.pop("converged", None)
    fields["steps"] = tuple(_lean(step, request.geometry.species) for step in fields.get("steps", ()))
    return CalculationResult(
        id=request.id,
        protocol=request.protocol,
        protocol_id=request.protocol_id,
        overrides=request.overrides,
        adjustments=request.adjustments,
        subject=request.subject,
        formula=request.geometry.reduced_formula,
        seconds=round(time.perf_counter() - started, 3),
        host=platform.node(),
        versions=versions,
        **fields,
    )


def _failed(cause: Cause, message: str | None, evidence: str | None = None) -> dict[str, Any]:
    return {"outcome": "failed", "cause": cause, "message": message, "evidence": evidence or message}


def _refused(reason: str) -> dict[str, Any]:
    return _failed("input", reason, f"refused before the code was called: {reason}")


def _one_line(error: BaseException) -> str:
    """Return what an error says, without the tracebacks that some carry in their text."""
    said = " ".join(str(error).partition("Traceback (most recent call last)")[0].split())
    return said if len(said) <= LONGEST_MESSAGE else said[: LONGEST_MESSAGE - 3] + "..."


def _lean(step: IonicStep, species: tuple[str, ...]) -> IonicStep:
    """Leave the elements out where they are the input's."""
    return step.model_copy(update={"species": None}) if step.species == species else step


def _caught(run: Callable[[], dict[str, Any]], folder: Path | None) -> dict[str, Any]:
    """Run a part of a calculation: whatever a code raises is its outcome, kept as data."""
    try:
        return run()
    except ImportError:
        raise  # a broken installation says nothing about this calculation
    except UserError as error:
        return _failed("input", _one_line(error))  # a setting or a package that does not fit: no retry helps
    except Exception as error:
        if is_of_machine(error):
            raise  # nor does a full disk
        return _raised(error, folder)


def _raised(error: Exception, folder: Path | None) -> dict[str, Any]:
    """Describe what a code raised: the cause from the error and from what the code wrote."""
    finding = classify(folder or Path("/nonexistent"), error)
    own = f"{type(error).__name__}: {_one_line(error)}".removesuffix(": ")
    lines = traceback.format_exception(error)
    return {**_failed(finding.cause, own, finding.evidence), "traceback": "".join(lines)[-4000:]}


def _described(protocol: Protocol, structure: Structure, folder: Path | None) -> dict[str, Any]:
    """Refuse what no code should be given, or carry it out."""
    reason = refusal(structure, protocol.settings, protocol.code)
    return _refused(reason) if reason else _carry_out(protocol, structure, folder)


def _carry_out(protocol: Protocol, structure: Structure, folder: Path | None) -> dict[str, Any]:
    """Run all that a protocol consists of, and compare what came out with what went in."""
    if protocol.code != "chgnet" and folder is None:
        with TemporaryDirectory(prefix="matscout-") as scratch:
            return _carry_out(protocol, structure, Path(scratch))
    if "check" in protocol.settings:
        from matscout.workflows.calculations.checks import check

        fields = check(protocol, structure, partial(_part, folder=folder))
    else:
        fields = _with_orderings(protocol, structure, folder)
    if protocol.relaxes and fields.get("geometry") is not None:
        fields |= _prototype(structure, fields["geometry"].to_structure())
    return fields


def _part(
    protocol: Protocol, structure: Structure, name: str, ordering: str | None, *, folder: Path | None
) -> dict[str, Any]:
    """Run one part of a check in a folder of its own: orderings are tried in the first, and kept in those after it."""
    if ordering is None:
        return _with_orderings(protocol, structure, _below(folder, name))
    return _tried(protocol, structure, _below(folder, name), ordering)


def _below(folder: Path | None, name: str) -> Path | None:
    if folder is None:
        return None
    (folder / name).mkdir(exist_ok=True)
    return folder / name


def _with_orderings(protocol: Protocol, structure: Structure, folder: Path | None) -> dict[str, Any]:
    """Run the magnetic orderings that are asked for; the lowest is the result, and all are kept."""
    from matscout.workflows.calculations.checks import in_stages
    from matscout.workflows.calculations.magnetism import orderings

    policy = protocol.settings.get("magnetism", {})
    if policy.get("orderings", 1) <= 1:
        return _tried(protocol, structure, folder, None)
    found = orderings(structure, policy | _moments_of(protocol))
    if len(found) <= 1:
        return _tried(protocol, structure, folder, found[0].name if found else None)
    tried = [
        _tried(protocol, ordering.structure, _below(folder, f"ordering-{number}"), ordering.name)
        for number, ordering in enumerate(found, start=1)
    ]
    completed = [fields for fields in tried if fields["outcome"] == "completed"]
    lowest = min(completed, key=lambda fields: fields["energy_per_atom"]) if completed else tried[0]
    # all steps are kept, those of the result at the end
    steps = [
        step
        for fields in (*(one for one in tried if one is not lowest), lowest)
        for step in in_stages(fields, fields["magnetism"].ordering)
    ]
    return lowest | {"orderings": tuple(map(_summary, tried)), "steps": tuple(steps)}


def _tried(protocol: Protocol, structure: Structure, folder: Path | None, ordering: str | None) -> dict[str, Any]:
    """Run a protocol's job or flow: its failure is not that of other parts, and its steps are kept."""
    fields = _caught(lambda: _once(protocol, structure, folder), folder)
    if "steps" not in fields and folder is not None:
        from matscout.workflows.calculations.unfinished import steps_until_failure

        steps = steps_until_failure(protocol, folder)
        fields |= {"steps": steps, "n_steps": steps_taken(steps)}
    return fields | {"magnetism": _start(protocol, structure, ordering)}


def _summary(fields: dict[str, Any]) -> MagneticOrdering:
    kept = ("outcome", "cause", "message", "energy_per_atom", "magnetic_moments", "geometry")
    return MagneticOrdering(start=fields["magnetism"], **{key: fields[key] for key in kept if key in fields})


def _moments_of(protocol: Protocol) -> dict[str, Any]:
    """Moments to begin with, for a protocol whose code has a table of its own."""
    if protocol.code != "vasp":
        return {}
    table = protocol.settings["config"]["INCAR"].get("MAGMOM", {})
    return {"moments": {key: value for key, value in table.items() if key.isalpha()}, "default": 0.6}


def _start(protocol: Protocol, structure: Structure, ordering: str | None) -> MagneticStart | None:
    if protocol.code == "chgnet":
        from matscout.workflows.calculations.chgnet import NO_MAGNETISM

        return NO_MAGNETISM
    if protocol.code == "vasp":
        from matscout.workflows.calculations import vasp

        return vasp.magnetic_start(protocol, structure, ordering)
    from matscout.workflows.calculations.magnetism import magnetic_start

    return magnetic_start(structure, protocol.settings, ordering)


def _once(protocol: Protocol, structure: Structure, folder: Path | None) -> dict[str, Any]:
    if protocol.code == "chgnet":
        from matscout.workflows.calculations.chgnet import calculate_here

        fields = calculate_here(protocol, structure, folder)
    else:
        from matscout.workflows.launch.flows import FLOW_OUTPUT, run_flow

        assert folder is not None, "a flow has a folder"
        outputs = run_flow(protocol.make(structure), folder)
        fields = protocol.read({name: outputs[name] for name in outputs if name != FLOW_OUTPUT}, structure)
        if not np.isfinite([step.energy for step in fields["steps"]]).all():
            raise UnreadableOutputError("the energy is not a number")
    return fields | _verdict(protocol, fields)


def _prototype(initial: Structure, final: Structure) -> dict[str, Any]:
    from matscout.workflows.stability.crystals import same_prototype, space_group

    return {
        "prototype_kept": same_prototype(initial, final),
        "space_group_before": space_group(initial),
        "space_group_after": space_group(final),
    }


def _verdict(protocol: Protocol, fields: dict[str, Any]) -> dict[str, Any]:
    """Say whether an outcome is one: energies that no crystal has are no output, cells that fly apart no relaxation."""
    energy, ratio = fields["energy_per_atom"], fields["final_volume"] / fields["initial_volume"]
    lowest, highest = PLAUSIBLE_ENERGY.get(protocol.code, WIDEST)
    if not lowest < energy < highest:
        return _failed("parse", f"{energy:.3g} eV/atom is no energy of a crystal")
    if ratio > protocol.settings.get("max_volume_ratio", np.inf):
        return _failed("relaxation", f"the cell grew to {ratio:.1f} times its volume")
    if not fields["converged"]:
        limit = protocol.settings.get("max_steps", fields["n_steps"])
        return _failed("relaxation", f"{fields['max_force']:.2g} eV/Å after {limit} steps")
    return {"outcome": "completed"}

"""What a calculation that failed had come to by then: its ionic steps are worth keeping all the same."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.workflows.calculations.reading import TRAJECTORY, ase_steps, ionic_step
from matscout.workflows.calculations.vasp import steps_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matscout.db.documents import IonicStep
    from matscout.workflows.calculations.protocols import Protocol

_VASP_RUNS = ("vasprun.xml", "vasprun.xml.gz")


def steps_until_failure(protocol: Protocol, folder: Path) -> tuple[IonicStep, ...]:
    """Read the ionic steps of a flow that failed: those of the jobs that ended, then those of the one that did not.

    Parameters
    ----------
    protocol
        What was calculated.
    folder
        The flow's.

    Returns
    -------
    All that can be read: what cannot, the failure itself tells of.
    """
    from matscout.workflows.launch.flows import finished_outputs, unfinished_folders

    stages = [stage["name"] for stage in protocol.settings.get("stages", ())]
    steps: list[IonicStep] = []
    jobs: list[tuple[Callable[[Any, str, str], Sequence[IonicStep]], str, Any]]
    jobs = [(_steps_of_output, name, output) for name, output in finished_outputs(folder)]
    jobs += [(_steps_of_files, name, path) for name, path in unfinished_folders(folder)]
    for number, (read, name, left) in enumerate(jobs):
        stage = stages[number] if number < len(stages) else name
        try:
            steps += read(left, stage, protocol.functional)
        except (ValueError, LookupError, TypeError, AttributeError, SyntaxError, OSError):
            continue
    return tuple(step for step in steps if np.isfinite([step.energy, step.max_force]).all())


def _steps_of_output(document: dict[str, Any], stage: str, functional: str) -> Sequence[IonicStep]:
    if "calcs_reversed" in document:
        return steps_of(document, stage=stage, of=functional)
    return ase_steps(document, stage)


def _steps_of_files(folder: Path, stage: str, functional: str) -> Sequence[IonicStep]:
    if (folder / TRAJECTORY).exists():
        return _steps_of_trajectory(folder / TRAJECTORY, stage)
    for path in (folder / name for name in _VASP_RUNS):
        if path.exists():
            return steps_of(_vasp_document(path), stage=stage, of=functional)
    return ()


def _steps_of_trajectory(path: Path, stage: str) -> list[IonicStep]:
    from ase.io.trajectory import Trajectory
    from pymatgen.io.ase import AseAtomsAdaptor

    steps = []
    with Trajectory(str(path)) as trajectory:  # type: ignore[no-untyped-call]  # ASE's
        for atoms in trajectory:
            values = atoms.calc.results
            crystal: Any = AseAtomsAdaptor.get_structure(atoms)
            stress, moments = values.get("stress"), values.get("magmoms")
            step = ionic_step(crystal, values["energy"], values["forces"], stress=stress, moments=moments, stage=stage)
            steps.append(step)
    return steps


def _vasp_document(path: Path) -> dict[str, Any]:
    """Read a run of VASP, cut off as it may be, as far as a task document is asked for its steps."""
    from pymatgen.io.vasp import Vasprun

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is cut off
        run = Vasprun(path, parse_dos=False, parse_eigen=False, parse_potcar_file=False, exception_on_bad_xml=False)
    whole = [step for step in run.ionic_steps if {"structure", "e_0_energy", "forces"} <= step.keys()]
    return {"calcs_reversed": [{"output": {"ionic_steps": whole}, "input": {"incar": dict(run.incar)}}]}

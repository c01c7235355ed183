"""CHGNet through atomate2's force-field Makers, with one calculator per process.

CHGNet: Deng et al., Nature Machine Intelligence 5, 1031 (2023), doi:10.1038/s42256-023-00716-3. Its weights come inside
the package, so nothing is fetched.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import ase.filters
import numpy as np
import torch
from atomate2.ase.utils import AseRelaxer
from atomate2.forcefields.jobs import ForceFieldRelaxMaker
from chgnet.model.dynamics import CHGNetCalculator
from chgnet.model.model import CHGNet
from threadpoolctl import threadpool_limits

from matscout.db.documents import MagneticStart
from matscout.workflows.calculations.reading import (
    UnreadableOutputError,
    ionic_step,
    read_ase,
    result_fields,
    without_repeats,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ase import Atoms
    from ase.calculators.calculator import Calculator
    from atomate2.ase.schemas import AseResult
    from jobflow import Job
    from pymatgen.core import Molecule, Structure

    from matscout.workflows.calculations.protocols import Protocol

NO_MAGNETISM = MagneticStart(
    policy="none: CHGNet takes neither moments nor U, and predicts the moments of what it learned from",
    ordering="none",
)


class CollapsedCellError(RuntimeError):
    """A relaxation squeezed its cell until CHGNet's graph would no longer fit into memory."""


class GuardedCHGNetCalculator(CHGNetCalculator):
    """CHGNet that refuses a collapsed cell instead of building a graph of tens of GB."""

    min_volume: float = 0.0

    def calculate(self, atoms: Atoms | None = None, *args: Any, **kwargs: Any) -> None:
        """Calculate energy, forces, stress and magnetic moments of `atoms`."""
        if atoms is not None:
            volume = float(atoms.cell.volume) / len(atoms)
            if volume < self.min_volume:
                raise CollapsedCellError(f"the cell collapsed to {volume:.2f} Å³/atom while relaxing")
        super().calculate(atoms, *args, **kwargs)


@cache
def chgnet_calculator(model: str, min_volume: float) -> Calculator:
    """Load CHGNet once per process: loading takes half a second, a relaxation often less."""
    with contextlib.redirect_stdout(io.StringIO()):  # chgnet prints what it loads
        network = CHGNet.load(model_name=model, use_device="cpu", verbose=False)
        calculator = GuardedCHGNetCalculator(network, use_device="cpu", on_isolated_atoms="error")
    calculator.min_volume = min_volume
    return calculator


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one core: the last digits of a sum depend on how many threads share it, and with them the choices."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


@dataclass
class ChgnetMaker(ForceFieldRelaxMaker):
    """Relax a crystal with CHGNet, or take its energy as it stands.

    A Maker of atomate2 (``make(structure)`` gives its usual job and task document) that shares one calculator between
    all calculations of a process. Made from a protocol with `from_protocol`.

    Attributes
    ----------
    min_volume
        Volume below which a cell counts as collapsed, Å³/atom.
    model
        Edition of the packaged weights.
    cell_filter
        How positions and cell are relaxed together, a class of ``ase.filters``. Near the end of a relaxation all agree;
        atomate2's own choice spends half of its time on matrix logarithms.
    """

    name: str = "chgnet-relax"
    force_field_name: str = "CHGNet"
    steps: int = 200
    optimizer_kwargs: dict[str, Any] = field(default_factory=lambda: {"optimizer": "BFGS"})
    relax_kwargs: dict[str, Any] = field(default_factory=lambda: {"fmax": 0.05, "final_atoms_object_file": None})
    min_volume: float = 2.0
    model: str = "0.3.0"
    cell_filter: str = "UnitCellFilter"

    @classmethod
    def from_protocol(cls, protocol: Protocol, *, folder: Path | None = None) -> ChgnetMaker:
        """Make the Maker of a protocol; it writes into `folder` alone, and nothing when that is None."""
        settings = protocol.settings
        relax = settings["relax"] != "nothing"
        final = str(folder / "final_atoms_object.xyz") if folder else None
        options: dict[str, Any] = {"relax_kwargs": {"final_atoms_object_file": final}}
        if relax:
            options["relax_kwargs"]["fmax"] = settings["fmax_eV_per_A"]
            options["optimizer_kwargs"] = {"optimizer": settings["optimizer"]}
            options["cell_filter"] = settings["cell_filter"]
        return cls(
            name=protocol.name,
            relax_cell=relax,
            steps=settings["max_steps"] if relax else 0,
            min_volume=settings["min_volume_A3_per_atom"],
            model=settings["model"],
            **options,
        )

    def run_ase(self, mol_or_struct: Structure | Molecule, prev_dir: str | Path | None = None) -> AseResult:  # noqa: ARG002
        """Relax a structure, or take its energy; `prev_dir` is not used, as in atomate2."""
        relaxer = AseRelaxer(self.calculator, relax_cell=self.relax_cell, **self.optimizer_kwargs)
        cell_filter = getattr(ase.filters, self.cell_filter)
        return relaxer.relax(
            mol_or_struct, steps=self.steps, cell_filter=cell_filter, use_emmet_models=False, **self.relax_kwargs
        )

    def _get_calculator(self) -> Calculator:
        return chgnet_calculator(self.model, self.min_volume)


def maker(protocol: Protocol) -> ChgnetMaker:
    """Make the Maker of a protocol."""
    return ChgnetMaker.from_protocol(protocol)


def make(protocol: Protocol, structure: Structure) -> Job:
    """Make the job of one crystal."""
    made: Any = maker(protocol)
    job: Job = made.make(structure)
    return job


def read(protocol: Protocol, outputs: Mapping[str, Any], structure: Structure) -> dict[str, Any]:  # noqa: ARG001  as for other codes
    """Read the task document of the job as fields of a result."""
    return read_ase(outputs, structure)


def calculate_here(protocol: Protocol, structure: Structure, folder: Path | None) -> dict[str, Any]:
    """Calculate in this process with the calculator it has loaded: no job, no document, milliseconds.

    Returns
    -------
    The same fields as `read`.

    Raises
    ------
    CollapsedCellError
        The relaxation squeezed the cell to nothing.
    UnreadableOutputError
        The energy is not a number.
    """
    with one_thread():
        outcome = ChgnetMaker.from_protocol(protocol, folder=folder).run_ase(structure)
    trajectory: Any = outcome.trajectory  # pymatgen's, as the Maker asks for it
    properties = trajectory.frame_properties
    if not np.isfinite([frame["energy"] for frame in properties]).all():
        raise UnreadableOutputError("the energy is not a number")
    steps = without_repeats(
        [
            ionic_step(frame, values["energy"], values["forces"], stress=values.get("stress"))
            for frame, values in zip(trajectory, properties, strict=True)
        ]
    )
    final: Any = outcome.final_mol_or_struct  # a Structure, as one went in
    fields = result_fields(structure, final, steps, steps[-1].energy)
    moments = properties[-1].get("magmoms")
    return fields | {
        "converged": bool(outcome.converged),
        "magnetic_moments": None if moments is None else tuple(np.ravel(moments).astype(float).tolist()),
    }

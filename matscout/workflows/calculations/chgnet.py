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
import torch
from atomate2.ase.utils import AseRelaxer
from atomate2.forcefields.jobs import ForceFieldRelaxMaker
from chgnet.model.dynamics import CHGNetCalculator
from chgnet.model.model import CHGNet
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ase import Atoms
    from ase.calculators.calculator import Calculator
    from atomate2.ase.schemas import AseResult
    from pymatgen.core import Molecule, Structure

    from matscout.workflows.calculations.protocols import Protocol


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

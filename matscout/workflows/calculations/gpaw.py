"""GPAW: plane-wave DFT through ASE, on atomate2's base classes.

GPAW: Mortensen et al., J. Chem. Phys. 160, 092503 (2024), doi:10.1063/5.0182685. It runs in this process, on one core.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ase.filters
import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from atomate2.ase.jobs import AseRelaxMaker
from atomate2.ase.utils import OPTIMIZERS, AseRelaxer
from jobflow import Flow, Maker
from pymatgen.core import Element
from pymatgen.io.ase import AseAtomsAdaptor
from threadpoolctl import threadpool_limits

from matscout.workflows.calculations.checks import cell_heights
from matscout.workflows.calculations.magnetism import hubbard_u, starting_moments
from matscout.workflows.calculations.reading import TRAJECTORY, read_ase

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ase import Atoms
    from atomate2.ase.schemas import AseResult
    from jobflow import Job
    from pymatgen.core import Molecule, Structure

    from matscout.workflows.calculations.protocols import Protocol


def parameters(structure: Structure, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of the calculator for one crystal, as plain data.

    The k-points are those of the cell at the start and stay through a relaxation, so that its energies are comparable.
    """
    options: dict[str, Any] = {
        "mode": {"name": "pw", "ecut": settings["cutoff_eV"]},
        "xc": settings["xc"],
        "kpts": {"size": k_points(structure, settings), "gamma": True},
        "occupations": {"name": settings["smearing"]["name"], "width": settings["smearing"]["width_eV"]},
        "convergence": dict(settings["convergence"]),
        "maxiter": settings["max_scf_steps"],
        "spinpol": starting_moments(structure, settings["magnetism"]) is not None,
    }
    values = hubbard_u(structure, settings["hubbard_u"])
    if values:
        # the 0 leaves the projections as they are instead of scaling them to one
        options["setups"] = {symbol: f":{_shell(symbol)},{u:g},0" for symbol, u in sorted(values.items())}
    options |= {key: dict(settings[key]) for key in ("mixer", "eigensolver") if settings[key]}
    options |= copy.deepcopy(settings["calculator"])
    return options


def _shell(symbol: str) -> str:
    """Shell that a U acts on."""
    element = Element(symbol)
    return "f" if element.is_lanthanoid or element.is_actinoid else "d"


def k_points(structure: Structure, settings: Mapping[str, Any]) -> list[int]:
    """Division of the reciprocal cell: a fixed density, and one point along axes with a vacuum."""
    density = settings["k_points_per_inverse_A"]
    lengths = np.array(structure.lattice.reciprocal_lattice.abc)
    divisions = np.maximum(np.ceil(lengths * density - 1e-9), 1).astype(int)  # 2 pi is in pymatgen's reciprocal lattice
    return [
        1 if empty else int(n) for n, empty in zip(divisions, vacuum_axes(structure, settings["vacuum_A"]), strict=True)
    ]


def vacuum_axes(structure: Structure, gap: float) -> list[bool]:
    """Whether there is a layer without atoms, at least `gap` Å thick, across each lattice vector."""
    heights = cell_heights(structure)
    found = []
    for axis in range(3):
        places = np.sort(structure.frac_coords[:, axis] % 1.0)
        widest = float(np.diff([*places, places[0] + 1.0]).max()) * heights[axis]
        found.append(widest >= gap)
    return found


def pulay_energy(symbols: Sequence[str], functional: str, cutoff: float) -> float:
    """Pulay stress times the volume, eV: what the stress lacks because the plane waves are not complete.

    From the kinetic energy of each free atom's partial waves beyond the cutoff, as earlier editions of GPAW did it
    themselves: 2/3 of the cutoff times the energy's derivative by it.
    """
    from ase.units import Ha
    from gpaw.setup import create_setup
    from gpaw.utilities.ekin import dekindecut, ekin
    from gpaw.xc import XC

    total = 0.0
    for symbol in sorted(set(symbols)):
        momenta, density, _ = ekin(create_setup(symbol, XC(functional)))
        total -= float(dekindecut(momenta, density, cutoff / Ha)) * symbols.count(symbol)
    return 2 / 3 * cutoff * total


_PROPERTIES = ("energy", "free_energy", "forces", "stress", "magmom", "magmoms")


class PulayCorrected(Calculator):
    """A plane-wave calculator whose stress is that of a complete basis, as far as the free atoms tell."""

    name = "gpaw"

    def __init__(self, inner: Any, pulay: float, *, spin: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # ASE's
        self.inner = inner
        self.pulay = pulay
        self.implemented_properties = [name for name in _PROPERTIES if spin or "magmom" not in name]

    def calculate(
        self, atoms: Atoms | None = None, properties: Sequence[str] = ("energy",), system_changes: Any = all_changes
    ) -> None:
        """Calculate energy, forces, stress and magnetic moments of `atoms`."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]  # ASE's
        crystal: Any = self.atoms
        values = {name: self.inner.get_property(name, crystal) for name in self.implemented_properties}
        pressure = self.pulay / crystal.cell.volume
        values["stress"] = np.array(values["stress"]) + pressure * np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
        self.results = values


@dataclass
class GpawMaker(AseRelaxMaker):
    """Relax a crystal with GPAW, or take its energy as it stands.

    Attributes
    ----------
    settings
        Those of a protocol, see the catalogue: cutoff, k-points, smearing, spin and U, optimizer.
    relaxing
        Whether atoms and cell move; cells with a vacuum on every side keep their cell.
    """

    name: str = "relax"
    settings: dict[str, Any] = field(default_factory=dict)
    relaxing: bool = True

    def run_ase(self, mol_or_struct: Structure | Molecule, prev_dir: str | Path | None = None) -> AseResult:  # noqa: ARG002
        """Run GPAW in the working directory, where it writes ``gpaw.txt``."""
        settings = self.settings
        structure: Any = mol_or_struct  # a Structure, as its flow gives it
        moving_cell = self.relaxing and not all(vacuum_axes(structure, settings["vacuum_A"]))
        relaxer: Any = AseRelaxer(self.calculator_of(structure), relax_cell=moving_cell, optimizer=_optimizer(settings))
        atoms: Any = AseAtomsAdaptor().get_atoms(structure)
        moments = starting_moments(structure, settings["magnetism"])
        atoms.set_initial_magnetic_moments(moments or [0.0] * len(atoms))
        with threadpool_limits(1):
            result: AseResult = relaxer.relax(
                atoms,
                fmax=settings["fmax_eV_per_A"],
                steps=settings["max_steps"] if self.relaxing else 0,
                cell_filter=getattr(ase.filters, settings["cell_filter"]),
                final_atoms_object_file=None,
                use_emmet_models=False,
                trajectory=TRAJECTORY,
            )
        result.final_mol_or_struct = _plain(result.final_mol_or_struct, moments)
        return result

    def calculator_of(self, structure: Structure) -> Calculator:
        """Make GPAW for one crystal."""
        from gpaw import GPAW

        symbols = [site.specie.symbol for site in structure]
        functional, cutoff = self.settings["xc"], self.settings["cutoff_eV"]
        pulay = pulay_energy(symbols, functional, cutoff) if self.settings["pulay_correction"] else 0.0
        options = parameters(structure, self.settings)
        return PulayCorrected(GPAW(**options, txt="gpaw.txt"), pulay, spin=options["spinpol"])

    def _get_calculator(self) -> Calculator:
        """Name the code for the task document: each crystal gets a calculator of its own."""
        from gpaw import GPAW

        named: Calculator = GPAW(mode="pw", txt=None)
        return named


def _optimizer(settings: Mapping[str, Any]) -> Any:
    """Return the optimizer's class with the protocol's longest step."""
    base: Any = OPTIMIZERS[settings["optimizer"]]

    class Steps(base):  # type: ignore[misc]  # ASE is untyped
        def __init__(self, atoms: Any, **options: Any) -> None:
            super().__init__(atoms, maxstep=settings["max_step_A"], **options)

    return Steps


def _plain(structure: Any, moments: tuple[float, ...] | None) -> Structure:
    """Take the final crystal without the calculator's properties, with the moments that the next stage begins with."""
    from pymatgen.core import Structure

    bare = Structure(structure.lattice, structure.species, structure.frac_coords)
    if moments is not None:
        bare.add_site_property("magmom", list(moments))
    return bare


@dataclass
class GpawFlowMaker(Maker):
    """Relax cell and positions, then take the energy at the final cell with a basis of its own.

    The plane waves and k-points of a relaxation belong to the cell it began with.
    """

    name: str = "gpaw-pbe"
    settings: dict[str, Any] = field(default_factory=dict)

    def make(self, structure: Structure) -> Flow:
        """Make the flow of two jobs, relax and static."""
        relax = GpawMaker(name="relax", settings=self.settings).make(structure)
        static = GpawMaker(name="static", settings=self.settings, relaxing=False).make(relax.output.structure)
        return Flow([relax, static], output=static.output, name=self.name)


def maker(protocol: Protocol) -> Maker:
    """Make the Maker of a protocol."""
    if protocol.relaxes:
        return GpawFlowMaker(name=protocol.name, settings=protocol.settings)
    return GpawMaker(name="static", settings=protocol.settings, relaxing=False)


def make(protocol: Protocol, structure: Structure) -> Flow | Job:
    """Make the flow or the job of one crystal."""
    return maker(protocol).make(structure)


def read(protocol: Protocol, outputs: Mapping[str, Any], structure: Structure) -> dict[str, Any]:
    """Read the task documents of relax and static as fields of a result."""
    stages = ("relax", "static") if protocol.relaxes else ("static",)
    fields = read_ase(dict(zip(stages, outputs.values(), strict=True)), structure)
    used = parameters(fields["geometry"].to_structure(), protocol.settings)
    fields["run"] = {
        "run_type": "PBE+U" if "setups" in used else str(protocol.settings["xc"]),
        "hubbards": hubbard_u(structure, protocol.settings["hubbard_u"]),
        "k_points": used["kpts"]["size"],
        "spin_polarised": used["spinpol"],
        "software": "gpaw",
    }
    return fields


def input_files(protocol: Protocol, structure: Structure) -> dict[str, str]:
    """Write what GPAW would be called with, as files: the keyword arguments, and the moments."""
    import json

    moments = starting_moments(structure, protocol.settings["magnetism"])
    content = {"GPAW": parameters(structure, protocol.settings), "initial_magnetic_moments": moments}
    return {"gpaw.json": json.dumps(content, indent=2) + "\n"}

"""The protocols themselves, as data."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from matscout.workflows.calculations.magnetism import HUBBARD_U, MOMENTS
from matscout.workflows.calculations.protocols import Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

_CHGNET_PACKAGES = ("chgnet", "torch", "ase", "atomate2", "pymatgen", "numpy")
_CHGNET_FUNCTIONAL = "PBE+U with MP2020 corrections, as CHGNet 0.3.0 learned them"
_CHGNET_MAKER = "matscout.workflows.calculations.chgnet.ChgnetMaker"
_CHGNET_INPUT = {
    "model": "0.3.0",
    "min_volume_A3_per_atom": 2.0,
    "min_distance_of_covalent_radii": 0.5,
    "isolated_beyond_A": 5.7,  # in metallic Cs neighbours are 5.3 Å apart; CHGNet sees 6 Å far
}
_CHGNET_RELAX = {
    **_CHGNET_INPUT,
    "relax": "cell and positions",
    "optimizer": "BFGS",
    "cell_filter": "UnitCellFilter",
    "fmax_eV_per_A": 0.05,
    "max_steps": 200,
    "max_volume_ratio": 5.0,
}

_RATTLED = {
    "kind": "rattled",
    "least_length_A": 7.0,  # of the supercell: with one cubic perovskite cell no octahedron can tilt
    "rattle_A": 0.05,
    "strain": 0.01,
    "seed": 0,
    "tolerance_eV_per_atom": 0.002,
}
_PHONONS = {
    "kind": "phonons",
    "least_length_A": 7.0,
    "displacement_A": 0.03,  # by 0.01 Å the single precision of a network turns soft modes imaginary
    "tolerance_THz": 0.3,
}

_ANOTHER = dict.fromkeys(
    ("relax", "check.kind"),
    "it says what the protocol does; take the protocol that does the other (matscout protocols)",
)


def _chgnet(name: str, settings: dict[str, Any], seconds_per_site: float, **options: Any) -> Protocol:
    return Protocol(
        name=name,
        version=1,
        code="chgnet",
        functional=_CHGNET_FUNCTIONAL,
        settings=settings,
        maker_name=_CHGNET_MAKER,
        packages=(*_CHGNET_PACKAGES, *options.pop("also", ())),
        extra="gnn",
        seconds_per_site=seconds_per_site,
        help_settings=("optimizer", "max_steps"),
        fixed=_ANOTHER,
        **options,
    )


_GPAW = {
    "xc": "PBE",
    "cutoff_eV": 700.0,  # lower ones do not hold semicore electrons, such as magnesium's: energy and stress go astray
    "pulay_correction": True,  # of the stress, from the kinetic energy of the free atoms beyond the cutoff
    "k_points_per_inverse_A": 3.5,
    "vacuum_A": 6.0,
    "smearing": {"name": "fermi-dirac", "width_eV": 0.05},
    "convergence": {"energy": 1e-5, "density": 1e-4, "eigenstates": 4e-8},
    "max_scf_steps": 200,
    "mixer": {},
    "eigensolver": {},
    "magnetism": {
        "policy": "ferromagnetic, high-spin moments of the Materials Project; spin-polarised only where an element of "
        "the table is present, or in oxygen alone",
        "moments": MOMENTS,
        "default": 0.6,
        "moments_of_the_element": {"O": 1.0},
        "orderings": 1,
        "ordering_cells": 2,
    },
    "hubbard_u": HUBBARD_U,
    "calculator": {},
    "min_volume_A3_per_atom": 2.0,
    "min_distance_of_covalent_radii": 0.5,
}
_GPAW_RELAX = {
    **_GPAW,
    "relax": "cell and positions, then static",
    "optimizer": "BFGS",
    "cell_filter": "FrechetCellFilter",
    "fmax_eV_per_A": 0.03,
    "max_step_A": 0.2,
    "max_steps": 100,
    "max_volume_ratio": 3.0,
}
_GPAW_PACKAGES = ("gpaw", "gpaw-data", "ase", "atomate2", "pymatgen", "numpy", "scipy")
_GPAW_FIXED = _ANOTHER | dict.fromkeys(
    ("xc", "calculator.xc"),
    "potentials, U and the run type of its entries are PBE's; for another functional name a Maker of your own by the "
    "protocol custom",
)
_GPAW_HELP = ("mixer", "eigensolver", "max_scf_steps", "optimizer", "max_step_A", "max_steps")
_VASP_FIXED = _ANOTHER | dict.fromkeys(
    ("flow", "stages", "config"),
    "it is what atomate2 and pymatgen hold; set incar.X, kpoints.X or potcar.X instead, which go above it",
)
_VASP_HELP = tuple(
    f"incar.{tag}" for tag in ("ALGO", "NELM", "NSW", "AMIX", "BMIX", "IBRION", "POTIM", "NCORE", "KPAR")
)


def _gpaw(name: str, settings: dict[str, Any], seconds_per_site: float, **options: Any) -> Protocol:
    return Protocol(
        name=name,
        version=1,
        code="gpaw",
        functional="PBE, with the Materials Project's +U in oxides and fluorides",
        settings=settings,
        maker_name="matscout.workflows.calculations.gpaw."
        + ("GpawMaker" if settings["relax"] == "nothing" else "GpawFlowMaker"),
        packages=(*_GPAW_PACKAGES, *options.pop("also", ())),
        extra="dft",
        seconds_per_site=seconds_per_site,
        help_settings=_GPAW_HELP,
        fixed=_GPAW_FIXED,
        **options,
    )


@cache
def _vasp_settings() -> dict[str, Any]:
    text = (files("matscout.workflows.calculations") / "vasp_settings.json").read_text(encoding="utf-8")
    settings: dict[str, Any] = json.loads(text)
    return settings


def _vasp(name: str, functional: str, corrections: str, **options: Any) -> Protocol:
    settings = _vasp_settings()[name]
    return Protocol(
        name=name,
        version=1,
        code="vasp",
        functional=functional,
        settings={
            **settings,
            "relax": "cell and positions twice, then static",
            "incar": {},
            "kpoints": {},
            "potcar": {},
            "magnetism": {
                "policy": "ferromagnetic, high-spin moments of the Materials Project's input set (config.INCAR.MAGMOM)",
                "orderings": 1,
                "ordering_cells": 2,
            },
            "max_volume_ratio": 3.0,
            "min_volume_A3_per_atom": 2.0,
            "min_distance_of_covalent_radii": 0.5,
        },
        maker_name=settings["flow"],
        corrections=corrections,
        help_settings=_VASP_HELP,
        fixed=_VASP_FIXED,
        packages=("atomate2", "pymatgen", "custodian", "emmet-core"),
        seconds_per_site=2000.0,
        **options,
    )


_CUSTOM = Protocol(
    name="custom",
    version=1,
    code="custom",
    functional="stated by whoever names the Maker",
    settings={
        "maker": "",
        "maker_settings": {},
        "functional": "",
        "packages": [],
        "relax": "as the Maker does",
        "max_volume_ratio": 5.0,
        "min_volume_A3_per_atom": 2.0,
        "min_distance_of_covalent_radii": 0.5,
    },
    seconds_per_site=1.0,
)

_MADE: dict[str, Callable[[str], Protocol]] = {
    "chgnet-relax": lambda name: _chgnet(name, _CHGNET_RELAX, 0.12),
    "chgnet-static": lambda name: _chgnet(name, {**_CHGNET_INPUT, "relax": "nothing"}, 0.005),
    "chgnet-rattled": lambda name: _chgnet(
        name, {**_CHGNET_RELAX, "fmax_eV_per_A": 0.02, "max_steps": 500, "check": _RATTLED}, 5.0
    ),
    "chgnet-phonons": lambda name: _chgnet(
        name, {**_CHGNET_RELAX, "fmax_eV_per_A": 0.005, "max_steps": 500, "check": _PHONONS}, 1.0, also=("phonopy",)
    ),
    "gpaw-pbe": lambda name: _gpaw(name, _GPAW_RELAX, 40.0),
    "gpaw-pbe-static": lambda name: _gpaw(name, {**_GPAW_RELAX, "relax": "nothing"}, 5.0),
    "gpaw-pbe-rattled": lambda name: _gpaw(name, {**_GPAW_RELAX, "check": _RATTLED}, 2000.0),
    "gpaw-pbe-phonons": lambda name: _gpaw(
        name, {**_GPAW_RELAX, "fmax_eV_per_A": 0.01, "check": _PHONONS}, 500.0, also=("phonopy",)
    ),
    "vasp-mp-gga": lambda name: _vasp(
        name,
        "PBE, with the Materials Project's +U in oxides and fluorides",
        "mp2020",
        entry={"energy": "that of the static run", "states": "its run type and U, as the Materials Project's"},
    ),
    "vasp-mp-r2scan": lambda name: _vasp(
        name,
        "r2SCAN, after a relaxation with PBEsol",
        "none",
        entry={"energy": "that of the static run", "states": "its run type, as the Materials Project's"},
    ),
    "custom": lambda _: _CUSTOM,
}

NAMES = tuple(_MADE)


@cache
def protocol_named(name: str) -> Protocol:
    """Make a protocol: those of VASP read their settings from a file, so none is made before it is asked for."""
    return _MADE[name](name)

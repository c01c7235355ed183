"""Input files of a calculation, written without running it."""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any

from matscout.db.files import write_text
from matscout.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from pymatgen.core import Structure

    from matscout.workflows.calculations.protocols import Protocol

_OWN_FILES = frozenset({"gpaw", "vasp"})


def input_files(protocol: Protocol, structure: Structure) -> dict[str, str]:
    """Content of every input file, by its path below the folder.

    Parameters
    ----------
    protocol
        The protocol.
    structure
        The crystal. Of a protocol with several parts, the files are those of the first: what the later parts begin with
        is known only then.

    Returns
    -------
    ``protocol.json`` with all settings, and ``POSCAR``; for VASP a folder each of ``1-relax``, ``2-relax`` and
    ``3-static`` with INCAR, KPOINTS, POSCAR and POTCAR.spec, the names of the licensed potentials; for GPAW
    ``gpaw.json``, the keyword arguments of the calculator.

    Raises
    ------
    UserError
        The crystal cannot be calculated, and why.
    """
    from matscout.workflows.calculations.guards import refusal

    protocol.versions()
    reason = refusal(structure, protocol.settings, protocol.code)
    if reason:
        raise UserError(f"protocol {protocol.label} cannot calculate {structure.composition.reduced_formula}: {reason}")
    files = {"protocol.json": json.dumps(as_data(protocol), indent=2, ensure_ascii=False) + "\n"}
    if protocol.code in _OWN_FILES:
        code = import_module(f"matscout.workflows.calculations.{protocol.code}")
        files |= code.input_files(protocol, structure)
    if protocol.code != "vasp":
        files["POSCAR"] = structure.to(fmt="poscar")
    return files


def write_inputs(protocol: Protocol, structure: Structure, folder: Path) -> list[Path]:
    """Write every input file below a folder.

    Raises
    ------
    UserError
        The folder holds other files of these names, or what `input_files` refuses.
    """
    files = input_files(protocol, structure)
    paths = {folder / name: content for name, content in files.items()}
    taken = [path for path, content in paths.items() if path.exists() and path.read_text() != content]
    if taken:
        raise UserError(f"{taken[0]} is there already with another content: name another folder")
    for path, content in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, content)
    return list(paths)


def as_data(protocol: Protocol) -> dict[str, Any]:
    """Return all of a protocol as plain data."""
    return {
        "name": protocol.name,
        "id": protocol.id,
        "version": protocol.version,
        "code": protocol.code,
        "functional": protocol.functional,
        "maker": protocol.maker_name,
        "corrections": protocol.corrections,
        "entry": protocol.entry,
        "packages": list(protocol.packages),
        "overrides": protocol.overrides,
        "settings": protocol.settings,
    }

"""Protocols of the user's own: any importable Maker by its dotted name.

The Maker's ``make(structure)`` gives a job or a flow whose last output is a task document of atomate2: of its ASE or
force-field jobs, or of VASP.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from functools import cache
from importlib import import_module
from importlib.metadata import packages_distributions
from typing import TYPE_CHECKING, Any

from matscout.errors import UserError, nearest
from matscout.workflows.calculations.reading import (
    UnreadableOutputError,
    as_structure,
    plain,
    read_ase,
    result_fields,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobflow import Flow, Job, Maker
    from pymatgen.core import Structure

    from matscout.workflows.calculations.protocols import Protocol


def overridden(protocol: Protocol) -> Protocol:
    """Take functional and packages over from the settings, where the user says them."""
    settings = protocol.settings
    name = settings["maker"]
    package = name.partition(".")[0].partition(":")[0]
    brought_by = _distributions().get(package, [])
    return replace(
        protocol,
        functional=settings["functional"] or protocol.functional,
        maker_name=name,
        packages=tuple(dict.fromkeys([*settings["packages"], *brought_by, "atomate2", "pymatgen"])),
    )


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Return the distributions that bring each package: found by reading the whole environment, a third of a second."""
    return packages_distributions()


def maker(protocol: Protocol) -> Maker:
    """Import the Maker and make it with the protocol's settings.

    Raises
    ------
    UserError
        None is named, it cannot be imported, has no ``make``, or does not take the settings.
    """
    name = protocol.settings["maker"]
    if not name:
        raise UserError(
            "protocol custom needs the dotted name of a Maker: --override maker=my_package.my_module.MyMaker"
        )
    kind = _imported(name)
    options = protocol.settings["maker_settings"]
    if is_dataclass(kind):
        known = [one.name for one in fields(kind) if one.init]
        for option in options:
            if option not in known:
                close = nearest(option, known)
                hint = f" Nearest: {close}." if close else ""
                raise UserError(f"{name} takes no {option}.{hint} It takes {', '.join(known)}")
    try:
        made: Maker = kind(**options)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} cannot be made with maker_settings {options}: {error}") from error
    return made


def _imported(name: str) -> Any:
    module, _, attribute = name.replace(":", ".").rpartition(".")
    if not module:
        raise UserError(f'maker "{name}" is no dotted name: write package.module.Maker')
    try:
        home = import_module(module)
    except ImportError as error:
        raise UserError(
            f"maker {name} cannot be imported: {error}. Is its package installed where this runs?"
        ) from None
    kind = getattr(home, attribute, None)
    if kind is None:
        close = nearest(attribute, [one for one in vars(home) if not one.startswith("_")])
        raise UserError(f"{module} has no {attribute}." + (f" Nearest: {close}." if close else ""))
    if not callable(getattr(kind, "make", None)):
        raise UserError(f"{name} is no Maker: it has no method make")
    return kind


def make(protocol: Protocol, structure: Structure) -> Flow | Job:
    """Make the job or flow of one crystal."""
    flow: Flow | Job = maker(protocol).make(structure)
    return flow


def read(protocol: Protocol, outputs: Mapping[str, Any], structure: Structure) -> dict[str, Any]:
    """Read the outputs of jobs that are task documents of atomate2; others are passed over.

    Raises
    ------
    UnreadableOutputError
        None is one.
    """
    documents = {name: plain(output) for name, output in outputs.items()}
    documents = {name: output for name, output in documents.items() if isinstance(output, dict)}
    vasp = {name: output for name, output in documents.items() if "calcs_reversed" in output}
    if vasp:
        return _read_vasp(protocol, vasp, structure)
    of_ase = {name: output for name, output in documents.items() if isinstance(output.get("output"), dict)}
    of_ase = {name: output for name, output in of_ase.items() if output["output"].get("ionic_steps")}
    if not of_ase:
        raise UnreadableOutputError(
            f"none of the outputs of {protocol.settings['maker']} is a task document of atomate2 with ionic steps"
        )
    return read_ase(of_ase, structure)


def _read_vasp(protocol: Protocol, documents: Mapping[str, Any], structure: Structure) -> dict[str, Any]:
    from matscout.workflows.calculations.vasp import run_of, steps_of

    steps = [
        step
        for stage, document in documents.items()
        for step in steps_of(document, stage=stage, of=protocol.functional)
    ]
    last = list(documents.values())[-1]
    final = as_structure(last["output"]["structure"])
    found = result_fields(structure, final, steps, float(last["output"]["energy"]))
    return found | {"converged": True, "run": run_of(last)}

"""VASP through atomate2's flows of the Materials Project, with custodian.

The settings of a protocol are all that the flow's input sets hold, written out in ``vasp_settings.json``. A Maker is
only given out if the installed packages hold the same: an update of pymatgen that changes a cutoff is said, not slipped
in. The run command is the worker's: atomate2 reads ``ATOMATE2_VASP_CMD`` and ``ATOMATE2_VASP_GAMMA_CMD`` from the
environment, or ``~/.atomate2.yaml``, when the process starts; it stands in no flow and in no id.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from matscout.db.documents import MagneticStart
from matscout.errors import UserError
from matscout.workflows.calculations.reading import (
    UnreadableOutputError,
    as_structure,
    ionic_step,
    plain,
    result_fields,
    stress_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobflow import Flow, Maker
    from pymatgen.core import Structure

    from matscout.db.documents import IonicStep
    from matscout.workflows.calculations.protocols import Protocol

_OPTIONS = (
    "auto_ismear",
    "auto_ispin",
    "auto_kspacing",
    "auto_lreal",
    "auto_metal_kpoints",
    "bandgap_tol",
    "force_gamma",
    "inherit_incar",
    "sym_prec",
    "user_incar_settings",
    "user_kpoints_settings",
    "user_potcar_functional",
    "user_potcar_settings",
    "vdw",
)
"""Options of an input set that its files depend on."""

_STAGES = ("1-relax", "2-relax", "3-static")
_FUNCTIONALS = {"PS": "PBEsol", "PE": "PBE"}
_ABOVE = {"INCAR": "incar", "KPOINTS": "kpoints", "POTCAR": "potcar"}
"""Parts of an input set's configuration, and the settings whose values go above theirs."""

_OF_RELAXATION = frozenset({"NSW", "IBRION", "ISIF", "POTIM", "EDIFFG"})
"""Tags that say how atoms move, which the static run would take as an order to move them."""


def _flow_class(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


def _stage_makers(flow_maker: Any) -> list[Any]:
    double = flow_maker.relax_maker
    return [double.relax_maker1, double.relax_maker2, flow_maker.static_maker]


def installed_settings(flow: str) -> dict[str, Any]:
    """Return the settings of a flow as the installed packages have them, in the form in which a protocol keeps them."""
    import json

    from atomate2.vasp.run import DEFAULT_HANDLERS

    makers = _stage_makers(_flow_class(flow)())
    content = {
        "flow": flow,
        "stages": [
            {
                "name": stage,
                "input_set": type(maker.input_set_generator).__name__,
                "options": {option: getattr(maker.input_set_generator, option) for option in _OPTIONS},
                "from_the_stage_before": list(maker.copy_vasp_kwargs.get("additional_vasp_files", ())),
            }
            for stage, maker in zip(_STAGES, makers, strict=True)
        ],
        "config": {key: value for key, value in makers[0].input_set_generator.CONFIG.items() if key != "PARENT"},
        "custodian": {"max_errors": 5, "handlers": [type(handler).__name__ for handler in DEFAULT_HANDLERS]},
    }
    written: dict[str, Any] = json.loads(json.dumps(content, sort_keys=True))
    return written


def maker(protocol: Protocol) -> Maker:
    """Make atomate2's flow Maker with the protocol's settings.

    Raises
    ------
    UserError
        The installed packages hold other settings than the protocol: names them.
    """
    settings = protocol.settings
    installed = installed_settings(settings["flow"])
    different = [
        name
        for part in ("stages", "config")
        for name in _paths({part: settings[part]}, {part: installed[part]})
        if not _put_right(name, settings)
    ]
    if different:
        raise UserError(
            f"protocol {protocol.label} version {protocol.version} and the installed atomate2 and pymatgen differ in "
            f"{', '.join(different[:6])}{' and more' if len(different) > 6 else ''}: install the versions of "
            "constraints.txt, or put what stands in config right by overrides of incar, kpoints and potcar"
        )
    flow_maker: Any = _flow_class(settings["flow"])()
    for stage in _stage_makers(flow_maker):
        tags = settings["incar"]
        if stage is flow_maker.static_maker:
            tags = {tag: value for tag, value in tags.items() if tag.upper() not in _OF_RELAXATION}
        generator = stage.input_set_generator
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # pymatgen's advice against other potentials
            stage.input_set_generator = replace(  # which takes potentials only when it is made
                generator,
                user_incar_settings={**generator.user_incar_settings, **tags},
                user_kpoints_settings={**generator.user_kpoints_settings, **settings["kpoints"]},
                user_potcar_settings={**generator.user_potcar_settings, **settings["potcar"]},
            )
        # tags of somebody's ~/.atomate2.yaml stand in no id
        stage.write_input_set_kwargs = {**stage.write_input_set_kwargs, "apply_incar_updates": False}
        stage.run_vasp_kwargs = {**stage.run_vasp_kwargs, **_custodian(settings["custodian"], installed["custodian"])}
    flow_maker.name = protocol.name
    made: Maker = flow_maker
    return made


def _put_right(name: str, settings: Mapping[str, Any]) -> bool:
    """Whether a setting of the input set's configuration has a value of the protocol's own above it."""
    _, part, tag = [*name.split("."), "", ""][:3]
    return part in _ABOVE and tag in settings[_ABOVE[part]]


def _custodian(wanted: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """Say to `run_vasp` what is not as usual."""
    from custodian.vasp import handlers

    options: dict[str, Any] = {"max_errors": wanted["max_errors"]}
    if wanted["handlers"] != usual["handlers"]:
        unknown = [name for name in wanted["handlers"] if not hasattr(handlers, name)]
        if unknown:
            raise UserError(f"custodian has no handler {', '.join(unknown)}")
        options["handlers"] = [getattr(handlers, name)() for name in wanted["handlers"]]
    return options


def _paths(settings: Mapping[str, Any], installed: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names in which the settings differ from the installed ones."""
    found = []
    for key in installed:
        name = f"{prefix}{key}"
        one, other = settings.get(key), installed[key]
        if isinstance(one, dict) and isinstance(other, dict):
            found += _paths(one, other, f"{name}.") + [f"{name}.{extra}" for extra in one if extra not in other]
        elif one != other:
            found.append(name)
    return found


def make(protocol: Protocol, structure: Structure) -> Flow:
    """Make the flow of one crystal."""
    made: Any = maker(protocol)
    flow: Flow = made.make(structure)
    return flow


def input_sets(protocol: Protocol, structure: Structure) -> dict[str, Any]:
    """Input set of each stage for a crystal as it stands, with names of potentials in the place of potentials.

    Later stages are shown for the input crystal too: what they take from the stage before them is known only then.
    """
    makers = _stage_makers(maker(protocol))
    return {stage: _input_set(made, structure) for stage, made in zip(_STAGES, makers, strict=True)}


def _input_set(stage_maker: Any, structure: Structure) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pymatgen's advice on potentials and smearing, once a stage
        warnings.simplefilter("ignore", DeprecationWarning)  # how pymatgen calls spglib
        return stage_maker.input_set_generator.get_input_set(structure, potcar_spec=True)


def input_files(protocol: Protocol, structure: Structure) -> dict[str, str]:
    """INCAR, KPOINTS, POSCAR and POTCAR.spec of each stage, by path."""
    return {
        f"{stage}/{name}": str(content).rstrip("\n") + "\n"
        for stage, inputs in input_sets(protocol, structure).items()
        for name, content in inputs.items()
        if content is not None
    }


def magnetic_start(protocol: Protocol, structure: Structure, ordering: str | None) -> MagneticStart:
    """Moments and U that the first stage begins with, read from its INCAR."""
    incar = _input_set(_stage_makers(maker(protocol))[0], structure)["INCAR"]
    moments = [float(moment) for moment in incar.get("MAGMOM", ())]
    symbols = list(dict.fromkeys(site.specie.symbol for site in structure.get_sorted_structure()))
    values = dict(zip(symbols, incar.get("LDAUU", ()), strict=False)) if incar.get("LDAU") else {}
    return MagneticStart(
        policy=protocol.settings["magnetism"]["policy"],
        ordering=ordering or ("ferromagnetic" if moments else "none"),
        moments=tuple(moments) or None,
        hubbard_u={symbol: float(u) for symbol, u in values.items() if u},
    )


def read(protocol: Protocol, outputs: Mapping[str, Any], structure: Structure) -> dict[str, Any]:
    """Read the task documents of relax, relax and static as fields of a result.

    Raises
    ------
    UnreadableOutputError
        A document is missing or cut off.
    """
    documents = [plain(output) for output in outputs.values()]
    documents = [document for document in documents if isinstance(document, dict) and "calcs_reversed" in document]
    stages = [stage["name"] for stage in protocol.settings["stages"]]
    if len(documents) != len(stages):
        raise UnreadableOutputError(f"{len(documents)} of {len(stages)} VASP runs left a task document")
    steps: list[IonicStep] = []
    for stage, document in zip(stages, documents, strict=True):
        steps += steps_of(document, stage=stage, of=protocol.functional)
    last = documents[-1]
    final = as_structure(last["output"]["structure"])
    fields = result_fields(structure, final, steps, float(last["output"]["energy"]))
    moments = final.site_properties.get("magmom")
    return fields | {
        "converged": all(document.get("state") in {"successful", None} for document in documents),
        "magnetic_moments": tuple(float(m) for m in moments) if moments else None,
        "run": run_of(last),
    }


def run_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Run type, U and potentials of a task document, as entries need them."""
    calculation = plain(document["calcs_reversed"][0])
    inputs = plain(calculation.get("input") or {})
    run_type = calculation.get("run_type")
    specs = [plain(spec) for spec in inputs.get("potcar_spec") or ()]
    return {
        "run_type": getattr(run_type, "value", run_type),
        "hubbards": dict(inputs.get("hubbards") or {}),
        "potcar_spec": [{key: spec.get(key) for key in ("titel", "hash")} for spec in specs],
        "software": "vasp",
        "vasp_version": calculation.get("vasp_version"),
    }


def steps_of(document: Mapping[str, Any], *, stage: str | None, of: str) -> list[IonicStep]:
    """Every ionic step of a task document, the unrelaxed one first; a functional is noted where it is another."""
    steps = []
    for calculation in map(plain, reversed(document["calcs_reversed"])):
        found = plain(calculation["output"]).get("ionic_steps") or ()
        incar = plain(calculation.get("input") or {}).get("incar") or {}
        functional = _FUNCTIONALS.get(str(incar.get("GGA", "")).upper())
        other = functional if functional and functional != of.partition(",")[0] else None
        steps += [
            ionic_step(
                as_structure(step["structure"]),
                step["e_0_energy"],
                step["forces"],
                stress=stress_of(step),
                stage=stage,
                functional=other,
            )
            for step in map(plain, found)
        ]
    if not steps:
        raise UnreadableOutputError(f"the task document of {stage} has no ionic steps")
    return steps

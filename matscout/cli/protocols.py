"""`matscout protocols` and `matscout inputs`: what a calculation is made of, and its files."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from typer import echo

from matscout.cli.output import duration, print_json, print_table
from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pymatgen.core import Structure

    from matscout.workflows.calculations.protocols import Protocol

_LONGEST = 12
"""Entries of a table of settings that are shown; the others are counted, and in --json."""


def list_protocols(*, as_json: bool) -> None:
    """List all protocols."""
    from matscout.workflows.calculations import list_protocols
    from matscout.workflows.calculations.inputs import as_data

    protocols = list_protocols()
    if as_json:
        print_json([as_data(protocol) for protocol in protocols])
        return
    cells = [
        [
            p.name,
            p.id,
            p.code,
            str(p.settings["check"]["kind"]) if "check" in p.settings else "",
            p.settings["relax"],
            p.functional,
        ]
        for p in protocols
    ]
    print_table(("name", "id", "code", "check", "relaxes", "functional"), cells)
    echo("all settings of one: matscout protocols NAME")


def show_protocol(name: str, overrides: Sequence[str], *, as_json: bool) -> None:
    """Show one protocol with all its settings, and what was changed."""
    from matscout.workflows.calculations.inputs import as_data

    protocol = _protocol(name, overrides)
    if as_json:
        print_json(as_data(protocol))
        return
    for line in _lines(protocol):
        echo(line)


def _protocol(name: str, overrides: Sequence[str], changed: Mapping[str, Any] | None = None) -> Protocol:
    """Return a protocol with what a campaign changes of it, and what the command line does."""
    from matscout.workflows.calculations import get_protocol
    from matscout.workflows.calculations.overrides import flat, parse_override

    return get_protocol(name, {**(changed or {}), **flat(dict(parse_override(text) for text in overrides))})


def _lines(protocol: Protocol) -> Iterator[str]:
    yield f"{protocol.name} {protocol.id}   version {protocol.version}, {protocol.functional}"
    yield f"code         {protocol.code}, by {protocol.maker_name or 'the Maker you name'}"
    yield f"packages     {', '.join(protocol.packages) or 'those of the Maker'}"
    yield f"corrections  {protocol.corrections}"
    yield f"entry        energy: {protocol.entry['energy']}; states {protocol.entry['states']}"
    yield f"cost         about {duration(protocol.seconds_per_site)} a site on one core, before anything is measured"
    if protocol.help_settings:
        yield fill(f"a retry may change {', '.join(protocol.help_settings)}", width=100, subsequent_indent="    ")
    for key, value in protocol.overrides.items():
        yield f"changed      {key}: {value}"
    yield "settings"
    yield from _settings(protocol.settings, "  ")


def _settings(settings: dict[str, Any], indent: str) -> Iterator[str]:
    for key, value in settings.items():
        if isinstance(value, dict) and any(isinstance(inner, dict | list) for inner in value.values()):
            yield f"{indent}{key}"
            yield from _settings(value, indent + "  ")
        elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
            for inner in value:
                yield f"{indent}{key}, {inner.get('name', '')}"
                yield from _settings({k: v for k, v in inner.items() if k != "name"}, indent + "  ")
        else:
            yield fill(f"{indent}{key}: {_said(value)}", width=110, subsequent_indent=indent + "    ")


def _said(value: Any) -> str:
    if isinstance(value, dict):
        shown = [f"{key} {inner}" for key, inner in list(value.items())[:_LONGEST]]
        more = [f"and {len(value) - _LONGEST} more"] if len(value) > _LONGEST else []
        return ", ".join([*shown, *more]) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in ("", None) else str(value)


def write_inputs(
    given: str, protocol: str | None, output: Path, overrides: Sequence[str], campaign: Path | None, *, as_json: bool
) -> None:
    """Write the input files of one crystal: of a structure file, or of a candidate of the campaign here.

    Raises
    ------
    UserError
        There is no such file or candidate, the file holds several crystals, or the protocol cannot take the crystal.
    """
    structure, usual = _crystal(given, campaign)
    if protocol is not None:
        chosen = _protocol(protocol, overrides)
    elif usual is not None:
        chosen = _protocol(usual.name, overrides, usual.overrides)
    else:
        raise UserError("name a protocol with --protocol; matscout protocols lists them")
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file: name a folder for the input files")
    paths = chosen.write_inputs(structure, output)
    if as_json:
        print_json({"protocol": chosen.name, "protocol_id": chosen.id, "files": [str(path) for path in paths]})
        return
    echo(f"{structure.composition.reduced_formula}, {chosen.label} {chosen.id[:4]}: {len(paths)} files in {output}")
    for path in paths:
        echo(f"  {path.relative_to(output)}")
    if chosen.code == "vasp":
        echo("POTCAR.spec names the licensed potentials: VASP itself needs them as POTCAR")


def _crystal(given: str, campaign: Path | None) -> tuple[Structure, Protocol | None]:
    """Find the crystal that is meant, and the protocol that its campaign calculates it with."""
    if Path(given).is_file():
        return _from_file(Path(given)), None
    from matscout.cli.context import campaign_files, load_campaign
    from matscout.cli.story import find_candidate
    from matscout.workflows.campaign.stages import enumerate_space

    if campaign is None and not campaign_files():
        raise UserError(f"no file {given} here, and no campaign file that could have a candidate of that name")
    _, spec = load_campaign(campaign)
    space = enumerate_space(spec)
    return space.table.structure(find_candidate(given, space, spec)), spec.full_protocol()


def _from_file(path: Path) -> Structure:
    from matscout.crystals.structure_files import read_structures

    found, refused = read_structures(path)
    if not found:
        raise UserError(f"{path} holds no crystal" + (f": {refused[0]}" if refused else ""))
    if len(found) > 1:
        raise UserError(f"{path} holds {len(found)} crystals: write the one that is meant into a file of its own")
    structure = found[0].structure
    if not structure.is_ordered:
        raise UserError(f"{path}: sites are shared by several elements; only an ordered crystal can be calculated")
    return structure

"""What `matscout hull` builds a hull of: a file of entries, or what a store holds of a campaign."""

from __future__ import annotations

import hashlib
import re
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matscout.cli.context import open_for_reading, store_uri, the_campaign
from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pymatgen.core.entries import ComputedEntry

    from matscout.db.store import Store
    from matscout.workflows.campaign.spec import CampaignSpec
    from matscout.workflows.campaign.state import StoredState
    from matscout.workflows.stability import Hull

_OTHERWISE = "or name a file of entries with --entries FILE"


@dataclass(frozen=True)
class Loaded:
    """A hull, and where it comes from.

    Attributes
    ----------
    hull
        Of the file's entries inside the chemical system; or of a whole campaign.
    origin
        In words.
    corrected
        Report of the correction scheme, and its lines for people under "lines".
    notes
        What a reader must know beside the numbers.
    files
        Files it was made from, as far as the options do not name them.
    left_out
        Ids of entries inside the system that the scheme cannot correct, or that have no free energy at the
        temperature.
    warnings
        What the library warned of.
    """

    hull: Hull
    origin: str
    corrected: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    left_out: tuple[str, ...] = ()
    warnings: Sequence[str] = ()


def entries_of(path: Path, system: Sequence[str]) -> list[ComputedEntry]:
    """Read the entries of a file that lie inside a chemical system.

    Raises
    ------
    UserError
        The file cannot be read, or lacks an element of the system.
    """
    from matscout.workflows.stability import missing_elements, read_entries, restrict

    every = read_entries(path)
    inside = restrict(every, system)
    missing = missing_elements(inside, system)
    if missing:
        plural = "s" * (len(missing) > 1)
        raise UserError(
            f"{path} has no entry of the element{plural} {', '.join(missing)}, which the hull of {'-'.join(system)} "
            f"needs ({len(inside)} of its {len(every)} entries lie in this system)"
        )
    return inside


def hull_of_file(path: Path, system: Sequence[str], scheme: str, temperature: float | None) -> Loaded:
    """Build the hull of a file's entries inside a chemical system."""
    from matscout.workflows.stability import Hull, corrected_entries

    entries = entries_of(path, system)
    corrected = corrected_entries(entries, scheme, elements=system)
    left_out = tuple(name for name, _ in corrected.left_out)
    if temperature is not None:
        hull = _hull_at(entries, temperature, scheme, path.name)
        left_out += _missing(corrected.entries, hull)
    else:
        hull = Hull.from_entries(entries, scheme=scheme, source=path.name)
    report = {} if scheme == "none" else {**corrected.report, "lines": list(corrected.lines)}
    return Loaded(hull, str(path), report, left_out=left_out)


def _missing(entries: Sequence[ComputedEntry], hull: Hull) -> tuple[str, ...]:
    """Ids of entries that are not on a hull."""
    kept = set(hull.ids)
    return tuple(str(entry.entry_id) for entry in entries if entry.entry_id not in kept)


def hull_of_store(campaign: str | None, store: str | None, system: Sequence[str], temperature: float | None) -> Loaded:
    """Build the hull that a campaign's labels come from, from what the store holds.

    Raises
    ------
    UserError
        There is no such store or campaign, its references are not all calculated, or its reference file changed.
    """
    from matscout.workflows.campaign.spec import CampaignSpec
    from matscout.workflows.campaign.stages import enumerate_space
    from matscout.workflows.campaign.state import stored_state
    from matscout.workflows.stability import restrict

    with _open(campaign, store) as (opened, document):
        spec = CampaignSpec.model_validate(document["spec"])
        _check_reference_file(spec, document)
        state = stored_state(opened, spec, enumerate_space(spec))
        if state is None:
            raise UserError(
                f"the references of campaign {spec.name} are not all calculated yet, so it has no hull: "
                "matscout status tells how far it is"
            )
        labels = {x["hull_version"] for x in opened.collection("labels").find({"campaign": document["_id"]})}
        origin = f"campaign {document['_id']} in {opened.display_uri}"
    hull = state.hull()
    notes = []
    if labels and labels != {hull.version}:
        notes.append(
            f"the labels of campaign {spec.name} are of the hull {', '.join(sorted(labels))}, before the latest "
            "calculations: matscout run brings them up to date"
        )
    files = (spec.references.path,) if spec.references.source == "file" else ()
    shown = hull if temperature is None else _at(state, temperature)
    left_out = () if temperature is None else _missing(restrict(state.entries(), system), shown)
    return Loaded(shown, origin, notes=tuple(notes), files=files, left_out=left_out)


def _hull_at(entries: Sequence[ComputedEntry], temperature: float, scheme: str, source: str) -> Hull:
    from matscout.workflows.stability.temperature import hull_at

    if not any(getattr(entry, "structure", None) for entry in entries):
        raise UserError(f"{source} holds no structures: a free energy needs the volume of each entry")
    return hull_at(entries, temperature, scheme=scheme, source=source, without_structure="leave out")


def _at(state: StoredState, temperature: float) -> Hull:
    return _hull_at(state.entries(), temperature, state.references.scheme, f"campaign {state.spec.name}")


@contextmanager
def _open(campaign: str | None, store: str | None) -> Iterator[tuple[Store, dict[str, Any]]]:
    """Open the store meant, and yield it with the document of the campaign meant."""
    with ExitStack() as stack:
        try:
            found = _enter(stack, campaign, store)
        except UserError as error:
            if campaign is None and store is None:
                raise UserError(f"{error}; {_OTHERWISE}") from None
            raise
        yield found


def _enter(stack: ExitStack, campaign: str | None, store: str | None) -> tuple[Store, dict[str, Any]]:
    if campaign is None or Path(campaign).is_file() or Path(campaign).suffix in {".yaml", ".yml"}:
        file = None if campaign is None else Path(campaign)
        opened, campaign_id = stack.enter_context(open_for_reading(file, store))
    else:
        from matscout.db import connect

        opened = stack.enter_context(connect(store_uri(store, None), read_only=True, must_exist=True))
        campaign_id = _by_name(opened, campaign)
    return opened, the_campaign(opened, campaign_id, "name one with --campaign:")


def _by_name(store: Store, name: str) -> str:
    """Return the id of the campaign of a name or an id."""
    from matscout.workflows.stability.naming import some

    ids = sorted(str(document["_id"]) for document in store.collection("campaigns").find({}, {"_id": 1}))
    meant = [one for one in ids if one == name or re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{8}}", one)]
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise UserError(f"{len(meant)} campaigns are called {name}: name one by its id: {', '.join(meant)}")
    held = f"it holds {some(ids)}" if ids else "it holds none"
    raise UserError(f"no campaign {name} in store {store.display_uri} ({held}), and no campaign file of that name here")


def _check_reference_file(spec: CampaignSpec, document: dict[str, Any]) -> None:
    """Refuse a reference file that is not the one that the campaign's labels were made with."""
    if spec.references.source != "file":
        return
    path = spec.references.path
    if not path.is_file():
        raise UserError(
            f"the reference file {path} of campaign {spec.name} is not there: bring it back to see the hull"
        )
    if hashlib.sha256(path.read_bytes()).hexdigest() != document["reference_file_sha256"]:
        raise UserError(
            f"the reference file {path} changed since campaign {spec.name} began, so this is not its hull any more: "
            f"bring the old file back, {_OTHERWISE}"
        )

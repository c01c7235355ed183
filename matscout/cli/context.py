"""Which campaign and which store a command means."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matscout.cli import printable
from matscout.errors import MissingFileError, UserError
from matscout.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matscout.db.store import Store
    from matscout.workflows.campaign.spec import CampaignSpec


def find_campaign_file(file: Path | None) -> Path:
    """Return the campaign file named, else the only one in the folder.

    Raises
    ------
    UserError
        There is none, or there are several.
    """
    if file is not None:
        return file
    found = campaign_files()
    if len(found) == 1:
        return Path(found[0].name)
    if not found:
        raise UserError("no campaign file here: name one, or write one with: matscout init NAME")
    raise UserError(f"several campaign files here: name one of {', '.join(path.name for path in found)}")


def campaign_files() -> list[Path]:
    """YAML files of this folder that describe a search space: others, such as a tool's settings, are no campaigns."""
    found = [path for pattern in ("*.yaml", "*.yml") for path in Path.cwd().glob(pattern) if path.is_file()]
    return sorted(path for path in found if re.search(r"^space:", path.read_text("utf-8", "replace"), re.MULTILINE))


def load_campaign(file: Path | None, references: Path | None = None) -> tuple[Path, CampaignSpec]:
    """Read the campaign meant, with its reference file found.

    Parameters
    ----------
    file
        As given on the command line.
    references
        Reference file in place of the campaign's own.
    """
    from matscout.workflows.campaign.files import read_spec, with_reference_file

    path = find_campaign_file(file)
    spec = read_spec(path)
    if references is not None:
        if spec.references.source != "file":
            raise UserError(
                f"{path} computes its references; --references is for campaigns with references.source: file"
            )
        if not references.is_file():
            raise UserError(f"no reference file {references}")
        options = spec.references.model_copy(update={"path": references.absolute()})
        spec = spec.model_copy(update={"references": options})
    return path, with_reference_file(spec, path.parent)


def store_uri(store: str | None, campaign: tuple[Path, CampaignSpec] | None) -> str:
    """Return the store named, else the campaign's, else that of the settings."""
    if store is not None:
        if not store.strip():
            raise UserError("--store is empty: name a folder or a mongodb:// uri")
        return store
    if campaign is not None and campaign[1].store is not None:
        path, uri = campaign[0], campaign[1].store
        return uri if "://" in uri else str(path.parent / uri)
    return get_settings().store


@contextmanager
def open_for_reading(file: Path | None, store: str | None) -> Iterator[tuple[Store, str | None]]:
    """Open the store that a listing means.

    Yields
    ------
    The store, and the id of the campaign meant: that of the file named, else of the only file here, else of the only
    campaign in the store, else None.
    """
    from matscout.db import connect
    from matscout.workflows.campaign.files import read_spec

    campaign, name = None, None
    if file is not None or len(campaign_files()) == 1:
        path = find_campaign_file(file)
        try:
            campaign = (path, read_spec(path))
        except MissingFileError as error:
            name = _name_in(path)
            sys.stderr.write(f"{printable(str(error))}; shown is what the store holds of campaign {name}\n")
    with connect(store_uri(store, campaign), read_only=True, must_exist=True) as opened:
        if campaign is not None:
            yield opened, campaign[1].id
            return
        named = {"_id": {"$regex": f"^{re.escape(name)}-[0-9a-f]{{8}}$"}} if name else {}
        ids = [document["_id"] for document in opened.collection("campaigns").find(named, {"_id": 1}).limit(2)]
        yield opened, ids[0] if len(ids) == 1 else None


def _name_in(path: Path) -> str:
    """Name of a campaign, from a file that is a campaign's but for a file that it names."""
    from matscout.workflows.yaml_files import read_yaml

    return str(read_yaml(path, "campaign file")[0]["name"])


def the_campaign(store: Store, campaign_id: str | None, how: str = "name the file of one of") -> dict[str, Any]:
    """Return the document of a campaign.

    Parameters
    ----------
    store
        Where it was run.
    campaign_id
        The one meant; None where that is not known.
    how
        What the user can do to tell, before the names of the campaigns in the store.

    Raises
    ------
    UserError
        None is meant, or it was not run in this store.
    """
    campaigns = store.collection("campaigns")
    document: dict[str, Any] | None = None if campaign_id is None else campaigns.find_one({"_id": campaign_id})
    if document is not None:
        return document
    names = sorted(document["_id"] for document in campaigns.find({}, {"_id": 1}))
    others = f"{how} {', '.join(names)}"
    if campaign_id is not None:
        raise UserError(
            f"campaign {campaign_id} was not run in store {store.display_uri} (a changed file is another campaign; a "
            f"larger budget is not), which holds "
            + (f"{len(names)} other{'s' * (len(names) > 1)}: {others}" if names else "no campaign yet")
        )
    raise UserError(
        f"store {store.display_uri} holds {len(names)} campaigns: {others}"
        if names
        else f"store {store.display_uri} holds no campaign yet: start one with: matscout run FILE"
    )

"""Results as files: a Parquet table, and a CIF of each crystal found."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matscout.db.documents import Geometry
from matscout.db.files import write_text, write_whole
from matscout.db.labels import Check, Label
from matscout.errors import UserError
from matscout.workflows.campaign.verdict import is_found

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from matscout.db.store import Store


@dataclass(frozen=True)
class Written:
    """Where results were written."""

    table: Path
    cif: Path
    n_structures: int


def labels_of(store: Store, campaign_id: str) -> list[Label]:
    """Return the labels of a campaign, nearest to the hull first."""
    order = [("e_above_hull", 1), ("decomposition_energy", 1), ("candidate_id", 1)]
    found = store.collection("labels").find({"campaign": campaign_id}).sort(order)
    return [Label.model_validate({k: v for k, v in x.items() if k not in {"_id", "campaign"}}) for x in found]


def calculations_of(store: Store, ids: list[str]) -> dict[str, dict[str, Any]]:
    """Return stored calculations by id."""
    return {document["_id"]: document for document in store.collection("calculations").find({"_id": {"$in": ids}})}


def results_frame(store: Store, campaign_id: str) -> pd.DataFrame:
    """Return a campaign's labels beside what was calculated, as a frame.

    Energies are in eV/atom, volumes in Å³/atom, frequencies in THz; a row each for every finished candidate, nearest to
    the hull first. Each check has columns of its own.
    """
    import pandas as pd

    labels = labels_of(store, campaign_id)
    checks = sorted({name for x in labels for name in x.checks})
    calculations = calculations_of(store, [x.calculation_id for x in labels])
    rows = []
    for x in labels:
        result = calculations[x.calculation_id]["result"]
        row = x.model_dump(
            exclude={"decomposition", "competitors", "competing_systems", "competitor_sources", "versions", "checks"}
        )
        row["decomposition"] = " + ".join(f"{fraction:.4f} {phase}" for phase, fraction in x.decomposition.items())
        row["hull_protocols"] = ", ".join(x.hull_protocols)
        row["found"] = is_found(x)
        row |= {
            key: result[key]
            for key in (
                "energy_per_atom",
                "final_volume",
                "space_group_before",
                "space_group_after",
                "n_steps",
                "seconds",
            )
        }
        for name in checks:
            row |= _columns(name, x.checks.get(name))
        rows.append(row)
    return pd.DataFrame(rows)


def _columns(name: str, check: Check | None) -> dict[str, Any]:
    """Columns of a check; of none where a crystal was not checked."""
    dynamics = None if check is None else check.dynamics
    values = {key: getattr(check, key, None) for key in Check.model_fields if key != "dynamics"}
    values |= {key: getattr(dynamics, key, None) for key in ("energy_gain", "lowest_frequency", "imaginary")}
    return {f"{name} {key}": value for key, value in values.items()}


def write_cifs(store: Store, campaign_id: str, folder: Path) -> int:
    """Write the relaxed crystal of every candidate found; return how many.

    File names are FORMULA_ID.cif; formulas consist of element symbols and numbers alone.
    """
    from pymatgen.io.cif import CifWriter

    every = labels_of(store, campaign_id)
    labels = [x for x in every if is_found(x)]
    calculations = calculations_of(store, [x.calculation_id for x in labels])
    make_folder(folder)
    names = set()
    for x in labels:
        geometry = Geometry.model_validate(calculations[x.calculation_id]["result"]["geometry"])
        name = _cif_name(x)
        write_text(folder / name, str(CifWriter(geometry.to_structure(), symprec=0.01)))
        names.add(name)
    for stale in {_cif_name(x) for x in every} - names:
        (folder / stale).unlink(missing_ok=True)  # no longer near the hull: a later round found a competitor
    return len(names)


def _cif_name(x: Label) -> str:
    return f"{x.formula}_{x.candidate_id}.cif"


def check_folder(folder: Path) -> Path:
    """Refuse a folder for results that cannot be one, before anything is calculated for it."""
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise UserError(
            f"{nearest} is a file, where the folder {folder} for results should be: choose it with --output"
        )
    if not os.access(nearest, os.W_OK):
        raise UserError(f"{nearest} cannot be written, where results should go: choose a folder with --output")
    return folder


def make_folder(folder: Path) -> Path:
    """Make a folder for results.

    Raises
    ------
    UserError
        It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {folder} for results cannot be made: {error.strerror}") from None
    return folder


def write_results(store: Store, campaign_id: str, folder: Path) -> Written:
    """Write the table and the crystals of a campaign into a folder."""
    make_folder(folder)
    frame = results_frame(store, campaign_id)
    table = folder / "results.parquet"
    write_whole(table, lambda file: frame.to_parquet(file, index=False))
    return Written(table, folder / "cif", write_cifs(store, campaign_id, folder / "cif"))

"""The commands that list: status, results, failures, prototypes, protocols."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typer import echo

from matscout.cli.context import open_for_reading, the_campaign
from matscout.cli.output import print_json, print_table
from matscout.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from matscout.db.store import Store


def show_status(file: Path | None, store: str | None, *, as_json: bool) -> None:
    """List the campaigns of a store, or one, with how far they are."""
    with open_for_reading(file, store) as (opened, campaign_id):
        wanted = {"_id": the_campaign(opened, campaign_id)["_id"]} if file is not None else {}
        rows = [
            _progress(opened, document) for document in opened.collection("campaigns").find(wanted).sort("created", 1)
        ]
        where = opened.display_uri
    if as_json:
        print_json(rows)
        return
    if not rows:
        echo(f"store {where} holds no campaign yet: start one with: matscout run FILE")
        return
    columns = ("campaign", "state", "stage", "candidates", "calculated", "budget", "failed", "near the hull", "updated")
    print_table(columns, [[str(row[key]) for key in _STATUS_KEYS] for row in rows], right=(3, 4, 5, 6, 7))


_STATUS_KEYS = ("campaign", "state", "stage", "n_candidates", "n_calculated", "budget", "n_failed", "n_near", "updated")


def _progress(store: Store, campaign: dict[str, Any]) -> dict[str, Any]:
    """Count a campaign's calculations as they stand at this moment."""
    chosen = _calculation_ids(store, campaign)
    calculations = store.collection("calculations")
    states = {
        state: calculations.count_documents({"_id": {"$in": chosen}, "state": state})
        for state in ("finished", "failed", "running")
    }
    near = store.collection("labels").count_documents({"campaign": campaign["_id"], "within_threshold": True})
    return {
        "campaign": campaign["_id"],
        "state": "interrupted" if campaign["state"] == "running" and store.holder() is None else campaign["state"],
        "stage": campaign["stage"],
        "stopped": campaign["stopped"],
        "n_candidates": campaign["n_candidates"],
        "n_calculated": states["finished"] + states["failed"],
        "n_running": states["running"],
        "budget": campaign["spec"]["budget"]["calculations"],
        "n_failed": states["failed"],
        "n_near": near,
        "created": campaign["created"],
        "updated": campaign["updated"],
    }


def show_results(
    file: Path | None,
    store: str | None,
    *,
    as_json: bool,
    as_csv: bool,
    parquet: Path | None,
    cif: Path | None,
    limit: int,
) -> None:
    """Print or write what a campaign calculated."""
    from matscout.cli.export import labels_of, make_folder, results_frame, write_cifs
    from matscout.cli.sentences import print_labels
    from matscout.db.files import write_whole

    with open_for_reading(file, store) as (opened, campaign_id):
        campaign = the_campaign(opened, campaign_id)["_id"]
        if parquet is not None:
            frame = results_frame(opened, campaign)
            if parquet.is_dir():
                raise UserError(f"{parquet} is a folder: name a file for the table")
            make_folder(parquet.parent)
            write_whole(parquet, lambda target: frame.to_parquet(target, index=False))
            echo(f"{len(frame)} rows in {parquet}", err=True)
        if cif is not None:
            echo(f"{write_cifs(opened, campaign, cif)} crystals in {cif}", err=True)
        if as_csv:
            echo(results_frame(opened, campaign).to_csv(index=False), nl=False)
        elif as_json:
            print_json([x.model_dump(mode="json") for x in labels_of(opened, campaign)])
        elif parquet is None and cif is None:
            labels = labels_of(opened, campaign)
            if not labels:
                echo("no candidate was calculated yet: matscout status tells how far the campaign is")
                return
            print_labels(labels[:limit])
            if len(labels) > limit:
                echo(f"{len(labels) - limit} more: --limit {len(labels)}")


def show_failures(file: Path | None, store: str | None, *, as_json: bool) -> None:
    """List failed calculations: a campaign's candidates and references, or all of the store."""
    with open_for_reading(file, store) as (opened, campaign_id):
        wanted: dict[str, Any] = {"state": "failed"}
        if campaign_id is not None:
            campaign = the_campaign(opened, campaign_id)
            wanted["_id"] = {"$in": [*campaign["reference_calculations"], *_calculation_ids(opened, campaign)]}
        documents = list(opened.collection("calculations").find(wanted).sort("_id", 1))
    rows = [
        {
            "calculation_id": document["_id"],
            "subject": document["request"]["subject"],
            "formula": document["result"]["formula"],
            "cause": document["result"]["cause"],
            "message": document["result"]["message"],
            "attempts": len(document["attempts"]),
        }
        for document in documents
    ]
    if as_json:
        print_json(rows)
    elif rows:
        keys = ("calculation_id", "subject", "formula", "cause", "message")
        print_table(
            ("calculation", "of", "formula", "cause", "message"), [[str(row[key]) for key in keys] for row in rows]
        )
    else:
        echo("no calculation failed")


def _calculation_ids(store: Store, campaign: dict[str, Any]) -> list[str]:
    """Return the calculations of a campaign's candidates, chosen and exhaustive ones alike."""
    candidates = store.collection("candidates").find({"campaign": campaign["_id"]}, {"calculation_id": 1})
    return [document["calculation_id"] for document in candidates]


def show_protocols(*, as_json: bool) -> None:
    """List protocols with their settings."""
    from matscout.workflows.calculations import list_protocols

    rows = [
        {
            "name": p.name,
            "id": p.id,
            "version": p.version,
            "code": p.code,
            "functional": p.functional,
            "settings": p.settings,
        }
        for p in list_protocols()
    ]
    if as_json:
        print_json(rows)
        return
    cells = [
        [str(row["name"]), str(row["id"]), str(row["functional"]), ", ".join(f"{k} {v}" for k, v in p.settings.items())]
        for row, p in zip(rows, list_protocols(), strict=True)
    ]
    print_table(("name", "id", "functional", "settings"), cells)

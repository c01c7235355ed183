"""The commands that list: status, results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typer import echo

from matscout.cli.context import open_for_reading, the_campaign
from matscout.cli.output import print_json, print_table
from matscout.errors import UserError
from matscout.workflows.campaign.standing import read_standing

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
    print_table(columns, [_cells(row) for row in rows], right=(3, 4, 5, 6, 7))
    if any(row["n_failed"] for row in rows):
        echo("what failed: matscout failures")


_STATUS_KEYS = ("campaign", "state", "stage", "n_candidates", "n_calculated", "budget", "n_failed", "n_near", "updated")


def _progress(store: Store, campaign: dict[str, Any]) -> dict[str, Any]:
    """Count a campaign's calculations as they stand at this moment."""
    standing = read_standing(store, campaign)
    near = store.collection("labels").count_documents({"campaign": campaign["_id"], "within_threshold": True})
    return {
        "campaign": campaign["_id"],
        "state": standing.state,
        "worker": standing.worker,
        "stage": campaign["stage"],
        "done": standing.done,
        "total": standing.total,
        "stopped": campaign["stopped"],
        "n_candidates": campaign["n_candidates"],
        "n_calculated": standing.calculated,
        "n_running": standing.in_jobs,
        "budget": campaign["spec"]["budget"]["calculations"],
        "n_failed": standing.failed + standing.gave_up,
        "n_gave_up": standing.gave_up,
        "causes": standing.causes,
        "n_near": near,
        "created": campaign["created"],
        "updated": campaign["updated"],
    }


def _cells(row: dict[str, Any]) -> list[str]:
    """Write a campaign's row: where it runs beside its state, and how far its stage is."""
    where = f" on {row['worker']}" if row["worker"] and row["state"] in ("queued", "paused") else ""
    at = "" if row["state"] == "finished" else f", {row['done']} of {row['total']}"
    shown = {**row, "state": f"{row['state']}{where}", "stage": f"{row['stage']}{at}"}
    return [str(shown[key]) for key in _STATUS_KEYS]


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
    from matscout.cli.steps import failures_words, standing_words
    from matscout.db.files import write_whole

    with open_for_reading(file, store) as (opened, campaign_id):
        document = the_campaign(opened, campaign_id)
        campaign = document["_id"]
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
            standing = read_standing(opened, document)
            if labels:
                print_labels(labels[:limit])
            else:
                echo(f"no candidate stands on a hull yet: {standing_words(standing)}")
            if len(labels) > limit:
                echo(f"{len(labels) - limit} more: --limit {len(labels)}")
            if standing.causes:
                echo(failures_words(standing))

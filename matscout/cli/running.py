"""`matscout run`."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from typer import echo

from matscout.cli import EXIT_STOPPED
from matscout.cli.context import load_campaign, store_uri
from matscout.cli.display import RunDisplay
from matscout.cli.export import check_folder, make_folder, write_results
from matscout.cli.sentences import (
    check_sentences,
    failure_sentence,
    found_sentences,
    print_labels,
    reference_sentences,
)
from matscout.db import connect
from matscout.errors import UserError
from matscout.workflows.campaign.loop import Campaign, StoppedError
from matscout.workflows.campaign.verdict import top

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from matscout.db.labels import Summary
    from matscout.db.store import Store
    from matscout.workflows.campaign.spec import CampaignSpec

ROWS = 25
"""Rows of the table that ends a run."""


def run_campaign(
    file: Path | None, references: Path | None, store: str | None, output: Path | None, *, exhaustive: bool
) -> None:
    """Run a campaign with a live display, and print and write what it found."""
    path, spec = load_campaign(file, references)
    folder = check_folder(output or Path(spec.name))
    with connect(store_uri(store, (path, spec))) as opened, _stop_on_signal() as stopping:
        _take_back(opened, spec, path)
        try:
            with RunDisplay(spec, opened.display_uri) as display:
                summary = Campaign(spec, opened, display, stopping).run(exhaustive=exhaustive)
        except StoppedError:
            echo(f"stopped; everything is in the store. Go on with: matscout run {path}")
            sys.exit(EXIT_STOPPED)
        make_folder(folder)
        _print_summary(spec, summary)
        _print_files(opened, spec, summary, folder, path)


def _take_back(store: Store, spec: CampaignSpec, path: Path) -> None:
    """Take a campaign from the queue that it was submitted to, where nothing of it is there any more.

    Raises
    ------
    UserError
        It is at work there.
    """
    from matscout.workflows.campaign import steering

    campaign = store.collection("campaigns").find_one({"_id": spec.id, "worker": {"$ne": None}})
    if campaign is None:
        return
    where = f"campaign {spec.name} is on the queue of worker {campaign['worker']}"
    finished = campaign["state"] == "finished"
    if not finished and not campaign.get("paused"):
        raise UserError(
            f"{where}: matscout watch {path} follows it there. To go on here instead: matscout cancel {path}, then "
            f"matscout advance {path}, then this again"
        )
    with store.lease(f"matscout run {spec.name}"):
        in_jobs = steering.take_back(store, campaign)
    if finished:  # it may go on with a larger budget; what jobs of another campaign have, the run itself refuses
        return
    if in_jobs:
        raise UserError(
            f"{where}, where {in_jobs} of its calculations are in jobs: matscout cancel {path} ends these, "
            f"matscout advance {path} takes in what they finished; then run it here"
        )
    echo(f"{spec.name} is taken from the queue of worker {campaign['worker']}, and goes on here")


@contextmanager
def _stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Ask to stop at the first Ctrl-C or SIGTERM; a second one ends at once, and loses nothing but running attempts."""
    asked = False

    def ask(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        sys.stderr.write("\nstopping after the calculations that are running; once more ends at once\n")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield lambda: asked
    except KeyboardInterrupt:
        sys.stderr.write("ended; what was running starts again at the next run\n")
        sys.exit(EXIT_STOPPED)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_summary(spec: CampaignSpec, summary: Summary) -> None:
    echo(f"stopped: {summary.stopped}")
    for line in reference_sentences(summary.references):
        echo(line)
    echo()
    for line in [*found_sentences(summary.found, spec.acquisition.threshold), *check_sentences(summary.checked)]:
        echo(line)
    near = [x for x in summary.labels if x.within_threshold]
    print_labels(top(near or summary.labels, ROWS))


def _print_files(store: Store, spec: CampaignSpec, summary: Summary, folder: Path, path: Path) -> None:
    written = write_results(store, spec.id, folder)
    near = sum(x.within_threshold for x in summary.labels)
    if near > ROWS:
        echo(f"and more within the threshold: matscout results {path} --limit {near}")
    if summary.failures:
        echo(failure_sentence(summary.failures))
    best = top(summary.labels, 1)
    following = f", next: matscout explain {best[0].formula}" if best else ""
    echo(f"results in {written.table}, {written.n_structures} structures in {written.cif}/{following}")

"""Commands for calculations on the queue of a cluster, and their options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from matscout.cli.options import CampaignFile, JsonFlag, StoreOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matscout.workflows.campaign.failures import Wanted

WorkersOption = Annotated[
    Path | None,
    typer.Option("--workers", help="File of workers; workers.yaml beside the campaign or in ~/.config/matscout."),
]
CampaignOption = Annotated[
    Path | None, typer.Option("--campaign", help="Campaign file, if not the only one here.", show_default=False)
]
CauseOption = Annotated[
    str | None,
    typer.Option("--cause", help="Only of this cause: memory, walltime, node, scf, relaxation, input, parse, unknown."),
]
FormulaOption = Annotated[str | None, typer.Option("--formula", help="Only of this formula, such as CsCaF3.")]
ElementsOption = Annotated[
    str | None, typer.Option("--elements", metavar="Cs,F", help="Only crystals that hold all of these elements.")
]
ProtocolOption = Annotated[str | None, typer.Option("--protocol", help="Only of this protocol.")]


def submit(
    file: CampaignFile = None,
    *,
    worker: Annotated[
        str | None,
        typer.Option("--worker", help="Name in workers.yaml; the only one that takes the protocol if left out."),
    ] = None,
    store: StoreOption = None,
    workers: WorkersOption = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the script of the jobs, and how many there would be; submit nothing."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Put a campaign on the queue of a worker; `advance` moves it on."""
    from matscout.cli.queueing import submit as run

    run(file, store, worker, workers, dry_run=dry_run, as_json=as_json)


def advance(
    file: CampaignFile = None, *, store: StoreOption = None, workers: WorkersOption = None, as_json: JsonFlag = False
) -> None:
    """Take one step: ask the scheduler about every job, take in results, start again what broke off, submit."""
    from matscout.cli.queueing import advance as run

    run(file, store, workers, as_json=as_json)


def watch(
    file: CampaignFile = None,
    *,
    store: StoreOption = None,
    workers: WorkersOption = None,
    seconds: Annotated[float, typer.Option("--every", min=1, help="A step every so many seconds.")] = 60.0,
) -> None:
    """Advance now and then until the campaign has ended; Ctrl-C leaves it to the queue."""
    from matscout.cli.watching import watch as run

    run(file, store, workers, seconds)


def pause(file: CampaignFile = None, *, store: StoreOption = None) -> None:
    """Submit nothing more of a campaign; what is in the queue goes on."""
    from matscout.cli.steering import pause as run

    run(file, store)


def resume(file: CampaignFile = None, *, store: StoreOption = None) -> None:
    """Let a paused campaign go on."""
    from matscout.cli.steering import resume as run

    run(file, store)


def cancel(file: CampaignFile = None, *, store: StoreOption = None, workers: WorkersOption = None) -> None:
    """Pause a campaign, and cancel its jobs; what they had finished is kept."""
    from matscout.cli.steering import cancel as run

    run(file, store, workers)


def failures(
    file: CampaignFile = None,
    *,
    cause: CauseOption = None,
    formula: FormulaOption = None,
    elements: ElementsOption = None,
    protocol: ProtocolOption = None,
    listing: Annotated[bool, typer.Option("--list", help="List every calculation.")] = False,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what failed, by cause: how many, an example, and what to do next."""
    from matscout.cli.failures import show_failures

    show_failures(file, store, _wanted((), cause, formula, elements, protocol), listing=listing, as_json=as_json)


def rerun(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="First characters of ids; all failed ones if left out.")
    ] = None,
    *,
    file: CampaignOption = None,
    cause: CauseOption = None,
    formula: FormulaOption = None,
    elements: ElementsOption = None,
    protocol: ProtocolOption = None,
    store: StoreOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would start again; change nothing.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Try failed calculations again, as if for the first time: those that fulfil all conditions given."""
    from matscout.cli.steering import rerun as run

    run(file, store, _wanted(ids or (), cause, formula, elements, protocol), dry_run=dry_run, as_json=as_json)


def _wanted(
    ids: Sequence[str], cause: str | None, formula: str | None, elements: str | None, protocol: str | None
) -> Wanted:
    from matscout.workflows.campaign.failures import Wanted

    symbols = tuple(one.strip() for one in (elements or "").replace("-", ",").split(",") if one.strip())
    return Wanted(ids=tuple(ids), cause=cause, formula=formula, elements=symbols, protocol=protocol)


def logs(
    calculation: Annotated[
        str, typer.Argument(metavar="ID", help="First characters of a calculation's id, or a candidate's formula.")
    ],
    *,
    file: CampaignOption = None,
    store: StoreOption = None,
    lines: Annotated[int, typer.Option("--lines", min=1, help="Last lines of the log.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """Show every attempt of a calculation, and the end of what the last one printed."""
    from matscout.cli.logs import show_logs

    show_logs(calculation, file, store, lines=lines, as_json=as_json)


def unlock(
    file: CampaignFile = None,
    *,
    store: StoreOption = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask: the process that holds it, on another machine, has ended.")
    ] = False,
) -> None:
    """Show who holds a store (host, process, since when), and let it go where that process has ended."""
    from matscout.cli.steering import unlock as run

    run(file, store, yes=yes)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(epilog="Example: matscout submit perovskites.yaml --worker cluster --dry-run")(submit)
    app.command(epilog="Example: matscout advance perovskites.yaml --json   (safe from cron, and twice at once)")(
        advance
    )
    app.command(epilog="Example: matscout watch perovskites.yaml --every 30")(watch)
    app.command(epilog="Example: matscout pause perovskites.yaml")(pause)
    app.command(epilog="Example: matscout resume perovskites.yaml")(resume)
    app.command(epilog="Example: matscout cancel perovskites.yaml")(cancel)
    app.command(
        epilog="Examples: matscout failures; matscout failures --cause memory --list; matscout failures --json"
    )(failures)
    app.command(
        epilog="Examples: matscout rerun 3f2a9c; matscout rerun --cause memory; matscout rerun --elements Cs,F"
    )(rerun)
    app.command(epilog="Examples: matscout logs 3f2a9c; matscout logs CsCaF3 --lines 100")(logs)
    app.command(epilog="Example: matscout unlock")(unlock)

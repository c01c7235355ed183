"""`matscout workers`: where calculations run, and whether a worker is as its file says."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matscout.cli import EXIT_STOPPED, EXIT_USER_ERROR, printable
from matscout.cli.options import JsonFlag
from matscout.cli.waiting import status

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from matscout.workflows.launch.schedulers.probe import ProbeReport
    from matscout.workflows.launch.workers_file import Worker

workers = typer.Typer(help="List the workers of workers.yaml, or check one with a job of a minute.")

FileOption = Annotated[
    Path | None,
    typer.Option("--file", help="File of workers; workers.yaml here or in ~/.config/matscout if left out."),
]


@workers.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    """List the workers of workers.yaml, or check one with a job of a minute."""
    if context.invoked_subcommand is None:
        list_workers(None, as_json=False)


@workers.command("list", epilog="Example: matscout workers list --json")
def list_command(*, file: FileOption = None, as_json: JsonFlag = False) -> None:
    """List where calculations can run."""
    list_workers(file, as_json=as_json)


@workers.command("keys", epilog="Example: matscout workers keys --json")
def keys_command(*, as_json: JsonFlag = False) -> None:
    """Describe every key that a worker in workers.yaml may have."""
    list_keys(as_json=as_json)


@workers.command("check", epilog="Example: matscout workers check cluster --dry-run")
def check_command(
    name: Annotated[str, typer.Argument(metavar="WORKER", help="Name in workers.yaml.")],
    *,
    file: FileOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the script; submit nothing.")] = False,
    seconds: Annotated[float, typer.Option("--wait", min=1, help="Wait so long for the job, s.")] = 600.0,
    as_json: JsonFlag = False,
) -> None:
    """Submit a job of a minute, and tell what it finds on its node."""
    check_worker(name, file, dry_run=dry_run, seconds=seconds, as_json=as_json)


def list_workers(file: Path | None, *, as_json: bool) -> None:
    """List the workers of a file."""
    from matscout.cli.output import print_json, print_table
    from matscout.workflows.launch.workers_file import find_workers_file, read_workers

    path = file or find_workers_file()
    known = read_workers(path)
    if as_json:
        print_json([worker.model_dump(mode="json") for worker in known.values()])
        return
    columns = ("worker", "scheduler", "partition", "job", "walltime", "packed", "at once", "queued", "protocols")
    print_table(columns, [_row(worker) for worker in known.values()], right=(5, 6, 7), optional=(2, 7))


def list_keys(*, as_json: bool) -> None:
    """Describe what a worker may be told."""
    from matscout.cli.output import print_json, print_table
    from matscout.workflows.launch.worker_keys import Cleanup, Worker

    fields = {name: field for name, field in Worker.model_fields.items() if name not in {"name", "cleanup"}}
    fields |= {f"cleanup.{name}": field for name, field in Cleanup.model_fields.items()}
    rows = [(name, _default(name, field), field.description or "") for name, field in fields.items()]
    if as_json:
        print_json([{"key": name, "default": default, "description": words} for name, default, words in rows])
        return
    print_table(("key", "if left out", "what it is"), rows)


def _default(key: str, field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    default = field.get_default(call_default_factory=True)
    if default in (None, {}, ()):
        return "-"
    if key == "python":
        return "this one"
    if isinstance(default, tuple):
        return ", ".join(default[:2]) + (f" and {len(default) - 2} more" if len(default) > 2 else "")
    return str(default).lower()


def _row(worker: Worker) -> list[str]:
    from matscout.cli.output import duration

    parts = [f"{worker.nodes} nodes" if worker.nodes > 1 else "1 node"]
    parts += [f"{worker.cores} cores" if worker.cores > 1 else "1 core"]
    parts += [f"{worker.memory / 1024:g} GB"] if worker.memory else []
    parts += [f"{worker.gpus} GPU{'s' * (worker.gpus > 1)}"] if worker.gpus else []
    return [
        worker.name,
        worker.scheduler,
        worker.partition or "-",
        ", ".join(parts),
        duration(worker.walltime),
        str(worker.per_allocation),
        str(worker.at_once),
        str(worker.max_queued),
        ", ".join(worker.protocols),
    ]


def check_worker(name: str, file: Path | None, *, dry_run: bool, seconds: float, as_json: bool) -> None:
    """Probe a worker, and say what is wrong with it; the exit code is then that of a mistake."""
    from matscout.cli.output import print_json
    from matscout.workflows.launch.allocations import note_passed
    from matscout.workflows.launch.schedulers.probe import probe_folder, probe_script, run_probe
    from matscout.workflows.launch.workers_file import find_workers_file, get_worker, read_workers

    path = file or find_workers_file()
    worker = get_worker(read_workers(path), name, path)
    if dry_run:
        typer.echo(printable(probe_script(worker, probe_folder(worker))), nl=False)
        return
    try:
        with status(f"worker {name}: submitting a job of a minute") as show:
            report = run_probe(worker, seconds=seconds, tell=lambda words: show(f"worker {name}: {words}"))
    except KeyboardInterrupt:
        sys.stderr.write("stopped, and the job is cancelled\n")
        raise typer.Exit(EXIT_STOPPED) from None
    if not report.problems:
        note_passed(worker)
    if as_json:
        print_json(_as_json(report))
    else:
        _print(report)
    if report.problems:
        raise typer.Exit(EXIT_USER_ERROR)


def _as_json(report: ProbeReport) -> dict[str, Any]:
    content = asdict(report)
    return {**content, "folder": str(report.folder) if report.folder else None, "problems": report.problems}


def _print(report: ProbeReport) -> None:
    from matscout.cli.output import duration

    waited = "-" if report.queue_seconds is None else duration(report.queue_seconds)
    loaded = "all load" if not report.failed_modules else f"{', '.join(report.failed_modules)} failed"
    rows = [
        ("job", report.job),
        ("node", report.node or "-"),
        ("in the queue", waited),
        ("cores there", str(report.cores or "-")),
        ("Python there", report.python or "-"),
        ("matscout there", report.matscout or "-"),
        ("launch folder", "seen from the node" if report.sees_folder else "not seen from the node"),
        ("modules", loaded if report.sees_folder else "-"),
    ]
    for what, value in rows:
        typer.echo(printable(f"{what:<15} {value}"))
    for problem in report.problems:
        typer.echo(printable(f"problem: {problem}"), err=True)
    if report.problems:
        for line in report.output:
            typer.echo(printable(f"  | {line}"), err=True)
        typer.echo(printable(f"all of it is in {report.folder}"), err=True)
    else:
        typer.echo(f"worker {report.worker} is ready")

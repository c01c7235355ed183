"""``workers.yaml``: the places where calculations run, and what a job there is made of.

The file holds one mapping a worker, under its name. No password belongs into it, as what stands in it comes into the
scripts of jobs, which others can often read: variables whose names say that they hold a secret, and addresses with a
password, are refused.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from matscout.errors import UserError, nearest
from matscout.workflows.launch.worker_keys import Cleanup, Worker
from matscout.workflows.yaml_files import expected, line_of, place, read_yaml, short

if TYPE_CHECKING:
    from collections.abc import Mapping

    import yaml
    from pydantic_core import ErrorDetails

__all__ = ["WORKERS_FILE", "Cleanup", "Worker", "find_workers_file", "get_worker", "read_workers"]

WORKERS_FILE = "workers.yaml"

EXAMPLE = "cluster: {scheduler: slurm, partition: batch, walltime: 24:00:00, launch_folder: /scratch/me/matscout}"
"""The least that a file of workers may hold."""


def find_workers_file(folder: Path | None = None) -> Path:
    """Find the file of workers: in a folder (that of the campaign; here if none), else in the user's configuration.

    Raises
    ------
    UserError
        It is in neither; names both.
    """
    configuration = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "matscout"
    places = [(folder or Path()) / WORKERS_FILE, configuration / WORKERS_FILE]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        looked = " and ".join(str(place) for place in places)
        raise UserError(
            f"there is no {WORKERS_FILE}, which says where calculations run (looked at {looked}): write one such as "
            f"{EXAMPLE}"
        )
    return found


def read_workers(path: Path) -> dict[str, Worker]:
    """Read and check a file of workers.

    Parameters
    ----------
    path
        A YAML file.

    Returns
    -------
    The workers by name, in the order of the file.

    Raises
    ------
    UserError
        The file is missing, no YAML, or something in it is wrong: names the file, the line, the key, and the nearest
        right one.
    """
    content, node = read_yaml(path, "file of workers")
    if not isinstance(content, dict) or not content:
        raise UserError(f"{path} holds no workers: it must be a mapping such as cluster: {{scheduler: slurm, ...}}")
    workers = {}
    for name, keys in content.items():
        line = line_of(node, (name,))
        if not isinstance(name, str):
            raise UserError(f"{path}, line {line}: {name!r} is no name of a worker: letters, digits, dots, dashes")
        if not isinstance(keys, dict):
            raise UserError(f"{path}, line {line}: {name} must be a mapping such as {{scheduler: slurm, ...}}")
        if "name" in keys:
            raise UserError(f'{path}, line {line_of(node, (name, "name"))}: unknown key "name" in {name}')
        try:
            workers[name] = Worker.model_validate({"name": name, **keys})
        except ValidationError as error:
            raise UserError(_described(path, node, name, error.errors())) from None
    return workers


def get_worker(workers: Mapping[str, Worker], name: str, path: Path) -> Worker:
    """Return a worker by name.

    Raises
    ------
    UserError
        There is none of that name; says which is the nearest.
    """
    if name not in workers:
        close = nearest(name, workers)
        hint = f"Nearest: {close}." if close else f"It has: {', '.join(workers)}."
        raise UserError(f'unknown worker "{name}" in {path}. {hint}')
    return workers[name]


def _described(path: Path, node: yaml.Node | None, worker: str, errors: list[ErrorDetails]) -> str:
    """One sentence: unknown keys before missing ones, which they may be meant to be; all missing ones together."""
    unknown = [error for error in errors if error["type"] == "extra_forbidden"]
    wrong = [error for error in errors if error["type"] not in {"extra_forbidden", "missing"}]
    missing = [place((worker, *error["loc"])) for error in errors if error["type"] == "missing"]
    start = f"{path}, line {line_of(node, (worker,))}"
    if not unknown and not wrong:
        return f"{start}: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    error = (unknown or wrong)[0]
    location = (worker, *(part for part in error["loc"] if part != "[key]"))
    start = f"{path}, line {line_of(node, location)}"
    if unknown:
        inside = Cleanup if error["loc"][:-1] == ("cleanup",) else Worker
        known = sorted(set(inside.model_fields) - {"name"})
        close = nearest(str(location[-1]), known)
        hint = f"Nearest: {close}." if close else f"Known: {', '.join(known)}."
        return f'{start}: unknown key "{location[-1]}" in {place(location[:-1])}. {hint}'
    if error["type"] == "value_error":
        return f"{start}: {place(location)}: {error['ctx']['error']}"
    if location == (worker, "name"):
        return f'{start}: "{worker}" is no name of a worker: letters, digits, dots, dashes and underscores'
    return f"{start}: {place(location)} is {short(error['input'])}: {expected(error)}"

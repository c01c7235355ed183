from __future__ import annotations

import doctest
import re
import shlex
import sys
from pathlib import Path
from typing import get_args

import click
import pytest
import typer

from matscout.cli import main
from matscout.cli.app import app as full_app
from matscout.db.documents import Cause
from matscout.workflows.calculations.causes import RETRY_POLICIES

DOCS = Path(__file__).parents[1] / "docs"
CLUSTERS = (DOCS / "clusters.md").read_text()


def commands(page):
    """Commands of the console blocks of a page, each with the lines that it must print."""
    for block in re.findall(r"^```console\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *printed = part.rstrip().splitlines()
            yield shlex.split(command), [line.rstrip() for line in printed if line.strip()]


@pytest.mark.parametrize("name", ["enumeration.md", "features.md", "hulls.md", "models.md"])
def test_the_examples_of_a_page_run(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(str(DOCS / name), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert tried > 0
    assert failed == 0, capsys.readouterr().out
    for command, expected in commands((DOCS / name).read_text()):
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit):
            main()
        printed = "".join(capsys.readouterr())
        assert [line.rstrip() for line in printed.splitlines() if line.strip()] == expected, " ".join(command)


def blocks(kind):
    """Blocks of the page on clusters, of one kind."""
    inside = re.split(r"^```", CLUSTERS, flags=re.MULTILINE)[1::2]
    return [block.partition("\n")[2] for block in inside if block.partition("\n")[0] == kind]


@pytest.mark.parametrize("number", range(len(blocks("yaml"))))
def test_the_files_of_the_page_on_clusters_are_right(number, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    block = blocks("yaml")[number]
    name = block.split()[1]
    Path(name).write_text(block)
    command = ["matscout", "workers", "list"] if name == "workers.yaml" else ["matscout", "validate", name]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None), capsys.readouterr().err


@pytest.mark.parametrize("scheduler", ["Slurm", "PBS"])
def test_the_campaign_of_the_page_on_clusters_can_be_submitted(scheduler, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    section = CLUSTERS.split(f"### {scheduler}\n")[1]
    Path("workers.yaml").write_text(section.split("```yaml\n")[1].split("```")[0])
    Path("fluorides.yaml").write_text(next(block for block in blocks("yaml") if "fluorides.yaml" in block))
    words = "matscout submit fluorides.yaml --worker cluster --dry-run"
    assert words in CLUSTERS
    monkeypatch.setattr(sys, "argv", words.split())
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    assert ended.value.code in (0, None), printed.err
    assert "#PBS -l select=2:ncpus=64:mpiprocs=32:ompthreads=2:mem=245760mb" in printed.out or scheduler == "Slurm"
    assert "module load vasp/6.4.3" in printed.out


def test_the_commands_of_the_page_on_clusters_exist():
    lines = [line for block in blocks("") for line in block.splitlines() if line.startswith("matscout ")]
    assert len(lines) > 15
    app = typer.main.get_command(full_app)
    for line in lines:
        words = shlex.split(line)[1:]
        command = app
        context = click.Context(app)
        while isinstance(command, click.Group) and words and words[0] in command.list_commands(context):
            command = command.get_command(context, words.pop(0))
        command.make_context(line, words).close()


def test_the_retries_of_the_page_on_clusters_are_those_of_the_policies():
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", CLUSTERS, re.MULTILINE))
    assert set(rows) == set(get_args(Cause))
    times = {"none": 0, "once": 1, "twice": 2, "three times": 3}
    codes = {"": "other codes", "chgnet": "CHGNet", "gpaw": "GPAW", "vasp": "VASP"}
    assert codes.keys() == RETRY_POLICIES.keys()
    for code, policy in RETRY_POLICIES.items():
        for cause, row in rows.items():
            # "GPAW: this, twice; VASP: that, once", or one sentence for all; what has no rule is not tried again
            parts = dict(part.split(": ") for part in row.split("; ") if ": " in part)
            words = parts.get(codes[code], "none") if parts else row.split(";")[0]
            retries = policy.causes[cause].retries if cause in policy.causes else 0
            assert times[next(word for word in times if words.endswith(word))] == retries, (code, cause)

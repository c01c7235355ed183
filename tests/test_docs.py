from __future__ import annotations

import doctest
import re
import shlex
import sys
from pathlib import Path

import pytest

from matscout.cli import main

DOCS = Path(__file__).parents[1] / "docs"


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

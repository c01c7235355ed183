"""YAML that people write: one dialect in campaign files, files of workers and values on the command line."""

from __future__ import annotations

import pytest
import yaml

from matscout.errors import UserError
from matscout.workflows.calculations.overrides import parse_override
from matscout.workflows.yaml_files import read_value, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("4e2", 400.0),
        ("-.5", -0.5),
        ("3.", 3.0),
        ("-12", -12),
        ("0", 0),
        ("010", "010"),
        ("09", "09"),
        ("24:00:00", "24:00:00"),
        ("2026-03-01", "2026-03-01"),
        ("2026-13-45", "2026-13-45"),
        ("1_000", "1_000"),
        (".", "."),
        ("true", True),
        ("null", None),
        ("[1e-4, a]", [1e-4, "a"]),
    ],
)
def test_values_are_what_they_look_like(text, value):
    assert (read_value(text), type(read_value(text))) == (value, type(value))
    assert parse_override(f"key={text}") == ("key", value)


@pytest.mark.parametrize(
    "text", ["!!int x", "!!int ''", "!!float x", "!!timestamp x", "!!python/object/apply:os.getcwd []", "[1"]
)
def test_what_is_no_value_is_refused(text, tmp_path):
    with pytest.raises(yaml.YAMLError):
        read_value(text)
    with pytest.raises(UserError, match="key="):
        parse_override(f"key={text}")
    file = tmp_path / "file.yaml"
    file.write_text(f"key: {text}\n")
    with pytest.raises(UserError, match=r"file\.yaml.*: not valid YAML: "):
        read_yaml(file, "file")


def test_a_missing_file_is_not_alone(tmp_path):
    with pytest.raises(UserError, match=r"no file of workers .*clustre\.yaml here\. write one$"):
        read_yaml(tmp_path / "clustre.yaml", "file of workers", "write one")
    (tmp_path / "cluster.yaml").write_text("a: 1\n")
    with pytest.raises(UserError, match=r"Did you mean .*/cluster\.yaml\?$"):
        read_yaml(tmp_path / "clustre.yaml", "file of workers", "write one")

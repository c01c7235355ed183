"""YAML files that people write: read with the line of every key, so that a mistake can be named where it stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import yaml

from matscout.errors import UserError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydantic_core import ErrorDetails


class _Loader(yaml.SafeLoader):
    """Reads numbers as people write them: 1e-4 is one, 010 is a text; and so are 24:00:00 and 2026-03-01."""


_INTEGER, _FLOAT, _TIME = (f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "timestamp"))
_Loader.yaml_implicit_resolvers = {
    letter: [pair for pair in pairs if pair[0] not in {_INTEGER, _FLOAT, _TIME}]
    for letter, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_INTEGER, re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(r"^[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$"),
    list("-+.0123456789"),
)


def read_value(text: str) -> Any:
    """Read YAML, such as the value of an option.

    Raises
    ------
    yaml.YAMLError
        It is none.

    Examples
    --------
    >>> read_value("1e-4"), read_value("{beta: 0.02}"), read_value("24:00:00")
    (0.0001, {'beta': 0.02}, '24:00:00')
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  a SafeLoader
    except (ValueError, LookupError, AttributeError) as error:  # a value that is not what its tag says, as in !!int x
        raise yaml.YAMLError(f"a value does not fit its tag: {error}") from None


def read_yaml(path: Path, what: str, otherwise: str = "") -> tuple[Any, yaml.Node | None]:
    """Read a YAML file, and where each of its keys stands.

    Parameters
    ----------
    path
        The file.
    what
        What people call such a file.
    otherwise
        What can be done where it is missing, and none has a name like it.

    Raises
    ------
    UserError
        It cannot be read, is no YAML, or holds a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        close = nearest(path.name, [one.name for one in path.parent.glob("*.y*ml")])
        hint = f"Did you mean {path.parent / close}?" if close else otherwise
        raise UserError(f"no {what} {path} here{f'. {hint}' if hint else ''}") from None
    except (IsADirectoryError, PermissionError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"{path} cannot be read as a {what}: {why}") from None
    try:
        content = read_value(text)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{path}{where}: not valid YAML: {problem}") from None
    twice = _repeated_key(node)
    if twice is not None:
        raise UserError(f'{path}, line {twice.start_mark.line + 1}: the key "{twice.value}" stands here a second time')
    return content, node


def line_of(node: yaml.Node | None, location: Sequence[int | str]) -> int:
    """Line of the deepest part of `location` that the file has; a key's own line where it is a key."""
    line = node.start_mark.line + 1 if node else 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == part), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def place(location: Sequence[int | str]) -> str:
    """Write a place in a file as people do.

    Examples
    --------
    >>> place(("cluster", "modules", 0))
    'cluster.modules[0]'
    """
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def short(value: Any) -> str:
    """Write a value that was not what was expected, in so many characters as a sentence bears."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def expected(error: ErrorDetails) -> str:
    """Say what a value should have been."""
    if error["type"] == "string_pattern_mismatch":
        return "letters, digits, dots, dashes and underscores do"
    if error["type"] == "string_type":
        return "it must be text: write it in quotation marks"
    if error["type"] == "too_short":
        return "name at least one"
    if error["type"] in {"tuple_type", "list_type"}:
        return "it must be a list, such as [...]"
    if error["type"] in {"dict_type", "model_type", "model_attributes_type"}:
        return "it must be a mapping, such as {key: value}"
    return error["msg"][0].lower() + error["msg"][1:]


def _repeated_key(node: yaml.Node | None) -> yaml.Node | None:
    """Return the first key that stands twice in one mapping: YAML would silently take the last."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if isinstance(key.value, str) and key.value in seen:
                return cast("yaml.Node", key)
            if isinstance(key.value, str):
                seen.add(key.value)
            found = _repeated_key(value)
            if found is not None:
                return found
    elif isinstance(node, yaml.SequenceNode):
        return next((found for item in node.value if (found := _repeated_key(item)) is not None), None)
    return None

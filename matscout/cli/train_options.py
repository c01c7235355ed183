"""Options of surrogates as a user types them, and what surrogates say of them in words of the command line."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import yaml

from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WORDS = (
    (r"set the option missing to (\w+) or (\w+)", r"give --missing \1 or --missing \2"),
    (r"set the option missing to (\w+)", r"give --missing \1"),
    (r"set the option (\w+) to\s+([\w.-]+)", r"give --option \1=\2"),
    (r"take the option (\w+=\w+)", r"give --option \1"),
    (r"\boption test_part must be", "--test-part must be"),
    (r"\boption folds must be", "--option folds must be"),
    (r"^(\d+) folds need at least", r"--parts \1 needs at least"),
    (r"or have it replaced", "or give --replace"),
    (r"with groups where rows are alike", "with --group-by where rows are alike"),
    (r"there to learn from: give sizes", "there to learn from: leave --learning-curve out"),
    (r"train it without tuning", "leave --tune out"),
)
"""What models say to who writes Python, and what it is called here."""


def given_options(given: Sequence[str], missing: str | None, seed: int) -> dict[str, Any]:
    """Options by name: those given as NAME=VALUE, ``missing`` where it is given by itself, and the seed.

    Raises
    ------
    UserError
        One is no NAME=VALUE, its value cannot be read, or one is given twice.

    Examples
    --------
    >>> given_options(["learning_rate=1e-2", "n_trees=50"], None, 0)
    {'seed': 0, 'learning_rate': 0.01, 'n_trees': 50}
    """
    options: dict[str, Any] = {"seed": seed}
    if missing is not None:
        options["missing"] = missing
    for one in given:
        name, equals, text = (part.strip() for part in one.partition("="))
        if not equals or not name:
            raise UserError(f'--option takes NAME=VALUE, such as n_members=5, got "{one}"')
        if name == "missing" and missing is not None:
            raise UserError("--missing and --option missing are the same: give one of them")
        options[name] = _value(name, text)
    return options


def _value(name: str, text: str) -> Any:
    """Read a value: YAML takes 1e-2 for a text, so numbers are tried first."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        raise UserError(f'--option {name}: "{text}" is no value: {reason}') from error


def default_missing(surrogate: str) -> str | None:
    """Say what is done about unknown features where the user does not: what campaigns do; None without features."""
    from matscout.models.base import FeatureSurrogate
    from matscout.models.registry import surrogate_class

    kind = surrogate_class(surrogate)
    if not issubclass(kind, FeatureSurrogate):
        return None
    return "native" if kind.native_missing else "median"


@contextmanager
def in_our_words() -> Iterator[None]:
    """Name flags of the command line where an error names options of Python."""
    try:
        yield
    except UserError as error:
        said = our_words(str(error))
        if said == str(error):
            raise
        raise UserError(said) from error


def our_words(message: str) -> str:
    """Name flags of the command line in place of options of Python.

    Examples
    --------
    >>> our_words("leave them out, or set the option missing to median or native")
    'leave them out, or give --missing median or --missing native'
    """
    for python, ours in _WORDS:
        message = re.sub(python, ours, message)
    return message

"""Options of surrogates as a user types them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from matscout.errors import UserError
from matscout.workflows.yaml_files import read_value

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    try:
        return read_value(text)
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

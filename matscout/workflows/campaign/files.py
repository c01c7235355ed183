"""Campaign files: YAML read with the line of every mistake."""

from __future__ import annotations

from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from matscout.errors import MissingFileError, UserError, nearest
from matscout.settings import get_settings
from matscout.workflows.campaign.spec import CampaignSpec
from matscout.workflows.yaml_files import expected, line_of, place, read_yaml, short

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import yaml
    from pydantic_core import ErrorDetails


_TAGS = frozenset({"computed", "file"})


def read_spec(path: Path) -> CampaignSpec:
    """Read and check a campaign file.

    Parameters
    ----------
    path
        A YAML file.

    Raises
    ------
    UserError
        The file is missing, no YAML, or not a campaign: names the file, the line, the value, and the nearest right one.
    """
    content, node = read_yaml(path, "campaign file", f"matscout init {path.stem} writes one")
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no campaign: it must be a mapping with name, space and budget")
    try:
        return CampaignSpec.model_validate(content, context={"folder": path.parent})
    except ValidationError as error:
        worst = _worst(error.errors())
        cause = worst.get("ctx", {}).get("error")
        kind = MissingFileError if isinstance(cause, MissingFileError) else UserError
        raise kind(_describe(path, node, worst)) from None


def with_reference_file(spec: CampaignSpec, folder: Path) -> CampaignSpec:
    """Return the campaign with its reference file found, as an absolute path.

    Parameters
    ----------
    folder
        Where to look first: the campaign file's folder. Then comes the folder MATSCOUT_DATA.

    Raises
    ------
    UserError
        It is in neither.
    """
    if spec.references.source != "file":
        return spec
    wanted, data = spec.references.path, get_settings().data
    places = [folder / wanted, *([data / wanted] if data else [])]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise UserError(
            f"the reference file {wanted} of campaign {spec.name} is not there (looked at "
            f"{' and '.join(map(str, places))}): name it with --references PATH, or set MATSCOUT_DATA to the folder "
            "that holds it"
        )
    options = spec.references.model_copy(update={"path": found.absolute()})
    return spec.model_copy(update={"references": options})


def _worst(errors: Sequence[ErrorDetails]) -> ErrorDetails:
    """Choose the mistake to speak of.

    An unknown key comes before the missing one that it was meant to be. Where a value may have several forms, pydantic
    reports all that it is not: the form that fits deepest is the one that was meant.
    """
    unknown = [error for error in errors if error["type"] == "extra_forbidden"]
    places = [_location(error) for error in errors]

    def is_outdone(n: int) -> bool:
        return any(len(other) > len(places[n]) and other[: len(places[n])] == places[n] for other in places)

    return (unknown or [error for n, error in enumerate(errors) if not is_outdone(n)])[0]


def _location(error: ErrorDetails) -> tuple[int | str, ...]:
    """Place of an error in the file, without the names that pydantic gives to the forms of a value."""
    return tuple(p for p in error["loc"] if isinstance(p, int) or (p not in _TAGS and not set(p) & set("[()")))


def _describe(path: Path, node: yaml.Node | None, error: ErrorDetails) -> str:
    """One sentence for one mistake: file, line, place, value, and what would be right."""
    location = _location(error)
    line, where = line_of(node, location), place(location)
    if error["type"] == "extra_forbidden":
        known = sorted({name for model in _models_at(error["loc"][:-1]) for name in model.model_fields})
        close = nearest(str(location[-1]), known)
        hint = f"Nearest: {close}." if close else f"Known: {', '.join(known)}."
        inside = f" in {place(location[:-1])}" if location[:-1] else ""
        return f'{path}, line {line}: unknown key "{location[-1]}"{inside}. {hint}'
    if error["type"] == "missing":
        return f"{path}, line {line}: {where} is missing"
    if error["type"] == "value_error":
        message = str(error["ctx"]["error"])
        return f"{path}, line {line}: {_insert_place(message, where)}"
    if error["type"] == "union_tag_invalid":
        close = nearest(str(error["ctx"]["tag"]), _TAGS)
        hint = f" Nearest: {close}." if close else ""
        return f'{path}, line {line}: unknown source "{error["ctx"]["tag"]}" in {where}.{hint}'
    return f"{path}, line {line}: {where} is {short(error['input'])}: {expected(error)}"


def _insert_place(message: str, place: str) -> str:
    """Say where after the first sentence: 'unknown element "Xx" in space.elements.A[0]. Nearest: ...'."""
    head, separator, tail = message.removesuffix(".").partition(". ")
    tail += "." if message.endswith(".") and tail else ""
    if not head.startswith("unknown"):
        return f"{place}: {message}"
    return message if head.startswith(f"unknown {place} ") else f"{head} in {place}{separator}{tail}"


def _models_at(location: Sequence[int | str]) -> list[type[BaseModel]]:
    """Models whose keys may stand at a place of the campaign."""
    models: list[type[BaseModel]] = [CampaignSpec]
    for part in location:
        if isinstance(part, str) and any(part in model.model_fields for model in models):
            annotations = [model.model_fields[part].annotation for model in models if part in model.model_fields]
            models = [model for annotation in annotations for model in _models_in(annotation)]
    tagged = [
        m for m in models if "source" in m.model_fields and m.model_fields["source"].annotation in _tags(location)
    ]
    return tagged or models


def _tags(location: Sequence[int | str]) -> list[Any]:
    from typing import Literal

    return [Literal[part] for part in location if part in _TAGS]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in {Union, UnionType, Annotated, tuple, list, dict}:
        for part in get_args(annotation):
            yield from _models_in(part)

"""The search space of a campaign: prototypes, elements, filters."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator, model_validator

from matscout.db.prototypes import Prototype
from matscout.errors import MissingFileError, UserError, nearest
from matscout.workflows.campaign.parts import Part, unknown_name

if TYPE_CHECKING:
    from matscout.workflows.enumeration import CandidateSpace


def _choice(value: Any) -> Any:
    from matscout.workflows.enumeration import parse_choice

    parse_choice(value)
    return value


def _prototype(name: str) -> str:
    from matscout.workflows.enumeration import select_prototypes

    try:
        select_prototypes([name])
    except UserError as error:
        if Path(name).suffix or "/" in name:
            raise UserError(f"{error} A crystal of your own is written so: {{file: {name}}}.") from None
        raise
    return name


Choice = Annotated[str, BeforeValidator(_choice)]
"""An element (Sr), an ion (Fe3+) or a mixture on the sites of one role (O2N, Sr0.5Ba0.5)."""


class FilterSpec(Part):
    """A filter and its options. In YAML also just its name, or ``name: {option: value}``."""

    name: str = Field(description="charge-neutrality, bartel-tau, exclude-elements and more, see docs/enumeration.md")
    options: dict[str, Any] = Field(default_factory=dict, description="Its options, such as minimum and maximum")
    content: str | None = Field(default=None, description="Hash of the file that it names; found when it is read")

    @model_validator(mode="before")
    @classmethod
    def _reads_its_file(cls, value: Any, info: ValidationInfo) -> Any:
        value = _long_form(value)
        options = value.get("options") if isinstance(value, dict) else None
        if not isinstance(options, dict) or not isinstance(options.get("file"), str):
            return value
        path = _found(Path((info.context or {}).get("folder", ".")) / options["file"])
        content = sha256(path.read_bytes()).hexdigest()[:16]
        if (value.get("content") or content) != content:
            raise UserError(f"the file {path} has changed since the campaign began: that is another campaign")
        return value | {"options": options | {"file": str(path.absolute())}, "content": content}

    @model_validator(mode="after")
    def _exists(self) -> FilterSpec:
        from matscout.workflows.enumeration.filters import make_filter

        make_filter(self.name, **self.options)
        return self


def _long_form(value: Any) -> Any:
    """Write a filter with the keys name and options."""
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and "name" not in value and len(value) == 1:
        name, options = next(iter(value.items()))
        return {"name": name, "options": options or {}}
    return value


def _found(path: Path) -> Path:
    """Return the path of a file that is there."""
    if path.is_file():
        return path
    if path.exists():
        raise UserError(f"{path} is no file")
    close = nearest(path.name, [one.name for one in path.parent.glob(f"*{path.suffix}") if one.is_file()])
    raise MissingFileError(f"no file {path}" + (f". Did you mean {close}?" if close else ""))


class OwnPrototype(Part):
    """A prototype that is not in the library, with all that it consists of.

    In YAML it is named by a file, ``file: my.cif``; the campaign then holds what the file said.
    """

    name: str = Field(min_length=1, description="Unique name")
    label: str = Field(default="", description="AFLOW label")
    roles: tuple[str, ...] = Field(min_length=1, description="Name of each role")
    lattice: tuple[tuple[float, float, float], ...] = Field(description="Lattice vectors in rows, Å")
    frac_coords: tuple[tuple[float, float, float], ...] = Field(description="Fractional coordinates of the sites")
    role_of_site: tuple[int, ...] = Field(description="Role of each site, as its place in roles")
    description: str = Field(default="", description="Mineral, example")
    source: str = Field(default="", description="Where the cell comes from")
    ideal_swaps: tuple[tuple[int, ...], ...] = Field(
        default=(), description="Exchanges of roles that ideal values of the free parameters would allow"
    )

    @model_validator(mode="after")
    def _is_one(self) -> OwnPrototype:
        self.prototype()
        return self

    def prototype(self) -> Prototype:
        """Return the prototype."""
        return Prototype.from_dict(self.model_dump())


class PrototypeFile(Part):
    """A crystal of the user's own as a prototype: CIF, POSCAR or pymatgen's JSON."""

    file: Path = Field(description="Looked for beside the campaign file")
    name: str | None = Field(default=None, min_length=1, description="Name of the prototype; the file's if none")
    roles: Literal["orbits", "elements"] = Field(
        default="orbits", description="One role for each orbit of equivalent sites, or one for each element"
    )
    symprec: float = Field(default=0.01, gt=0, le=1, description="Å by which its sites may be off their symmetry")


def _own_prototype(value: Any, info: ValidationInfo) -> Any:
    """Read what a file holds; take objects of Python as they are."""
    if isinstance(value, str):
        return _prototype(value)
    if isinstance(value, Prototype):
        return value.to_dict()
    if isinstance(value, dict) and "lattice" not in value:
        from matscout.workflows.enumeration import read_prototype

        try:
            wanted = PrototypeFile.model_validate(value)
        except ValidationError as error:
            raise UserError(_wrong_file(error)) from None
        path = _found(Path((info.context or {}).get("folder", ".")) / wanted.file)
        prototype = read_prototype(path, **wanted.model_dump(exclude={"file"}))
        _refuse_taken(prototype.name)
        return prototype.to_dict()
    return value


def _refuse_taken(name: str) -> None:
    """Refuse a name under which the library has a prototype, or which stands for several."""
    from matscout.workflows.enumeration import common_names, prototype_library

    if name == "all" or set(name) & set("*?[") or name in prototype_library() or name in common_names():
        raise UserError(f'"{name}" already means something in the prototype library: give yours another name')


def _wrong_file(error: ValidationError) -> str:
    """One sentence for the first mistake in the description of a prototype from a file."""
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")  # before the key it was meant to be
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return unknown_name(key, PrototypeFile.model_fields, "key")
    if first["type"] == "missing":
        return f"a prototype of your own needs the key {key}, such as {{file: my.cif}}"
    return f"{key} is {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}"


class SpaceSpec(Part):
    """The candidates: prototypes decorated with elements, then filtered."""

    prototypes: tuple[Annotated[str | OwnPrototype, BeforeValidator(_own_prototype)], ...] = Field(
        min_length=1,
        description="Prototype names, AFLOW labels, patterns such as AB3C_*, or all; or {file: my.cif}, a crystal of "
        "your own",
    )
    elements: dict[str, tuple[Choice, ...]] | tuple[Choice, ...] = Field(
        description="Elements (Sr), ions (Fe3+) and mixtures (O2N) of each role, or one list for all roles"
    )
    repeat_elements: bool = Field(default=False, description="Whether an element may fill several roles")
    max_cells: int = Field(
        default=1, ge=1, le=16, strict=True, description="Primitive cells that an ordered cell of a mixture may have"
    )
    filters: tuple[FilterSpec, ...] = Field(default=(), description="Filters, applied in this order")

    @field_validator("prototypes", "filters", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | dict | Prototype) else value

    @field_validator("elements", mode="before")
    @classmethod
    def _one_element_is_a_list(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {role: [one] if isinstance(one, str) else one for role, one in value.items()}
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _roles_have_elements(self) -> SpaceSpec:
        from matscout.workflows.enumeration import select_prototypes
        from matscout.workflows.enumeration.choices import choices_by_role

        choices_by_role(select_prototypes(self._prototypes()), self.elements)
        return self

    def _prototypes(self) -> list[str | Prototype]:
        return [one if isinstance(one, str) else one.prototype() for one in self.prototypes]

    @property
    def prototype_names(self) -> tuple[str, ...]:
        """Names and patterns as given, and the names of the user's own prototypes."""
        return tuple(one if isinstance(one, str) else one.name for one in self.prototypes)

    def candidate_space(self) -> CandidateSpace:
        """Return the space, nothing of it enumerated."""
        from matscout.workflows.enumeration import CandidateSpace

        return CandidateSpace(
            self._prototypes(), self.elements, repeat_elements=self.repeat_elements, max_cells=self.max_cells
        )

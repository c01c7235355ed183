"""`matscout prototypes`: the library, searched, and one prototype in full."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from typer import echo

from matscout.cli.output import print_json, print_table
from matscout.errors import UserError

if TYPE_CHECKING:
    from matscout.db.prototypes import Prototype


def list_prototypes(search: str, space_group: int | None, n_roles: int | None, *, as_json: bool) -> None:
    """List prototypes by name, label or mineral, space group and number of roles."""
    from matscout.workflows.enumeration import find_prototypes

    found = [
        prototype
        for prototype in find_prototypes(search)
        if (n_roles is None or len(prototype.roles) == n_roles)
        and (space_group is None or prototype.space_group == space_group)
    ]
    if as_json:
        print_json([_described(prototype) for prototype in found])
    elif found:
        cells = [[p.name, " ".join(p.roles), str(p.n_sites), str(p.space_group), p.description] for p in found]
        print_table(("name", "roles", "sites", "space group", "description"), cells, right=(2, 3))
    else:
        echo(_nothing(search, space_group, n_roles))


def _nothing(search: str, space_group: int | None, n_roles: int | None) -> str:
    said = [
        f'matches "{search}"' if search != "*" else "",
        f"has the space group {space_group}" if space_group else "",
        f"has {n_roles} roles" if n_roles else "",
    ]
    return "no prototype " + " and ".join(part for part in said if part)


def show_prototype(name: str, *, as_json: bool) -> None:
    """Show one prototype: its roles with their Wyckoff positions, which may be exchanged, and where it comes from."""
    prototype = _find(name)
    if as_json:
        orders = [list(order) for order in prototype.equivalent_roles]
        print_json(_described(prototype) | {"equivalent_roles": orders, "cell": prototype.to_dict()})
        return
    echo(f"{prototype.name}   {prototype.description}".rstrip())
    echo(f"label        {prototype.label or 'none'}")
    echo(f"space group  {prototype.space_group} {prototype.space_group_symbol}")
    echo(f"sites        {prototype.n_sites} in the primitive cell")
    amounts = prototype.reduced_multiplicity.tolist()
    cells = [
        [role, str(amount), " ".join(positions)]
        for role, amount, positions in zip(prototype.roles, amounts, prototype.wyckoff_positions, strict=True)
    ]
    print_table(("role", "in the formula", "Wyckoff positions"), cells, right=(1,))
    for order in prototype.equivalent_roles[1:]:
        kind = "at ideal parameters " if order in prototype.ideal_swaps else ""
        echo(f"{kind}the same crystal with its roles in the order {' '.join(prototype.roles[i] for i in order)}")
    if prototype.source:
        echo(fill(f"source: {prototype.source}", width=100))


def _find(name: str) -> Prototype:
    """Find a prototype by its name, or read it from a file."""
    from matscout.workflows.enumeration import get_prototype, read_prototype

    if Path(name).is_file():
        return read_prototype(Path(name))
    try:
        return get_prototype(name)
    except UserError as error:
        if Path(name).suffix or "/" in name:
            raise UserError(f"no file {name} here, and {error}") from None
        raise


def _described(prototype: Prototype) -> dict[str, Any]:
    return {
        "name": prototype.name,
        "label": prototype.label,
        "roles": list(prototype.roles),
        "amounts": prototype.reduced_multiplicity.tolist(),
        "sites": prototype.n_sites,
        "space_group": prototype.space_group,
        "space_group_symbol": prototype.space_group_symbol,
        "wyckoff_positions": [list(positions) for positions in prototype.wyckoff_positions],
        "description": prototype.description,
        "source": prototype.source,
    }

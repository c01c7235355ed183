"""Messages between `RowProcess` and its child: a header as JSON and arrays as they lie in memory.

Everything arrives to the last bit, and nothing that arrives can run code.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.crystals.crystal import Crystal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pymatgen.core.composition import Composition

    Bytes = bytes | bytearray | memoryview
    Message = tuple[dict[str, Any], list[NDArray[Any]]]

_LENGTHS = struct.Struct(">QQ")  # of the header and of the arrays, in bytes


def pack(header: dict[str, Any], arrays: Sequence[NDArray[Any]] = ()) -> bytes:
    """Write a message; the header must not have a field "arrays" of its own."""
    kinds = [[array.dtype.str, array.shape, "F" if np.isfortran(array) else "C"] for array in arrays]
    head = json.dumps({**header, "arrays": kinds}, default=_plain).encode()
    body = b"".join(array.tobytes(order="A") for array in arrays)  # in the order in which it lies
    return _LENGTHS.pack(len(head), len(body)) + head + body


def n_bytes(start: Bytes) -> int | None:
    """Tell how long a message is from how it begins; None where that is too short to tell."""
    view = memoryview(start)
    return _LENGTHS.size + sum(_LENGTHS.unpack(view[: _LENGTHS.size])) if len(view) >= _LENGTHS.size else None


def unpack(message: Bytes) -> Message:
    """Read a whole message.

    Raises
    ------
    ValueError
        It is none.
    """
    view = memoryview(message)
    middle = _LENGTHS.size + _LENGTHS.unpack(view[: _LENGTHS.size])[0]
    header = json.loads(bytes(view[_LENGTHS.size : middle]))
    body, arrays, start = view[middle:], [], 0
    for kind, shape, order in header.pop("arrays"):
        dtype, count = np.dtype(kind), int(np.prod(shape))
        flat = np.frombuffer(body, dtype, count, start).copy()  # aligned, and to be written to
        arrays.append(flat.reshape(shape, order=order))
        start += count * dtype.itemsize
    return header, arrays


def row_message(header: dict[str, Any], row: Crystal | Composition) -> bytes:
    """Write a row into a message, beside `header`.

    Raises
    ------
    TypeError
        It is neither a crystal nor a composition.
    """
    from pymatgen.core.composition import Composition

    if isinstance(row, Crystal):
        return pack({**header, "crystal": True}, [row.lattice, row.frac_coords, row.numbers])
    if isinstance(row, Composition):
        species = [[*written_species(kind), amount] for kind, amount in row.items()]
        return pack({**header, "crystal": False, "species": species, "allow_negative": row.allow_negative})
    raise TypeError(f"a Crystal or a Composition is expected, got a {type(row).__name__}")


def row_of(header: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> Crystal | Composition:
    """Read the row out of a message."""
    if header["crystal"]:
        return Crystal(*arrays)
    from pymatgen.core.composition import Composition

    species = {_read(*kind): amount for *kind, amount in header["species"]}
    return Composition(species, allow_negative=header["allow_negative"])


def written_species(kind: Any) -> tuple[str, str, float | None, float | None]:
    """Write an element or a species; its text would round the oxidation state, `as_dict` make hydrogen of deuterium."""
    if not hasattr(kind, "oxi_state"):
        return "Element", kind.name, None, None
    dummy = type(kind).__name__ == "DummySpecies"
    return type(kind).__name__, kind.symbol if dummy else kind.element.name, kind.oxi_state, kind.spin


def _read(kind: str, name: str, oxidation_state: float | None, spin: float | None) -> Any:
    from pymatgen.core import periodic_table

    if kind == "Element":
        return periodic_table.Element(name)
    species = periodic_table.DummySpecies if kind == "DummySpecies" else periodic_table.Species
    return species(name, oxidation_state, spin)


def _plain(number: Any) -> Any:
    """Turn a number of NumPy's into one of Python's."""
    if isinstance(number, np.generic):
        return number.item()
    raise TypeError(f"a {type(number).__name__} cannot be sent")

"""Crystals from files: CIF with any number of blocks, POSCAR, pymatgen's JSON, extended XYZ.

What cannot be read is refused in one sentence and listed; the rest goes on. Nothing is decoded but numbers and texts.
"""

from __future__ import annotations

import gzip
import json
import re
import warnings
import zlib
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from matscout.errors import UserError, nearest

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from pymatgen.core.structure import Structure

#: What pymatgen's and ASE's parsers were seen to raise on damaged files: they check little, and stumble where a number,
#: a line or a key is missing.
PARSER_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    NotImplementedError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    OSError,
)

_GZIP = b"\x1f\x8b"


class RefusedCrystal(NamedTuple):
    """A crystal that could not be used, and why.

    Examples
    --------
    >>> print(RefusedCrystal("my.cif", "it has no atoms"))
    my.cif: it has no atoms
    """

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


class NamedStructure(NamedTuple):
    """A crystal and the name that the user knows it by."""

    name: str
    structure: Structure


class _Part(NamedTuple):
    """A piece of a file that should be one crystal, and how to make it."""

    name: str
    parse: Callable[[], Structure]


def read_structures(path: str | os.PathLike[str]) -> tuple[list[NamedStructure], list[RefusedCrystal]]:
    """Read all crystals of a file.

    Parameters
    ----------
    path
        A CIF; a POSCAR or CONTCAR; JSON of pymatgen (a structure, an entry, a list of them, or a
        frame with a column `structure` that pandas wrote with orient="split", as Matbench's); an extended XYZ file
        with its cells. Each may be gzipped. The content decides, not the ending.

    Returns
    -------
    structures
        In the file's order. The only crystal of a file is named after it, those of a CIF after their blocks, entries by
        their ids, others by their number in the file.
    refused
        Those that cannot be read, each with the reason.

    Raises
    ------
    UserError
        There is no such file, or it holds nothing that looks like a crystal.
    """
    path = Path(path)
    text = _read_text(path)
    start = text.lstrip()[:1]
    if start in {"{", "["}:
        parts = _json_parts(path, text)
    elif re.search(r"^\s*data_", text, flags=re.MULTILINE):
        parts = _cif_parts(path, text)
    elif re.search(r"^\s*\d+\s*\n.*Lattice\s*=", text):
        parts = _xyz_parts(path, text)
    elif path.name.lower().endswith((".xyz", ".extxyz")):
        raise UserError(f'{path}: a molecule, not a crystal: its second line has no Lattice="..."')
    elif path.name.lower().endswith((".cif", ".cif.gz")):
        raise UserError(f"{path}: not a CIF: it has no data_ block")
    else:
        parts = iter([_Part(_stem(path), lambda: _from_poscar(text))])
    read: list[NamedStructure] = []
    refused: list[RefusedCrystal] = []
    for part in parts:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what a parser had to guess, the checks that follow see
                read.append(NamedStructure(part.name, part.parse()))
        except UserError as error:
            refused.append(RefusedCrystal(part.name, str(error)))
        except PARSER_ERRORS as error:
            refused.append(RefusedCrystal(part.name, f"no crystal can be read from it ({_last_line(error)})"))
    if not read and not refused:
        raise UserError(f"{path}: it holds no crystal")
    return read, refused


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        folder = path.parent
        close = nearest(path.name, [other.name for other in folder.iterdir()]) if folder.is_dir() else None
        raise UserError(f"no file {path}." + (f" Did you mean {folder / close}?" if close else "")) from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: name the files in it") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    if data.startswith(_GZIP):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{path}: damaged gzip data ({error})") from error
    if not data.strip():
        raise UserError(f"{path}: the file is empty")
    if b"\0" in data:
        raise UserError(f"{path}: a binary file, not a CIF, POSCAR, JSON or extended XYZ")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")  # authors' names in old CIFs


def _stem(path: Path) -> str:
    """Name of a file without the endings that only say its format."""
    return re.sub(r"(\.(cif|mcif|vasp|poscar|json|xyz|extxyz))?(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def _last_line(error: BaseException) -> str:
    """Say of a foreign exception what it says, in one line."""
    lines = str(error).strip().splitlines() or [""]
    said = lines[-1].strip().rstrip(".")
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


# CIF


def _cif_parts(path: Path, text: str) -> Iterator[_Part]:
    blocks = re.split(r"^\s*data_", f"x\n{text}", flags=re.MULTILINE)[1:]
    crystals = [block for block in blocks if "_cell_length_a" in block or "_atom_site" in block]
    for block in crystals:
        header = block.split(maxsplit=1)[0]
        name = _stem(path) if len(crystals) == 1 else f"{_stem(path)}-{header}"
        yield _Part(name, lambda block=block: _from_cif_block(block))  # type: ignore[misc]


def _from_cif_block(block: str) -> Structure:
    from pymatgen.io.cif import CifParser

    if not re.search(r"_atom_site_(fract|cartn)_x", block, flags=re.IGNORECASE):
        raise UserError("its CIF block has no atomic coordinates")
    if not re.search(r"_cell_length_a", block, flags=re.IGNORECASE):
        raise UserError("its CIF block has no cell")
    structure = CifParser.from_str(f"data_{block}").parse_structures(primitive=False, on_error="raise")[0]
    if "implicit_hydrogens" in structure.site_properties:
        raise UserError("hydrogen atoms are counted, but not placed, in its CIF block: add their coordinates")
    return structure


# POSCAR


def _from_poscar(text: str) -> Structure:
    from pymatgen.io.vasp import Poscar

    poscar = Poscar.from_str(text, read_velocities=False)
    if not poscar.true_names:
        raise UserError("a POSCAR without element symbols: write them into its sixth line")
    return poscar.structure


# JSON


def _json_parts(path: Path, text: str) -> Iterator[_Part]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error})") from None
    documents = _documents(content)
    for place, document in enumerate(documents, start=1):
        number = _stem(path) if len(documents) == 1 else f"{_stem(path)}-{place}"
        yield _Part(_document_name(document) or number, lambda document=document: _from_document(document))  # type: ignore[misc]


def _documents(content: Any) -> list[Any]:
    """List what should be crystals: one, a list, or the rows of a frame that pandas wrote with orient="split"."""
    if isinstance(content, dict) and {"columns", "data"} <= content.keys() and "structure" in content["columns"]:
        return [dict(zip(content["columns"], row, strict=False)) for row in content["data"]]
    return content if isinstance(content, list) else [content]


def _document_name(document: Any) -> str | None:
    if not isinstance(document, dict):
        return None
    for key in ("entry_id", "material_id", "id", "name"):
        if isinstance(document.get(key), str | int):
            return str(document[key])
    return None


def _from_document(document: Any) -> Structure:
    from pymatgen.core.structure import Structure

    if isinstance(document, dict) and "structure" in document:
        document = document["structure"]
    if not isinstance(document, dict) or not {"lattice", "sites"} <= document.keys():
        raise UserError("JSON, but not of a structure of pymatgen: lattice and sites are missing")
    return Structure.from_dict(document)


# extended XYZ


def _xyz_parts(path: Path, text: str) -> Iterator[_Part]:
    from ase.io import read

    try:
        frames = read(StringIO(text), index=":", format="extxyz")
    except PARSER_ERRORS as error:
        raise UserError(f"{path}: no crystal can be read from it ({_last_line(error)})") from None
    for place, atoms in enumerate(frames, start=1):
        name = _stem(path) if len(frames) == 1 else f"{_stem(path)}-{place}"
        yield _Part(name, lambda atoms=atoms: _from_atoms(atoms))  # type: ignore[misc]


def _from_atoms(atoms: Any) -> Structure:
    from pymatgen.core.structure import Structure

    if not all(atoms.pbc) or abs(np.linalg.det(atoms.cell.array)) < 1e-6:
        raise UserError("a molecule or a slab, not a crystal: it is not periodic in three directions")
    return Structure(atoms.cell.array, atoms.get_chemical_symbols(), atoms.get_positions(), coords_are_cartesian=True)

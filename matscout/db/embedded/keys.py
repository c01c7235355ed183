"""Values as bytes that compare as MongoDB compares the values.

A key is one byte for the type, in the order of BSON types, and then bytes in the order of values. Numbers of all kinds
share a type, as 1 and 1.0 are equal. Arrays and objects have a digest: it finds equal ones and orders nothing.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import hashlib
import math
import struct
from datetime import datetime, timedelta
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

import bson
from bson import Code, ObjectId
from mongomock.filtering import iter_key_candidates
from sentinels import NOTHING  # type: ignore[import-untyped]  # mongomock's word for a missing field

if TYPE_CHECKING:
    from collections.abc import Callable

EMPTY_ARRAY: Final = b"\x02"  # as a sort key only: sorts before everything
NULL: Final = b"\x05"  # also of a field that is missing
NAN: Final = b"\x09"  # a type of its own, so that no range of numbers holds it
NUMBER: Final = b"\x0a"
STRING: Final = b"\x0f"
OBJECT: Final = b"\x14"
ARRAY: Final = b"\x19"
BINARY: Final = b"\x1e"
OBJECT_ID: Final = b"\x23"
BOOLEAN: Final = b"\x28"
DATE: Final = b"\x2d"
OTHER: Final = b"\x32"

UNORDERED: Final = frozenset((*NAN, *OBJECT, *ARRAY, *OTHER))
"""Types whose keys do not sort as their values do."""

NOT_FIRST, FIRST, FIRST_UNORDERED = 0, 1, 2
"""Role of an index entry: a value to be found by only; the document's sort key; one that SQL cannot sort by."""

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  BSON dates are decoded as naive UTC
_MILLISECOND = timedelta(milliseconds=1)
_SIGN = 1 << 63


def key(value: Any) -> bytes:
    """Return the key of a BSON value.

    Examples
    --------
    >>> sorted([True, "b", 2, None, "a", 1.5], key=key)
    [None, 1.5, 2, 'a', 'b', True]
    """
    if type(value) is str:  # most are
        return STRING + value.encode()
    return next((encode(value) for kind, encode in _ENCODERS if isinstance(value, kind)), None) or _other(value)


def _number(value: float) -> bytes:
    """Order doubles and 64-bit integers together: the double's bits, then what an integer has beyond its double."""
    double = float(value)
    if math.isnan(double):
        return NAN
    (bits,) = struct.unpack(">Q", struct.pack(">d", double + 0.0))  # -0.0 + 0.0 is 0.0
    bits = ~bits & 0xFFFF_FFFF_FFFF_FFFF if bits & _SIGN else bits | _SIGN
    beyond = int(value) - int(double) if isinstance(value, int) else 0
    return NUMBER + struct.pack(">QH", bits, beyond + 0x8000)


def _digest(value: dict[str, Any] | list[Any]) -> bytes:
    return hashlib.blake2b(_canonical(value), digest_size=16).digest()


def _canonical(value: Any) -> bytes:
    """Write nested values so that what Python calls equal is equal: 1 and True, and objects in any order of keys."""
    if isinstance(value, dict):
        parts = [_framed(name.encode()) + _framed(_canonical(value[name])) for name in sorted(value)]
        return OBJECT + b"".join(parts)
    if isinstance(value, list):
        return ARRAY + b"".join(_framed(_canonical(item)) for item in value)
    return key(int(value) if isinstance(value, bool) else value)


def _other(value: Any) -> bytes:
    return OTHER + hashlib.blake2b(bson.encode({"": value}), digest_size=16).digest()


_ENCODERS: tuple[tuple[type | tuple[type, ...], Callable[[Any], bytes]], ...] = (
    (Code, _other),  # a str to Python
    (str, lambda value: STRING + value.encode()),
    (bool, lambda value: BOOLEAN + bytes([value])),
    ((int, float), _number),
    (NoneType, lambda _: NULL),
    (ObjectId, lambda value: OBJECT_ID + value.binary),
    (datetime, lambda value: DATE + struct.pack(">Q", (value - _EPOCH) // _MILLISECOND + _SIGN)),
    (dict, lambda value: OBJECT + _digest(value)),
    (list, lambda value: ARRAY + _digest(value)),
    (bytes, lambda value: BINARY + struct.pack(">Q", len(value)) + value),
)


def _framed(content: bytes) -> bytes:
    return struct.pack(">Q", len(content)) + content


def index_entries(path: str, document: dict[str, Any]) -> tuple[dict[bytes, int], bool]:
    """Return the index entries of one document for one dotted path.

    Returns
    -------
    Role of each key (one of them is the sort key), and whether the path leads to more than one value.
    """
    candidates = list(iter_key_candidates(path, document))
    entries: dict[bytes, int] = {}
    several = len(candidates) > 1
    for candidate in candidates:
        if isinstance(candidate, list):
            several = True
            entries[key(candidate)] = NOT_FIRST
            entries.update((key(item), NOT_FIRST) for item in candidate)
        else:
            entries[NULL if candidate is NOTHING else key(candidate)] = NOT_FIRST
    first = sort_key(candidates[0] if candidates else NOTHING)
    entries[first] = FIRST_UNORDERED if first[0] in UNORDERED else FIRST
    return entries, several


def sort_key(value: Any) -> bytes:
    """Return the key that a document sorts by where the path leads to `value`: an array sorts by its first item."""
    if isinstance(value, list):
        return key(value[0]) if value else EMPTY_ARRAY
    return NULL if value is NOTHING else key(value)

"""Files as they are read here: JSON and tables, gzipped or not whatever their names."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

_GZIP = b"\x1f\x8b"


def read_content(path: str | PathLike[str], what: str) -> bytes:
    """Read a file, unpacked if it is gzipped.

    Parameters
    ----------
    path
        The file.
    what
        What it holds, for the error where it is missing, such as "entries".

    Raises
    ------
    UserError
        The file is missing, cannot be read, or is cut short.
    """
    try:
        content = Path(path).read_bytes()
        return gzip.decompress(content) if content.startswith(_GZIP) else content
    except FileNotFoundError:
        raise UserError(f"no file of {what} {path}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is damaged or cut short ({error}); copy or download it again") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def parse_document(
    content: bytes,
    path: str | PathLike[str],
    expected: str,
    *,
    object_hook: Callable[[dict[str, Any]], Any] | None = None,
) -> Any:
    """Parse the content of a JSON file.

    Parameters
    ----------
    content, path
        What `read_content` returns, and the name of the file for the error.
    expected
        What the file should hold, for the error: "pymatgen entries as JSON, gzipped or not".
    object_hook
        What to make of each mapping, as `json.loads` takes it.

    Raises
    ------
    UserError
        The content is not JSON.
    """
    try:
        return json.loads(content, object_hook=object_hook)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not JSON ({error}); expected {expected}") from error


def read_document(path: str | PathLike[str], what: str, expected: str) -> Any:
    """Read a JSON file, gzipped or not: `read_content`, then `parse_document`."""
    return parse_document(read_content(path, what), path, expected)

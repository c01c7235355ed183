"""Files of a launcher that must appear although the disk has become full."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from matscout.db.files import write_text

if TYPE_CHECKING:
    from pathlib import Path

KEPT = "space.kept"
KEPT_BYTES = 64 * 1024
"""Enough for what is to be said of each calculation that runs, and for the launcher's own end."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class LastWords:
    """Keeps a little space on a disk, and gives it up for what is to be said when there is no other left.

    Parameters
    ----------
    folder
        On the disk that is written to.
    """

    def __init__(self, folder: Path) -> None:
        self._kept = folder / KEPT
        with suppress(OSError):  # full already: the first claim will say so
            if shutil.disk_usage(folder).free > 4 * KEPT_BYTES:  # what is nearly full is not to be filled by this
                self._kept.write_bytes(os.urandom(KEPT_BYTES))  # zeros may take no space

    def write(self, path: Path, text: str) -> None:
        """Write a file whole.

        Raises
        ------
        OSError
            As from `write_text`, and the space kept was not enough.
        """
        try:
            write_text(path, text)
        except OSError as error:
            if error.errno not in _FULL or not self._kept.exists():
                raise
            self.close()
            write_text(path, text)

    def close(self) -> None:
        """Give the space up."""
        with suppress(OSError):
            self._kept.unlink()

"""Features that were computed before: slow rows are kept, and shared by all campaigns of a person."""

from __future__ import annotations

import math
import os
import re
import sqlite3
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from matscout.errors import UserError, nearest, warn
from matscout.featurizers.cache_failures import (
    ASIDE,
    DamagedFileError,
    OtherReleaseError,
    file_number,
    is_damage,
    reason,
    set_aside,
)
from matscout.featurizers.cache_file import describe_file, read_rows, write_rows
from matscout.featurizers.cache_lock import reading, writing
from matscout.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from matscout.featurizers.base import Featurizer
    from matscout.featurizers.rows import FeatureRow

_SUFFIX = ".sqlite"
_ATTEMPTS = 3  # a damaged file is set aside between them
_NOTE_SECONDS = 3600.0
_OURS = re.compile(r"[0-9a-f]{16}")  # a featurizer's key
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class CacheContent:
    """What is kept of one featurizer.

    Attributes
    ----------
    key
        The featurizer's key.
    identity
        What its numbers depend on beside the rows: its class, name, options, version and software.
    n_features
        Numbers in a row.
    rows
        Rows kept, those without features included.
    errors
        Of these, rows known to have no features.
    bytes
        Size on disk.
    first_written, last_written, last_used
        When rows were written first and last, and when somebody last asked for some.
    """

    key: str
    identity: dict[str, Any]
    n_features: int
    rows: int
    errors: int
    bytes: int
    first_written: datetime
    last_written: datetime
    last_used: datetime

    @property
    def featurizer(self) -> str:
        """Name of the featurizer."""
        return str(self.identity.get("name", self.key))

    @property
    def options(self) -> dict[str, Any]:
        """What it was made with beside its name."""
        return dict(self.identity.get("options", {}))

    @property
    def version(self) -> int:
        """Version of its numbers."""
        return int(self.identity.get("version", 0))

    @property
    def software(self) -> dict[str, str]:
        """Releases of the packages that its numbers depend on."""
        return dict(self.identity.get("software", {}))


def cache_folder() -> Path:
    """Return the folder of cached features: below the setting `cache`, or in the user's cache."""
    given = get_settings().cache
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (given.expanduser() if given else user / "matscout") / "features"


class FeatureCache:
    """Rows of features by featurizer and content of the row, in one file for each featurizer.

    Many processes may read and write at once. What was put is on disk; a process killed in the middle of a `put` loses
    that one. Nothing that goes wrong with the files stops a computation: a damaged file is set aside, and without
    space or permission features go on uncached, for this object from then on. Either is said in a `MatscoutWarning`.

    Parameters
    ----------
    folder
        Where the files lie; made when the first row is kept. See `cache_folder` for what it is if left out.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = (cache_folder() if folder is None else Path(folder)).absolute()
        self._reads = self._writes = True
        self._used: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r})"

    def get(self, featurizer: Featurizer, keys: Sequence[str]) -> dict[str, FeatureRow]:
        """Return the rows that are kept, by their keys; float64 as they were put, to the last bit.

        Parameters
        ----------
        featurizer
            Whose numbers: those of another version, other options or other releases of its software do not count.
        keys
            Hashes of the content of rows, thousands at a time.
        """
        path = self._path(featurizer.key)
        if not self._reads or not keys:
            return {}

        def read() -> tuple[dict[str, FeatureRow], int]:
            return read_rows(path, featurizer, keys) if path.exists() else ({}, 0)

        answer = self._attempt(path, reading, read)
        if answer is None:
            self._reads = self._writes = False
            return {}
        found, damaged = answer
        if damaged:
            warn(f"{damaged} rows of the cache {path} are damaged: they are computed again")
        self._note_use(path)
        return found

    def put(self, featurizer: Featurizer, rows: Mapping[str, FeatureRow]) -> None:
        """Keep rows, all of them or none: those that another try would give again.

        Raises
        ------
        ValueError
            A row has another number of values than the featurizer has features.
        """
        lasting = {key: row for key, row in rows.items() if row.lasting}
        for key, row in lasting.items():
            if row.values.shape != (len(featurizer),):
                raise ValueError(f"row {key} has the shape {row.values.shape} for {len(featurizer)} features")
        path = self._path(featurizer.key)
        if not self._writes or not lasting:
            return

        def write() -> bool:
            write_rows(path, featurizer, lasting)
            return True

        self._writes = self._make_folder() and self._attempt(path, writing, write) is not None

    def contents(
        self, names: Iterable[str] | None = None, *, older_than_days: float | None = None
    ) -> list[CacheContent]:
        """List what is kept, by the names of the featurizers.

        Parameters
        ----------
        names
            Names of featurizers; all if left out.
        older_than_days
            Only of featurizers whose rows nobody has asked for in so many days.

        Raises
        ------
        UserError
            Nothing is kept of a featurizer that is named.
        """
        found = [content for path in self._files(_SUFFIX) if (content := self._describe(path)) is not None]
        if names is not None:
            wanted = list(names)
            _refuse_unknown(wanted, {content.featurizer for content in found})
            found = [content for content in found if content.featurizer in wanted]
        if older_than_days is not None:
            limit = time.time() - 86400 * older_than_days
            found = [content for content in found if content.last_used.timestamp() < limit]
        return sorted(found, key=lambda content: (content.featurizer, content.last_used, content.key))

    def damaged(self) -> list[Path]:
        """Files that were set aside."""
        return self._files(ASIDE)

    def clear(self, names: Iterable[str] | None = None, *, older_than_days: float | None = None) -> list[CacheContent]:
        """Remove what `contents` lists with the same arguments, and return it.

        Without arguments nothing stays, neither files that were set aside nor those of other releases of matscout.

        Raises
        ------
        UserError
            Nothing is kept of a featurizer that is named.
        OSError
            No permission, or other processes keep the folder locked.
        """
        removed = self.contents(names, older_than_days=older_than_days)
        everything = names is None and older_than_days is None
        if not (removed or (everything and self.folder.is_dir())):
            return removed
        with writing(self.folder):
            files = [self._path(content.key) for content in removed]
            for path in [*self._files(_SUFFIX), *self.damaged()] if everything else files:
                path.unlink(missing_ok=True)
                path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
        return removed

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{_SUFFIX}"

    def _files(self, suffix: str) -> list[Path]:
        """Files that this class named, and no others that lie there."""
        return sorted(path for path in self.folder.glob(f"*{suffix}") if _OURS.fullmatch(path.stem))

    def _make_folder(self) -> bool:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            warn(f"{reason(error, self.folder)}: features go on without it (MATSCOUT_CACHE names it)")
            return False
        return True

    def _describe(self, path: Path) -> CacheContent | None:
        stored = self._attempt(path, reading, lambda: describe_file(path) if path.exists() else None)
        try:
            status = path.stat()
        except FileNotFoundError:  # cleared or set aside meanwhile
            return None
        if stored is None:
            return None
        return CacheContent(
            **stored._asdict(), bytes=status.st_size, last_used=datetime.fromtimestamp(status.st_mtime, UTC)
        )

    def _note_use(self, path: Path) -> None:
        """Give a file the time of its use, each hour: a read would not."""
        now = time.monotonic()
        if now - self._used.get(path.name, -math.inf) > _NOTE_SECONDS:
            self._used[path.name] = now
            with suppress(OSError):
                os.utime(path)

    def _attempt(
        self, path: Path, lock: Callable[[Path], AbstractContextManager[None]], work: Callable[[], _Answer]
    ) -> _Answer | None:
        """Do something with a file; None, after a warning, where that is impossible."""
        for _ in range(_ATTEMPTS):
            number = file_number(path)
            try:
                with lock(self.folder):
                    return work()
            except (sqlite3.Error, OSError, DamagedFileError, OtherReleaseError) as error:
                problem = set_aside(path, number, error) if is_damage(error) else error
                if problem is not None:
                    warn(f"{reason(problem, path)}: features go on without the cache there (MATSCOUT_CACHE names it)")
                    return None
        warn(f"{path} is damaged again and again: features go on without the cache there (MATSCOUT_CACHE names it)")
        return None


def _refuse_unknown(names: Sequence[str], known: set[str]) -> None:
    for name in names:
        if name not in known:
            near = nearest(name, known)
            hint = f"Did you mean {near}?" if near else f"It holds: {', '.join(sorted(known)) or 'nothing'}."
            raise UserError(f'the cache holds nothing of a featurizer "{name}". {hint}')

"""One SQLite file: its connection, its transactions, its journal.

An acknowledged write is on disk: the connection runs with ``synchronous=EXTRA`` in either journal mode. On a local file
system a writer keeps a write-ahead log, so that readers never wait; that log needs all processes on one host, so on a
network file system it is a rollback journal. A writer that closes folds its log back into the one file.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from matscout.db.embedded.failures import explained
from matscout.db.embedded.schema import prepare, read_catalogue
from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from matscout.db.embedded.schema import Catalogue

BUSY_SECONDS = 30.0
"""How long to wait for another process that writes."""

_LOCAL = frozenset(
    {
        "apfs",
        "bcachefs",
        "btrfs",
        "ext2",
        "ext3",
        "ext4",
        "f2fs",
        "jfs",
        "overlay",
        "ramfs",
        "reiserfs",
        "tmpfs",
        "xfs",
        "zfs",
    }
)


def is_local(folder: Path, mounts: str) -> bool:
    r"""Tell whether `folder` lies on a file system known to be of this host alone.

    Parameters
    ----------
    folder
        An absolute path.
    mounts
        Content of ``/proc/mounts``; empty where there is none, which counts as local.

    Examples
    --------
    >>> mounts = "/dev/sda / ext4 rw 0 0\nlogin:/home /home nfs4 rw 0 0\n"
    >>> is_local(Path("/tmp/store"), mounts), is_local(Path("/home/me/store"), mounts)
    (True, False)
    """
    kind, depth = "", -1
    for line in mounts.splitlines():
        _, point, mounted, *_ = line.split(" ")
        mount = Path(point.encode().decode("unicode_escape"))  # a space is written as \040
        if folder.is_relative_to(mount) and len(mount.parts) >= depth:
            kind, depth = mounted, len(mount.parts)
    return not kind or kind in _LOCAL


class Engine:
    """A store's SQLite file, shared by the threads of one process.

    Parameters
    ----------
    path
        The file; its folder exists.
    read_only
        Refuse writes. The file itself is opened for writing where possible, as what a killed writer left in the journal
        has to be settled by whoever comes next.
    max_mb
        Largest size of the file in MB.
    """

    def __init__(self, path: Path, *, read_only: bool = False, max_mb: int | None = None) -> None:
        self.path = path.resolve()
        self.read_only = read_only
        self.before_write: Callable[[], None] = lambda: None
        """Called before each transaction that writes; what it raises stops the write."""
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._depth = 0
        self._reading = False
        self._catalogue: Catalogue | None = None
        self._version = -1
        self._journal = ""
        with explained(self.path):
            self._connection = sqlite3.connect(
                f"{self.path.as_uri()}?mode={'rw' if read_only else 'rwc'}",
                uri=True,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
            )
        try:
            self._configure(max_mb)
        except BaseException:
            self._connection.close()
            raise

    def _configure(self, max_mb: int | None) -> None:
        run = self._connection.execute
        with explained(self.path):
            run("PRAGMA synchronous = EXTRA")
            run("PRAGMA temp_store = MEMORY")
            if max_mb is not None:
                (page_size,) = run("PRAGMA page_size").fetchone()
                run(f"PRAGMA max_page_count = {max_mb * 1_000_000 // page_size}")
            empty = not self.path.stat().st_size
            run("BEGIN IMMEDIATE" if empty and not self.read_only else "BEGIN")
            prepare(self._connection, self.path, create=not self.read_only)
            run("COMMIT")
            if self.read_only:
                run("PRAGMA query_only = ON")

    def close(self) -> None:
        """Close the file; where no other process has it open, the log becomes part of it."""
        with self._lock, explained(self.path):
            if self._journal == "wal":
                self._connection.execute("PRAGMA busy_timeout = 0")
                with suppress(sqlite3.OperationalError):  # others have it open: the log stays, and is theirs to fold
                    self._connection.execute("PRAGMA journal_mode = DELETE")
            self._journal = ""
            self._connection.close()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """See one state of the store for as long as this lasts."""
        with self._lock, explained(self.path):
            self._check_process()
            if self._depth or self._reading:
                yield self._connection
                return
            self._connection.execute("BEGIN")
            self._reading = True
            try:
                self._refresh()
                yield self._connection
            finally:
                self._reading = False
                self._undo(("ROLLBACK",))

    @contextmanager
    def write(self, *, keep: tuple[type[Exception], ...] = ()) -> Iterator[sqlite3.Connection]:
        """Group writes: all of them are on disk when this ends, or none is when it raises.

        Within another one it is a step that can fail by itself; then the disk is reached when the outermost ends.

        Parameters
        ----------
        keep
            Errors that leave what was written so far, as MongoDB does where one of many writes fails.
        """
        with self._lock, explained(self.path):
            self._check_process()
            begin, end, undo = self._statements()
            self._connection.execute(begin)
            self._depth += 1
            try:
                if self._depth == 1:
                    self._refresh()
                yield self._connection
            except keep:
                self._finish(end, undo)
                raise
            except BaseException:
                self._catalogue = None
                self._undo(undo)
                raise
            else:
                self._finish(end, undo)
            finally:
                self._depth -= 1

    def _statements(self) -> tuple[str, str, tuple[str, ...]]:
        if self._depth:
            self._check_transaction()
            name = f"step{self._depth}"
            return f"SAVEPOINT {name}", f"RELEASE {name}", (f"ROLLBACK TO {name}", f"RELEASE {name}")
        if self.read_only:
            raise UserError(f"the store {self.path.parent} is open for reading only")
        assert not self._reading, "a write cannot begin inside a read"
        self.before_write()
        self._keep_log()
        return "BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",)

    def _finish(self, end: str, undo: tuple[str, ...]) -> None:
        self._check_transaction()
        try:
            self._connection.execute(end)
        except sqlite3.Error:
            self._catalogue = None
            self._undo(undo)
            raise

    def _undo(self, undo: tuple[str, ...]) -> None:
        if self._connection.in_transaction:  # a full disk can end a transaction by itself
            for statement in undo:
                self._connection.execute(statement)

    def _check_transaction(self) -> None:
        if not self._connection.in_transaction:
            raise UserError(f"writing to {self.path} failed before, and the whole transaction was undone")

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError(f"{self.path} was opened before this process was forked: connect again in the child")

    def _keep_log(self) -> None:
        """Choose the journal at the first write: an idle store is one plain file that can be copied."""
        if self._journal:
            return
        mounts = Path("/proc/mounts")
        local = is_local(self.path, mounts.read_text(errors="replace") if mounts.exists() else "")
        self._journal = "wal" if local else "delete"
        with suppress(sqlite3.OperationalError):  # a reader is just at it: either journal is safe
            self._connection.execute(f"PRAGMA journal_mode = {self._journal}")

    def _refresh(self) -> None:
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._version = version
            self._catalogue = None

    @property
    def catalogue(self) -> Catalogue:
        """Collections, indexes and indexed paths as they stand in this transaction."""
        if self._catalogue is None:
            self._catalogue = read_catalogue(self._connection)
        return self._catalogue

    def forget_catalogue(self) -> None:
        """Read the catalogue anew, after a change of it."""
        self._catalogue = None

    def state(self) -> tuple[int, int]:
        """Return what changes with every change of the data, by this process or another."""
        return self._version, self._connection.total_changes

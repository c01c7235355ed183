"""One writer: a lease on the store that names who holds it, and ends with its process.

The embedded store's lease is a lock of the kernel's on ``lease.lock``, gone with the process that held it, and
``lease.json`` beside it, which says who that is. A network file system may not carry the lock from host to host: there
the heartbeat in ``lease.json`` counts. On MongoDB the lease is a document in the collection ``leases``.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
import uuid
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from filelock import FileLock, Timeout

from matscout.db.embedded.failures import disk_full
from matscout.db.files import write_text
from matscout.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

HEARTBEAT_SECONDS = 10.0
"""How often a holder says that it lives."""

STALE_SECONDS = 60.0
"""A holder that has not said so for this long is taken for dead, where no lock of the kernel's tells better."""


class StoreLeased(UserError):  # noqa: N818  the state it is in, not a defect
    """Another process writes to the store.

    Attributes
    ----------
    holder
        Who that is, where it is known.
    """

    def __init__(self, store: str, holder: Holder | None) -> None:
        self.holder = holder
        who = str(holder) if holder else "another process"
        elsewhere = holder is not None and holder.host != socket.gethostname()
        dead = f" (dead already, it is let go {STALE_SECONDS:g} s after its last sign of life)" if elsewhere else ""
        super().__init__(f"{store} is in use by {who}: wait for it to end, or stop it, then run this again{dead}")


@dataclass(frozen=True)
class Holder:
    """Who holds a lease; times in seconds since 1970."""

    owner: str
    host: str
    pid: int
    since: float
    heartbeat: float
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def myself(cls, owner: str) -> Holder:
        """Describe this process, as of now."""
        now = time.time()
        return cls(owner=owner, host=socket.gethostname(), pid=os.getpid(), since=now, heartbeat=now)

    @classmethod
    def of(cls, content: dict[str, Any]) -> Holder:
        """Read what `asdict` wrote, whatever else stands beside it."""
        return cls(**{name: content[name] for name in cls.__dataclass_fields__})

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f'"{self.owner}" (host {self.host}, process {self.pid}, since {since})'

    def lives(self) -> bool:
        """Tell whether the holder must be taken for alive: it said so of late and, on this host, its process runs."""
        here = self.host == socket.gethostname()
        return time.time() - self.heartbeat < STALE_SECONDS and (_runs(self.pid) or not here)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it runs, and is somebody else's
        return True
    return True


class Lease(ABC):
    """A lease being held: a context manager that gives it back, and a thread that keeps it.

    Parameters
    ----------
    store
        The store's name in messages.
    owner
        What holds it, such as the command.

    Raises
    ------
    StoreLeased
        Somebody else holds it.
    """

    def __init__(self, store: str, owner: str) -> None:
        self.store = store
        self.me = Holder.myself(owner)
        self.failure: str | None = None
        """Why the last heartbeat did not get through; the next one may."""
        self._taken_by: Holder | None = None
        self._ended = threading.Event()
        self._acquire()
        self._thread = threading.Thread(target=self._beat, name="matscout-lease", daemon=True)
        self._thread.start()

    @abstractmethod
    def _acquire(self) -> None:
        """Become the holder or raise `StoreLeased`."""

    @abstractmethod
    def _renew(self, heartbeat: float) -> Holder | None:
        """Say that we live; return who holds the lease instead of us, if anybody does."""

    @abstractmethod
    def _give_back(self) -> None:
        """Cease to be the holder."""

    def check(self) -> None:
        """Raise `StoreLeased` where the lease was lost: this process slept so long that another took it for dead."""
        if self._taken_by is not None:
            raise StoreLeased(self.store, self._taken_by)

    def release(self) -> None:
        """Give the lease back; more than once does no harm."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._thread.join()
        self._give_back()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS) and self._taken_by is None:
            try:
                self._taken_by = self._renew(time.time())
                self.failure = None
            except Exception as error:  # noqa: BLE001  a full disk or a lost network may pass; kept for whoever asks
                self.failure = f"{type(error).__name__}: {error}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def read_holder(folder: Path) -> Holder | None:
    """Return who wrote ``lease.json`` last, alive or not; None where nobody did."""
    try:
        return Holder.of(json.loads((folder / "lease.json").read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # by hand or by a disk: the lock itself still counts
        return None


def break_folder(folder: Path, holder: Holder) -> bool:
    """Take the lease of an embedded store from a dead holder; False where it lives, as the kernel's lock tells."""
    try:
        with FileLock(folder / "lease.lock", timeout=0):
            found = read_holder(folder)
            if found is not None and found.token == holder.token:
                (folder / "lease.json").unlink(missing_ok=True)
            return True
    except Timeout:
        return False
    except OSError as error:
        raise UserError(f"cannot free the store {folder}: {error.strerror}: its owner can") from error


class FolderLease(Lease):
    """The lease of an embedded store."""

    def __init__(self, folder: Path, owner: str) -> None:
        self._folder = folder
        self._lock = FileLock(folder / "lease.lock", timeout=0, thread_local=False)
        super().__init__(f"the store {folder}", owner)

    def _acquire(self) -> None:
        try:
            self._lock.acquire()
        except Timeout:
            raise StoreLeased(self.store, read_holder(self._folder)) from None
        except OSError as error:
            raise UserError(f"cannot lock {self.store}: {error.strerror}: name a folder of your own") from error
        try:
            self._refuse_other_hosts()
            self._write(self.me)
        except BaseException as error:
            self._lock.release()
            if isinstance(error, OSError):
                full = error.errno in {errno.ENOSPC, errno.EDQUOT}
                cannot = f"cannot write {self._folder / 'lease.json'}: {error.strerror}: name a folder of your own"
                raise UserError(disk_full(self._folder) if full else cannot) from error
            raise

    def _refuse_other_hosts(self) -> None:
        """Refuse where another host's process lives; one of this host has lost the lock, and so is dead."""
        holder = read_holder(self._folder)
        if holder is not None and holder.host != self.me.host and holder.lives():
            raise StoreLeased(self.store, holder)

    def _renew(self, heartbeat: float) -> Holder | None:
        holder = read_holder(self._folder)
        if holder is not None and holder.token != self.me.token:
            return holder
        self._write(replace(self.me, heartbeat=heartbeat))
        return None

    def _give_back(self) -> None:
        holder = read_holder(self._folder)
        if holder is not None and holder.token == self.me.token:
            (self._folder / "lease.json").unlink(missing_ok=True)
        self._lock.release()

    def _write(self, holder: Holder) -> None:
        write_text(self._folder / "lease.json", json.dumps(asdict(holder)))


def read_document(leases: Any) -> Holder | None:
    """Return who wrote the document of a MongoDB store's lease, alive or not; None where there is none."""
    document = leases.find_one({"_id": "writer"})
    return Holder.of(document) if document else None


def break_document(leases: Any, holder: Holder) -> bool:
    """Take the lease of a MongoDB store from a dead holder; False where it lives, on this machine."""
    if holder.host == socket.gethostname() and holder.lives():
        return False
    leases.delete_one({"_id": "writer", "token": holder.token})
    return True


class MongoLease(Lease):
    """The lease of a store on a MongoDB server: the one document of the collection `leases`.

    Parameters
    ----------
    leases
        The collection.
    """

    def __init__(self, leases: Any, store: str, owner: str) -> None:
        self._leases = leases
        super().__init__(store, owner)

    def _acquire(self) -> None:
        from pymongo.errors import DuplicateKeyError

        for _ in range(3):  # between two looks somebody may come or go
            holder = read_document(self._leases)
            if holder is not None and holder.lives():
                break
            if holder is not None:
                self._leases.delete_one({"_id": "writer", "token": holder.token})
            with suppress(DuplicateKeyError):
                self._leases.insert_one({"_id": "writer"} | asdict(self.me))
                return
        raise StoreLeased(self.store, read_document(self._leases))

    def _renew(self, heartbeat: float) -> Holder | None:
        mine = {"_id": "writer", "token": self.me.token}
        if self._leases.update_one(mine, {"$set": {"heartbeat": heartbeat}}).matched_count:
            return None
        return read_document(self._leases) or Holder.myself("nobody: the lease was removed")

    def _give_back(self) -> None:
        self._leases.delete_one({"_id": "writer", "token": self.me.token})

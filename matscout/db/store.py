"""The store of results: a folder with no service behind it, or a MongoDB server, with the same code in front.

On both, a write that was acknowledged is on disk.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote

from matscout.errors import NoStoreError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType

    from matscout.db.embedded.engine import Engine
    from matscout.db.lease import Holder, Lease

DATABASE = "matscout"
"""Name of the database, unless a MongoDB uri names one."""

FILE = "store.sqlite"
"""Name of the database file in an embedded store's folder."""

_ANSWER_MS = 3_000  # how long a MongoDB server may take to be found, unless its uri says


class Store:
    """An open store; made by `connect`.

    Attributes
    ----------
    client
        A `pymongo.MongoClient`, or what stands in its place; FireWorks' LaunchPad takes either.
    database
        The database of this project.
    display_uri
        Where it is, without a password.
    folder
        The folder of an embedded store; None on a MongoDB server.
    """

    def __init__(
        self, client: Any, database: Any, display_uri: str, *, folder: Path | None = None, engine: Engine | None = None
    ) -> None:
        self.client = client
        self.database = database
        self.display_uri = display_uri
        self.folder = folder
        self._engine = engine

    def __repr__(self) -> str:
        return f"Store({self.display_uri!r})"

    def collection(self, name: str) -> Any:
        """Return a collection: pymongo's, or one that behaves so."""
        return self.database[name]

    @contextmanager
    def lease(self, owner: str) -> Iterator[Lease]:
        """Be the one writer for as long as this lasts.

        Parameters
        ----------
        owner
            What this process does, for those it keeps out: most often the command.

        Raises
        ------
        StoreLeased
            Another process is; it says which.
        """
        from matscout.db.lease import FolderLease, MongoLease

        if self.folder is None:
            with MongoLease(self.database["leases"], f"the store {self.display_uri}", owner) as lease:
                yield lease
            return
        assert self._engine is not None
        if self._engine.read_only:
            raise UserError(f"the store {self.folder} is open for reading only")
        with FolderLease(self.folder, owner) as lease:
            self._engine.before_write = lease.check
            try:
                yield lease
            finally:
                self._engine.before_write = lambda: None

    def holder(self, *, alive: bool = True) -> Holder | None:
        """Return who holds the lease; with ``alive=False`` also who died with it, and so never gave it back."""
        from matscout.db.lease import read_document, read_holder

        holder = read_document(self.database["leases"]) if self.folder is None else read_holder(self.folder)
        return holder if holder is not None and (holder.lives() or not alive) else None

    def break_lease(self, holder: Holder) -> bool:
        """Take the lease from somebody who died with it; return whether it is free now.

        Parameters
        ----------
        holder
            As `holder` returned it. Of one on another machine the caller must know that it has ended.

        Returns
        -------
        False where its process lives: nothing was changed.

        Raises
        ------
        UserError
            The store's folder cannot be written.
        """
        from matscout.db.lease import break_document, break_folder

        if self.folder is None:
            return break_document(self.database["leases"], holder)
        return break_folder(self.folder, holder)

    def transaction(self) -> AbstractContextManager[object]:
        """Group writes to any collections: all of them are on disk when it ends, or none where it raises.

        Other threads wait until it ends. On a MongoDB server each write stands by itself, as transactions there need a
        replica set: order the writes so that what was written first does no harm alone.
        """
        return self._engine.write() if self._engine is not None else nullcontext()

    def close(self) -> None:
        """Close the connection."""
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def connect(uri: str | Path | None = None, *, read_only: bool = False, must_exist: bool = False) -> Store:
    """Open a store.

    Parameters
    ----------
    uri
        A folder, or a ``mongodb://`` or ``mongodb+srv://`` uri, whose path names the database. From the settings
        (``MATSCOUT_STORE``) when None.
    read_only
        Never write: any number of processes may read so while one writes, and see what it has committed at once. On a
        MongoDB server it is the user's rights that forbid writing.
    must_exist
        Refuse to make a new store; so does `read_only`.

    Raises
    ------
    NoStoreError
        There is no such store yet, and none is to be made.
    UserError
        It cannot be used: no permission, no server, a full disk, a foreign or damaged file, a newer version.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, connect(folder) as store:
    ...     _ = store.collection("labels").insert_one({"formula": "SrTiO3", "e_above_hull": 0.0})
    ...     store.collection("labels").find_one({"e_above_hull": {"$lte": 0.025}})["formula"]
    'SrTiO3'
    """
    from matscout.settings import get_settings

    target = str(get_settings().store if uri is None else uri)
    scheme, separator, _ = target.partition("://")
    if not separator:
        return _open_folder(Path(target).expanduser(), read_only=read_only, must_exist=must_exist or read_only)
    if scheme not in {"mongodb", "mongodb+srv"}:
        raise UserError(f"a store is a folder or a mongodb:// uri, not {scheme}://")
    return _open_server(target, create=not (must_exist or read_only))


def _open_folder(folder: Path, *, read_only: bool, must_exist: bool) -> Store:
    from matscout.db.embedded import EmbeddedClient, Engine
    from matscout.settings import get_settings

    file = folder / FILE
    try:
        if folder.exists() and not folder.is_dir():
            raise UserError(f"the store {folder} is a file: name a folder")
        if must_exist and not (file.exists() and file.stat().st_size):
            raise NoStoreError(f"there is no store in {folder}: name its folder, or set MATSCOUT_STORE to it")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot use {folder} as the store's folder: {error.strerror}: name another one") from error
    engine = Engine(file, read_only=read_only, max_mb=get_settings().store_max_mb)
    client = EmbeddedClient(engine)
    return Store(client, client[DATABASE], str(folder), folder=folder.resolve(), engine=engine)


def _open_server(uri: str, *, create: bool) -> Store:
    from pymongo import MongoClient
    from pymongo.errors import OperationFailure, PyMongoError

    from matscout import __version__

    shown = hide_password(uri)
    options: dict[str, Any] = {"appname": f"matscout {__version__}", "journal": True}
    if "serverselectiontimeoutms" not in uri.lower():
        options["serverSelectionTimeoutMS"] = _ANSWER_MS
    try:
        client: MongoClient[dict[str, Any]] = MongoClient(uri, **options)
        database = client.get_default_database(DATABASE)
    except (PyMongoError, ValueError, TypeError):  # their texts may hold a part of the password
        raise UserError(
            f"{shown} is not a MongoDB uri that can be used: write mongodb://user:password@host:port/database, with "
            "signs other than letters and digits in user and password as %XX; mongodb+srv:// needs dnspython"
        ) from None
    try:
        _check_version(database, shown, create=create)
    except BaseException as error:
        client.close()
        if isinstance(error, OperationFailure):
            reason = (error.details or {}).get("errmsg", f"error {error.code}")
            raise UserError(f"the MongoDB server of {shown} refused: {reason}") from None
        if isinstance(error, PyMongoError):
            raise UserError(
                f"no MongoDB server answers at {shown}: start it, or name a folder to keep the store there"
            ) from None
        raise
    return Store(client, database, shown)


def _check_version(database: Any, shown: str, *, create: bool) -> None:
    from matscout.db.embedded.schema import SCHEMA_VERSION

    meta = database["meta"].find_one({"_id": "store"})
    if meta is None and not create:
        raise NoStoreError(f"there is no store at {shown}: name its database in the uri, or set MATSCOUT_STORE to it")
    if meta is None:
        database["meta"].update_one({"_id": "store"}, {"$setOnInsert": {"schema_version": SCHEMA_VERSION}}, upsert=True)
    elif meta["schema_version"] > SCHEMA_VERSION:
        raise UserError(
            f"{shown} was written by a newer matscout (store version {meta['schema_version']}, this one knows up to "
            f"{SCHEMA_VERSION}): update matscout"
        )


def hide_password(uri: str) -> str:
    """Return a MongoDB uri without its password and its options, which may hold others.

    Examples
    --------
    >>> hide_password("mongodb://me:secret@db.example.org:27017/runs?tls=true")
    'mongodb://me:***@db.example.org:27017/runs'
    """
    scheme, _, rest = uri.partition("://")
    authority, _, path = rest.partition("/")
    user, at, hosts = authority.rpartition("@")
    if "@" in path.partition("?")[0] or ("@" in path and not at):  # a slash in a password: nothing is safe to show
        return f"{scheme}://***"
    name, colon, _ = user.partition(":")
    credentials = f"{unquote(name)}{':***' if colon else ''}@" if at else ""
    database = path.partition("?")[0]
    return f"{scheme}://{credentials}{hosts.partition('?')[0]}" + (f"/{database}" if database else "")

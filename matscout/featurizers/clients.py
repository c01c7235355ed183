"""Connecting to dask, and handing work to it without waiting for ever for what is gone.

distributed's own `as_completed` never returns where a scheduler is frozen or all workers are gone, and with results it
gives out errors of a lost connection as if they were results. So waiting is done here.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from matscout.errors import UserError
from matscout.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from distributed import Client, Future

    from matscout.featurizers.clusters import OwnCluster

    Label = TypeVar("Label")

KINDS = (
    "local or local:N for N worker processes on this machine, slurm for Slurm jobs as the settings say, the address of "
    "a dask scheduler such as tcp://host:8786, its scheduler file (a path ending in .json), a dask cluster or client"
)
"""What a client may be named by."""

CONNECT_SECONDS = 5.0
"""How long to look for a scheduler, and for one that was lost."""

SILENT_SECONDS = 60.0
"""How long a scheduler may leave questions unanswered before it is given up."""

WORKERLESS_SECONDS = 60.0
"""How long there may be no worker before the work is given up."""

_LOOK_SECONDS = 2.0  # between looks at whether scheduler and workers are there, while nothing comes back
_CLOSE_SECONDS = 5.0
_FETCH_SECONDS = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0)  # for one result to come from its worker; each a new try
_GO_ON = "what was finished is in the cache: the same call again goes on from there"


@contextmanager
def connected(client: Any, *, say: Callable[[str], object] | None = None) -> Iterator[Client]:
    """Connect to dask, and close what was opened for it at the end.

    dask's log is kept off the terminal meanwhile.

    Parameters
    ----------
    client
        "local" or "local:N": N one-thread worker processes on this machine (else as the setting `workers` says),
        reachable from nowhere else. "slurm": jobs as the settings say. The address of a dask scheduler, or its
        scheduler file; certificates for tls:// addresses come from dask's own configuration. A cluster or a client of
        dask, which are left open.
    say
        Is told what is waited for.

    Raises
    ------
    UserError
        It is none of these; nobody answers; no worker comes. In the context: the connection was lost for good.
    """
    from distributed import Client
    from distributed.deploy.cluster import Cluster

    with ExitStack() as stack:
        stack.enter_context(_quiet())
        if isinstance(client, Client):
            if client.asynchronous or client.status != "running":
                raise UserError("a dask client must be connected and must not be asynchronous")
            opened = client
        elif isinstance(client, Cluster):
            opened = stack.enter_context(_client(client, f"the cluster {client.name}"))
        elif isinstance(client, str | os.PathLike):
            opened = _named(os.fspath(client), stack, say or (lambda _: None))
        else:
            raise UserError(f"cannot work on a {type(client).__name__}: a client is {KINDS}")
        with lost_connections(opened):
            yield opened


def dashboard_address(client: Client) -> str | None:
    """Return the address of the page that shows what a client's scheduler does; None where there is none."""
    from matscout.featurizers.clusters import DASHBOARD_HOST, OwnCluster

    services = client.scheduler_info(n_workers=0).get("services", {})
    if "dashboard" not in services:
        return None
    if isinstance(client.cluster, OwnCluster):  # dask would name the address at which workers find the scheduler
        return f"http://{DASHBOARD_HOST}:{services['dashboard']}/status"
    return str(client.dashboard_link)


@contextmanager
def lost_connections(client: Client) -> Iterator[None]:
    """Turn what dask raises when its scheduler or its workers are gone into an error that says so.

    Raises
    ------
    UserError
        Instead of dask's errors.
    """
    from distributed.client import ClosedClientError, FutureCancelledError
    from distributed.comm.core import CommClosedError
    from distributed.scheduler import KilledWorker

    name = _name(client)
    try:
        yield
    except (ClosedClientError, CommClosedError, FutureCancelledError) as error:
        what = "is gone" if client.status != "running" else f"gave up the work ({error})"
        raise UserError(f"{name} {what}; {_GO_ON}") from None
    except KilledWorker as error:
        raise UserError(
            f"{error.allowed_failures + 1} worker processes of {name} died of the same part of the work, most often "
            f"for want of memory: take fewer worker processes or smaller parts; {_GO_ON}"
        ) from None


def results_in_order(
    client: Client, function: Callable[..., Any], calls: Iterable[tuple[Label, tuple[Any, ...]]]
) -> Iterator[tuple[Label, Any]]:
    """Call a function on workers, and yield what it returns, in the order of the calls.

    Calls are read as they are needed: all workers are kept busy, with a few calls in store for each.

    Parameters
    ----------
    client
        An open client.
    function
        What to call.
    calls
        What to yield beside the result, and the arguments.

    Raises
    ------
    UserError
        The scheduler is gone or does not answer, there are no workers, or too many of them died of one call.
    """
    watch = _Watch(client)
    waiting: deque[tuple[Label, Future[Any]]] = deque()
    with lost_connections(client):
        try:
            for label, arguments in calls:
                waiting.append((label, client.submit(function, *arguments, pure=False)))
                while len(waiting) > 2 + 2 * watch.n_workers:
                    yield waiting[0][0], watch.result(waiting[0][1])
                    waiting.popleft()
            while waiting:
                yield waiting[0][0], watch.result(waiting[0][1])
                waiting.popleft()
        finally:
            if waiting and client.status == "running":
                client.cancel([future for _, future in waiting])


class _Watch:
    """Waits for results, and looks whether there is somebody to wait for."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._name = _name(client)
        self._answered = self._worked = self._looked = time.monotonic()
        self._n_workers = 1
        self._look()

    @property
    def n_workers(self) -> int:
        """Threads of all workers; they may come and go."""
        if time.monotonic() > self._looked + _LOOK_SECONDS:
            self._look()
        return max(1, self._n_workers)

    def result(self, future: Future[Any]) -> Any:
        """Wait for a result."""
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        while not done.wait(_LOOK_SECONDS):
            self._look()
        for seconds in chain(_FETCH_SECONDS, repeat(_FETCH_SECONDS[-1])):
            try:
                return future.result(timeout=seconds)
            except TimeoutError:
                if future.status == "error":  # the function's own
                    raise
            self._look()  # its worker may be gone with it, and nobody there to make it again
        raise AssertionError  # the loop has no end

    def _look(self) -> None:
        """Raise where there is nobody to wait for any more."""
        scheduler = self._client.scheduler
        if scheduler is None or self._client.status != "running":
            raise UserError(f"{self._name} is gone; {_GO_ON}")
        with suppress(OSError, TimeoutError):
            cores = self._client.sync(scheduler.ncores_running, callback_timeout=SILENT_SECONDS / 4)
            self._n_workers = sum(cores.values())
            self._answered = time.monotonic()
        self._looked = time.monotonic()
        if self._looked - self._answered > SILENT_SECONDS:
            raise UserError(f"{self._name} has not answered for {SILENT_SECONDS:g} s; {_GO_ON}")
        if self._n_workers:
            self._worked = self._looked
        else:
            self._miss_workers(self._looked - self._worked)

    def _miss_workers(self, seconds: float) -> None:
        cluster = _own_cluster(self._client)
        trouble = cluster.trouble() if cluster is not None else None
        if trouble is not None:
            raise UserError(f"no worker is left: {trouble}\n{_GO_ON}")
        limit = WORKERLESS_SECONDS if cluster is None else cluster.start_seconds
        if seconds > limit:
            how = "dask worker ADDRESS starts one" if cluster is None else cluster.state()
            raise UserError(f"{self._name} has had no workers for {limit:g} s: {how}\n{_GO_ON}")


def _own_cluster(client: Client) -> OwnCluster | None:
    from matscout.featurizers.clusters import OwnCluster

    return client.cluster if isinstance(client.cluster, OwnCluster) else None


def _name(client: Client) -> str:
    return f"the dask scheduler at {client.scheduler.address}" if client.scheduler else "the dask scheduler"


def _named(client: str, stack: ExitStack, say: Callable[[str], object]) -> Client:
    kind, _, number = client.partition(":")
    if client == "slurm":
        return _with_slurm(stack, say)
    if client == "local" or (kind == "local" and number.isdecimal() and int(number) > 0):
        return _with_local_workers(int(number) if number else get_settings().workers, stack, say)
    if client.endswith(".json"):
        return stack.enter_context(_scheduler(_address_in(Path(client)), f" (from {client})"))
    if client.startswith(("tcp://", "tls://")):
        return stack.enter_context(_scheduler(client))
    raise UserError(f'cannot work on "{client}": a client is {KINDS}')


def _with_local_workers(n_workers: int, stack: ExitStack, say: Callable[[str], object]) -> Client:
    from matscout.featurizers.local_cluster import local_cluster

    cluster = stack.enter_context(local_cluster(n_workers))
    client = stack.enter_context(_client(cluster, "the local workers"))
    say(f"starting {n_workers} local worker{'s' * (n_workers > 1)}")
    _wait_for_a_worker(client, cluster)
    return client


def _with_slurm(stack: ExitStack, say: Callable[[str], object]) -> Client:
    from matscout.featurizers.slurm_cluster import slurm_cluster

    settings = get_settings()
    cluster = stack.enter_context(slurm_cluster(settings))
    client = stack.enter_context(_client(cluster, "Slurm jobs"))
    say(f"waiting for the first of {settings.slurm_jobs} Slurm jobs, for {settings.slurm_start_seconds:g} s at most")
    _wait_for_a_worker(client, cluster, "\nMATSCOUT_SLURM_START_SECONDS is how long to wait for it")
    return client


def _wait_for_a_worker(client: Client, cluster: OwnCluster, hint: str = "") -> None:
    from matscout.featurizers.clusters import SearchPath

    limit = cluster.start_seconds
    deadline = time.monotonic() + limit
    while True:
        with suppress(TimeoutError):
            client.wait_for_workers(1, timeout=min(_LOOK_SECONDS, limit))
            break
        trouble = cluster.trouble()
        if trouble is not None:
            raise UserError(f"no worker came: {trouble}")
        if time.monotonic() > deadline:
            raise UserError(f"no worker came in {limit:g} s: {cluster.state()}{hint}")
    client.register_plugin(SearchPath.of_this_process())


def _address_in(file: Path) -> str:
    """Read the address in a scheduler file, which `dask scheduler --scheduler-file` writes."""
    try:
        address = json.loads(file.read_text())["address"]
    except OSError as error:
        raise UserError(
            f"cannot read the scheduler file {file}: {error.strerror}; dask scheduler --scheduler-file {file} writes it"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{file} is not a scheduler file of dask: it names no address") from None
    return str(address)


@contextmanager
def _scheduler(address: str, source: str = "") -> Iterator[Client]:
    arguments = _connection_arguments(address)
    how = "dask scheduler starts one, dask worker ADDRESS its workers"
    missing = f"no dask scheduler answers at {address}{source} within {CONNECT_SECONDS:g} s; {how}"
    try:
        with ThreadPoolExecutor(1) as pool:  # a thread, for in a notebook this one runs a loop of its own
            pool.submit(asyncio.run, _greet(address, arguments)).result()
    except (OSError, ValueError) as error:
        raise UserError(f"{missing} ({error})" if str(error) else missing) from None
    with _client(address, missing) as client:
        _need_same_release(client, address)
        yield client


async def _greet(address: str, arguments: Mapping[str, Any]) -> None:
    """Connect once: a client of dask would wait for ever for the greeting of whoever listens there."""
    from distributed.comm.core import connect

    async def greet() -> None:
        comm = await connect(address, timeout=CONNECT_SECONDS, **arguments)
        await comm.close()

    await asyncio.wait_for(greet(), CONNECT_SECONDS)


def _connection_arguments(address: str) -> Mapping[str, Any]:
    from distributed import Security

    try:
        arguments: dict[str, Any] = Security().get_connection_args("client")
    except OSError as error:
        raise UserError(f"{address}: cannot use the certificates that dask's configuration names: {error}") from None
    if address.startswith("tls://") and arguments.get("ssl_context") is None:
        raise UserError(
            f"{address}: no certificates to connect with: dask's configuration names them, as "
            "distributed.comm.tls.ca-file, .client.cert and .client.key"
        )
    return arguments


def _need_same_release(client: Client, address: str) -> None:
    """Refuse those who would make other numbers, or none."""
    versions: Any = client.get_versions(packages=["matscout"])
    ours = versions["client"]["packages"]["matscout"]
    others = {"the scheduler": versions["scheduler"], **{f"worker {at}": of for at, of in versions["workers"].items()}}
    for who, info in others.items():
        found = ((info or {}).get("packages") or {}).get("matscout")
        if found != ours:
            has = f"matscout {found}" if found else "no matscout"
            raise UserError(f"{address}: {who} has {has}, and here is {ours}: install the same release there")


@contextmanager
def _client(where: Any, missing: str) -> Iterator[Client]:
    """Open a client, and close it without waiting for a scheduler that is gone."""
    from distributed import Client

    try:
        client = Client(where, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{missing} ({error})") from None
    try:
        yield client
    finally:
        with suppress(TimeoutError):
            client.close(timeout=_CLOSE_SECONDS)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep dask's log off the terminal; what the user has it written to elsewhere goes on."""
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in _LOGGERS]
    handlers = {handler for name in names for handler in logging.getLogger(name).handlers}
    on_terminal = [handler for handler in handlers if type(handler) is logging.StreamHandler]
    nothing = logging.Filter("nobody")  # one of its own: the end of an inner one must not end this
    for handler in on_terminal:
        handler.addFilter(nothing)
    try:
        yield
    finally:
        for handler in on_terminal:
            handler.removeFilter(nothing)


_LOGGERS = {"distributed", "tornado", "bokeh"}

"""Workers of a dask cluster: some processes on this machine, or a scheduler that runs elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from napari_genrecon.errors import MissingPackageError, OptionError

__all__ = ["connected"]

_TIMEOUT = 20  # seconds until a scheduler must have answered; a busy one needs some, a wrong address fails after them


@contextmanager
def connected(scheduler: str | None, workers: int = 2) -> Iterator[Any]:
    """Open a dask client, or give None where no scheduler is asked for.

    Parameters
    ----------
    scheduler : str or None
        ``"local"`` starts worker processes that only this machine can reach; else the address of a running
        scheduler, such as ``"tcp://10.0.0.5:8786"``, or the path of its scheduler file.
    workers : int
        Number of processes to start for ``"local"``.

    Yields
    ------
    distributed.Client or None

    Raises
    ------
    MissingPackageError
        If dask.distributed is not installed.
    OptionError
        If the scheduler cannot be reached, or has no workers to start.
    """
    if scheduler is None:
        yield None
        return
    # dask accepts a cluster without workers, and every computation on it waits for ever.
    if scheduler == "local" and workers < 1:
        raise OptionError(f"at least 1 worker is needed to compute anything, got {workers}")
    try:
        import distributed
    except ImportError as error:
        raise MissingPackageError("a cluster needs dask.distributed: pip install 'napari-genrecon[cluster]'") from error
    with _client(distributed, scheduler, workers) as client:
        yield client


@contextmanager
def _client(distributed: Any, scheduler: str, workers: int) -> Iterator[Any]:
    if scheduler == "local":
        with (
            distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client
        return
    # dask's scheduler files are JSON; addresses such as tcp://10.0.0.5:8786 have no such ending.
    where = {"scheduler_file": scheduler} if scheduler.endswith(".json") else {"address": scheduler}
    try:
        client = distributed.Client(**where, timeout=_TIMEOUT)
    # dask raises ValueError for an address of a kind that it does not know.
    except (OSError, TimeoutError, ValueError) as error:
        raise OptionError(f"the scheduler {scheduler} does not answer ({error}): start 'dask scheduler'") from error
    # Outside of the try: an error while the cluster computes does not mean that the scheduler is missing.
    with client:
        yield client

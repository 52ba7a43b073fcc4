"""Servers with one bug each, which the ledger must notice. A function of MUTANTS makes this process such a server."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from typing import Any

PAUSE = 0.02  # seconds, so that a server is often killed while its bug shows


def acks_before_it_commits() -> None:
    """Tell the senders before the commit, and not again."""

    def tell(store: Any, posts: list[Any], parcels: list[Any]) -> None:
        for job in posts:
            store._tell(job.done, job.result)
            job.done = lambda result: None

    _before_commits(tell)


def delivers_before_it_commits() -> None:
    """Send messages before the commit, and not again."""

    def deliver(store: Any, posts: list[Any], parcels: list[Any]) -> None:
        store._tell(store._deliver, parcels[:])
        parcels.clear()

    _before_commits(deliver)


def _before_commits(act: Callable[[Any, list[Any], list[Any]], None]) -> None:
    """Call a function with the store, the posts that are stored, and the messages, before each commit of some."""
    from tmtp.store import transactions
    from tmtp.store.batching import PostJob
    from tmtp.store.store import Store

    now: dict[str, Any] = {}  # the store, its jobs and its batch

    class Batch(transactions.Batch):
        def __init__(self) -> None:
            super().__init__()
            now["batch"] = self

    commit, renew = Store._commit, transactions.Transactions._renew

    def act_and_wait(self: Any, renewed: Any) -> None:
        renew(self, renewed)
        posts = [job for job in now["jobs"] if isinstance(job, PostJob) and isinstance(job.result, int)]
        if posts:
            act(now["store"], posts, now["batch"].parcels)
            time.sleep(PAUSE)

    def note(self: Any, jobs: list[Any], acked: list[Any]) -> None:
        now.update(store=self, jobs=jobs)
        commit(self, jobs, acked)

    transactions.Batch = Batch
    transactions.Transactions._renew = act_and_wait
    Store._commit = note


def skips_the_sync_of_a_file() -> None:
    """Do not sync bodies in the spool."""
    _sync_unless(lambda mode: stat.S_ISREG(mode))


def skips_the_sync_of_a_folder() -> None:
    """Do not sync the folders of the spool."""
    _sync_unless(lambda mode: stat.S_ISDIR(mode))


def _sync_unless(skips: Callable[[int], bool]) -> None:
    fsync = os.fsync
    os.fsync = lambda descriptor: None if skips(os.fstat(descriptor).st_mode) else fsync(descriptor)


def skips_the_sync_of_the_database() -> None:
    """Commit without waiting for the disk."""
    from tmtp.store import transactions

    make_durable = transactions.make_durable

    def make_fast() -> bool:
        from django.db import connection

        pooled = make_durable()
        connection.connection.execute("PRAGMA synchronous = NORMAL")
        return pooled

    transactions.make_durable = make_fast


def forgets_an_ack() -> None:
    """Forget each fifth acknowledgement of a device."""
    from tmtp.store.store import Store

    acknowledge, count = Store.acknowledge, [0]

    def forget(self: Store, entry: Any) -> None:
        count[0] += 1
        if count[0] % 5:
            acknowledge(self, entry)

    Store.acknowledge = forget


BUGS = (
    acks_before_it_commits,
    delivers_before_it_commits,
    skips_the_sync_of_a_file,
    skips_the_sync_of_a_folder,
    skips_the_sync_of_the_database,
    forgets_an_ack,
)
MUTANTS: dict[str, Callable[[], None]] = {"": lambda: None, **{bug.__name__: bug for bug in BUGS}}

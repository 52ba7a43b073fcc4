"""Servers with one bug each, which the ledger must notice. A function of MUTANTS makes this process such a server."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable
from typing import Any

_open: list[sqlite3.Connection] = []
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


def waits_after_a_failed_sync() -> None:
    """Wait, so that the server can be killed before it does anything else. This is no bug.

    A second connection, as the server has anyway after a second, keeps SQLite from tidying up meanwhile.
    """
    from django.conf import settings

    from tmtp.store import transactions

    _open.append(sqlite3.connect(settings.DATABASES["default"]["NAME"]))
    _open[0].execute("SELECT count(*) FROM tmtp_node").fetchall()
    made_room = transactions.Transactions._make_room

    def wait(self: Any, error: Exception) -> None:
        time.sleep(2)
        made_room(self, error)

    transactions.Transactions._make_room = wait


def trusts_its_log_after_a_failed_sync() -> None:
    """Take what is in SQLite's log for what is on the disk, after a failed sync and when it starts."""
    from tmtp.store import transactions

    waits_after_a_failed_sync()
    transactions.rewrite_log = lambda: None


def syncs_a_body_again_after_a_failed_sync() -> None:
    """Try a sync that failed again, which then succeeds."""
    fsync = os.fsync

    def insist(descriptor: int) -> None:
        try:
            fsync(descriptor)
        except OSError:
            fsync(descriptor)

    os.fsync = insist


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
AFTER_A_FAILED_SYNC = {  # the files of which a sync must fail before the bug shows
    trusts_its_log_after_a_failed_sync: "-wal",
    syncs_a_body_again_after_a_failed_sync: "spool",
}
SOUND = waits_after_a_failed_sync
MUTANTS: dict[str, Callable[[], None]] = {
    "": lambda: None,
    **{change.__name__: change for change in (*BUGS, *AFTER_A_FAILED_SYNC, SOUND)},
}

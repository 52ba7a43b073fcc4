"""Batches of posts on a real database; with SQLite, on a file with full durability, as on a server."""

import itertools
import secrets

import pytest
from django.db import connection, connections, transaction

from tmtp.protocol.requests import Recipient
from tmtp.services.messages.posting import post
from tmtp.services.messages.posts import Post
from tmtp.services.people.users import register
from tmtp.services.queue import queue
from tmtp.services.queue.batch import Batch
from tmtp.store.durability import make_durable

BATCH = 200
serial = itertools.count()


@pytest.fixture
def on_disk(transactional_db, django_db_blocker, tmp_path):
    """Move the database to disk, since tests have SQLite in memory."""
    if connection.vendor != "sqlite":
        yield
        return
    copy = tmp_path / "benchmark.sqlite3"
    connection.ensure_connection()
    connection.connection.execute("VACUUM INTO ?", (str(copy),))
    old, settings = connection.connection, connections["default"].settings_dict
    name, settings["NAME"] = settings["NAME"], str(copy)
    connection.connection = connection.get_new_connection(
        {**connection.get_connection_params(), "database": str(copy)}
    )
    make_durable()
    yield
    connection.connection.close()
    connection.connection, settings["NAME"] = old, name


@pytest.fixture
def posts(on_disk):
    """Return a batch of posts, each to two of 100 users."""
    with transaction.atomic():
        senders = [register("laptop").sender for _ in range(100)]

    def make():
        chosen = [[senders[(n + step) % 100] for step in range(3)] for n in range(BATCH)]
        return [
            Post(
                some[0], [Recipient(id=to.uid, type=1) for to in some[1:]], b"x" * 400, digest=secrets.token_bytes(32)
            )
            for some in chosen
        ]

    return make


def commit(posts):
    batch = Batch()
    with transaction.atomic():
        post(posts, batch=batch)
    return batch.parcels


def test_post_200_to_two(benchmark, posts):
    parcels = benchmark.pedantic(commit, setup=lambda: ((posts(),), {}), rounds=30)
    assert len(parcels) == BATCH


def test_acknowledge_400(benchmark, posts):
    def setup():
        return ([(node, item.rank, item.number) for item in commit(posts()) for node in item.nodes],), {}

    def acknowledge(entries):
        with transaction.atomic():
            queue.acknowledge(entries)

    benchmark.pedantic(acknowledge, setup=setup, rounds=30)


def test_read_a_page_of_64(benchmark, posts):
    parcels = commit(posts()) + commit(posts())
    nodes = [node for item in parcels for node in item.nodes]
    node = max(nodes, key=nodes.count)
    page, _complete = benchmark(queue.read_page, node, 64)
    assert page

"""The database fails, is locked or full while clients post: nothing acknowledged is lost, and the service goes on."""

import asyncio
import contextlib
import fcntl
import os
import resource
import signal
import sqlite3
import time

import pytest
from django.db import connections

from .databases import administer
from .ledger import Crowd
from .processes import PATIENCE, until
from .raw_client import LoginRefused
from .relay import Relay
from .servers import installation

postgresql = pytest.mark.skipif("not __import__('os').environ.get('DATABASE_URL')", reason="for PostgreSQL")
sqlite = pytest.mark.skipif("__import__('os').environ.get('DATABASE_URL')", reason="for SQLite")


@pytest.fixture(scope="module")
def server():
    with installation() as site, site.serve() as server:
        yield server
        assert "Traceback" not in server.log


@pytest.fixture(scope="module")
def impatient():
    with installation(STORE_PATIENCE=0.3) as site, site.serve() as server:
        yield server
        assert "Traceback" not in server.log


def database_name(site):
    return site.database_url.rpartition("?")[0].rpartition("/")[2]


def backends(admin, name):
    return [pid for (pid,) in admin.execute("SELECT pid FROM pg_stat_activity WHERE datname = %s", [name])]


def terminate_all(admin, name):
    admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])


async def answers_in_time(server):
    """Check that a post and a login are refused as soon as the store is not patient any more, and the link stays."""
    client = await server.register()
    yield
    begun = time.monotonic()
    client.post("1", [client.uid], b"refused")
    login = asyncio.create_task(server.login("1" * 32, "1" * 40))
    assert "error" in (await client.expect(op="ack", id="1"))[0]
    with pytest.raises((LoginRefused, asyncio.IncompleteReadError)):
        await login
    assert time.monotonic() - begun < 9  # less than STORE_PATIENCE usually is
    yield
    async with asyncio.timeout(PATIENCE):
        number = 2
        while "error" in await answer_to_a_post(client, str(number)):
            number += 1
    client.close()


async def answer_to_a_post(client, number):
    client.post(number, [client.uid], b"hello")
    return (await client.expect(op="ack", id=number))[0]


@sqlite
async def test_a_lock_is_waited_for_no_longer_than_the_store_is_patient(impatient):
    steps = answers_in_time(impatient)
    await anext(steps)
    with contextlib.closing(sqlite3.connect(impatient.site.folder / "mnm.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await anext(steps)
    await anext(steps, None)


@postgresql
async def test_a_lock_of_another_session_is_waited_for_no_longer(impatient):
    import psycopg

    steps = answers_in_time(impatient)
    await anext(steps)
    with psycopg.connect(impatient.site.database_url) as other:
        other.execute("LOCK TABLE tmtp_serverlease")
        await anext(steps)
    await anext(steps, None)


@postgresql
async def test_a_process_of_postgresql_is_stopped(impatient):
    steps = answers_in_time(impatient)
    await anext(steps)
    with administer() as admin:
        stopped = backends(admin, database_name(impatient.site))
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        await anext(steps)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    await anext(steps, None)


@postgresql
async def test_the_network_to_postgresql_loses_everything():
    with installation(STORE_PATIENCE=0.3) as site:
        relay = Relay(site.folder, site.database_url)
        await relay.start()
        with site.serve(DATABASE_URL=relay.database_url, wait=False) as server:
            await server.wait()
            steps = answers_in_time(server)
            await anext(steps)
            relay.swallow()
            await anext(steps)
            relay.pass_on()
            await anext(steps, None)
        await relay.stop()


@postgresql
async def test_postgresql_can_only_be_read_for_a_while(impatient):
    steps = answers_in_time(impatient)
    await anext(steps)
    name = database_name(impatient.site)
    with administer() as admin:
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        terminate_all(admin, name)
        await anext(steps)
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = off")
        await anext(steps, None)  # over the same connections, which it replaces


@postgresql
async def test_connections_are_terminated_while_clients_post(server):
    with administer() as admin:
        crowd = Crowd(server, 20)
        await crowd.start()
        for _ in range(15):
            await crowd.more(60)
            terminate_all(admin, database_name(server.site))
        await crowd.more(100)
        ledger = await crowd.finish()
        assert not any(post.refused for post in ledger.posts.values())
        assert all(device.links == 1 for device in crowd.devices)


@pytest.fixture
def reconnected():
    """Close this process's own connections, which end when PostgreSQL crashes, for the tests that follow."""
    yield
    connections.close_all()


@postgresql
async def test_postgresql_crashes_and_recovers_while_clients_post(server, reconnected):
    crowd = Crowd(server, 20)
    await crowd.start()
    for _ in range(2):
        await crowd.more(100)
        with administer() as admin:
            # PostgreSQL restarts when one of its processes is killed, and refuses connections meanwhile
            os.kill(backends(admin, database_name(server.site))[0], signal.SIGKILL)
    await crowd.more(100)
    ledger = await crowd.finish()
    assert not any(post.refused for post in ledger.posts.values())
    assert all(device.links == 1 for device in crowd.devices)


@postgresql
async def test_database_stays_away_for_longer_than_the_store_is_patient(impatient):
    with administer() as admin:
        name = database_name(impatient.site)
        crowd = Crowd(impatient, 10)
        await crowd.start()
        await crowd.more(50)
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        terminate_all(admin, name)
        await until(lambda: sum(bool(post.refused) for post in crowd.ledger.posts.values()) > 30)
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await crowd.more(100)
        await crowd.finish()


@sqlite
async def test_another_process_holds_the_lock_for_seconds(server):
    crowd = Crowd(server, 20)
    await crowd.start()
    await crowd.more(50)
    with contextlib.closing(sqlite3.connect(server.site.folder / "mnm.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await asyncio.sleep(2)
        before = len(crowd.ledger.acked)
        await asyncio.sleep(0.5)
        assert len(crowd.ledger.acked) == before  # requests were waiting
        other.execute("COMMIT")
    begun = time.monotonic()
    await crowd.more(100)
    assert time.monotonic() - begun < 9  # less than STORE_PATIENCE
    ledger = await crowd.finish()
    assert not any(post.refused for post in ledger.posts.values())


@sqlite
async def test_disk_of_the_database_is_full_for_a_while(impatient):
    crowd = Crowd(impatient, 10)
    await crowd.start()
    await crowd.more(50)
    # no file may grow any further, which SQLite notices in the same way as a full disk
    resource.prlimit(impatient.pid, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    await until(lambda: sum(bool(post.refused) for post in crowd.ledger.posts.values()) > 30)
    resource.prlimit(impatient.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await crowd.more(100)
    await crowd.finish()


@sqlite
async def test_devices_that_left_while_the_database_was_full_can_come_back(impatient):
    clients = [await impatient.register() for _ in range(5)]
    before = len(impatient.log)
    resource.prlimit(impatient.pid, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    for client in clients:
        client.close()
    await until(lambda: "does not take messages" in impatient.log[before:])
    resource.prlimit(impatient.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    for client in clients:
        await comes_back(impatient, client)


async def comes_back(server, client):
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await server.login(client.uid, client.nodeid)
            except (LoginRefused, asyncio.IncompleteReadError):
                await asyncio.sleep(0.1)


@sqlite
@pytest.mark.parametrize("which", ["mnm.sqlite3", "mnm.sqlite3-wal"])
async def test_file_of_the_database_is_removed_and_put_back(which):
    with installation(STORE_PATIENCE=0.1) as site, site.serve() as server:
        client = await server.register()
        there, away = site.folder / which, site.folder / "away"
        there.rename(away)
        for number in "12":
            client.post(number, [client.uid], b"lost?")
            assert "error" in (await client.expect(op="ack", id=number))[0]
        assert "was removed or replaced" in server.log
        await asyncio.sleep(1.2)  # the log is copied once a second
        assert not there.exists()
        away.rename(there)
        client.post("3", [client.uid], b"kept")
        assert "error" not in (await client.expect(op="ack", id="3"))[0]
        client.close()


@contextlib.contextmanager
def copying_the_log(folder):
    """Copy SQLite’s log until the block ends, as far as others can tell: hold the lock for it (WAL_CKPT_LOCK)."""
    with (folder / "mnm.sqlite3-shm").open("r+b") as shared:
        fcntl.lockf(shared, fcntl.LOCK_EX, 1, 121)
        yield


@sqlite
async def test_whoever_makes_another_database_in_its_place_takes_nothing_along():
    """As a page of the website does: SQLite takes the log that it finds for that of the new file, and removes it."""
    with installation(STORE_PATIENCE=1) as site, site.serve() as server:
        client = await server.register()
        there, away = site.folder / "mnm.sqlite3", site.folder / "away.sqlite3"
        with copying_the_log(site.folder):
            there.rename(away)
            await asyncio.sleep(0.7)  # the file is missed several times a second
            assert "removed or replaced" not in server.log, "nothing is said before all is saved"
        await until(lambda: "removed or replaced" in server.log)
        with contextlib.closing(sqlite3.connect(there)) as another:
            another.execute("CREATE TABLE another (id)")
        away.replace(there)
        client.close()
        server.kill()
        await server.restart()
        (await server.login(client.uid, client.nodeid)).close()

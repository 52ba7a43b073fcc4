"""The database fails, is locked or full while clients post: nothing acknowledged is lost, and the service goes on."""

import asyncio
import contextlib
import os
import resource
import signal
import sqlite3
import time

import pytest

from .ledger import Crowd
from .servers import LoginRefused, administer, installation, until

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


@postgresql
async def test_postgresql_crashes_and_recovers_while_clients_post(server):
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
    assert time.monotonic() - begun < 5
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
    async with asyncio.timeout(5):
        while True:
            try:
                return await server.login(client.uid, client.nodeid)
            except (LoginRefused, asyncio.IncompleteReadError):
                await asyncio.sleep(0.1)


@sqlite
async def test_file_of_the_database_is_removed_and_put_back():
    with installation(STORE_PATIENCE=0.1) as site, site.serve() as server:
        client = await server.register()
        there, away = site.folder / "mnm.sqlite3", site.folder / "away.sqlite3"
        there.rename(away)
        client.post("1", [client.uid], b"lost?")
        assert "error" in (await client.expect(op="ack", id="1"))[0]
        assert "was removed or replaced" in server.log
        away.rename(there)
        client.post("2", [client.uid], b"kept")
        assert "error" not in (await client.expect(op="ack", id="2"))[0]
        client.close()

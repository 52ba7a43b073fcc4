"""Large bodies: never whole in memory, delivered unchanged, and gone from the disk once everybody has them."""

import asyncio
import contextlib
import hashlib
import random
import resource
import subprocess
import time
from pathlib import Path

import pytest

from .processes import PATIENCE, until
from .raw_client import frame
from .servers import installation

pytestmark = pytest.mark.once

MEGA = 2**20
LARGE = 100 * MEGA
PIECE = random.Random(1).randbytes(MEGA)


@pytest.fixture(scope="module")
def server():
    with installation() as site, site.serve() as server:
        yield server


def peak_of(server):
    """Return the most memory that the server has used since `forget_peak`."""
    for line in Path(f"/proc/{server.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("not on this system")


def forget_peak(server):
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")


def post(to, length, **members):
    members = {"op": 7, "id": "large", "for": [{"id": client.uid, "type": 1} for client in to], **members}
    return frame(datalen=length, **members)


async def upload(client, octets):
    for start in range(0, octets, MEGA):
        client.writer.write(PIECE[: octets - start])
        await client.writer.drain()


async def digest_of_next(client, op="delivery"):
    """Return the next message's header and the digest of its data, without keeping the data."""
    async with asyncio.timeout(60):
        header = await client.head()
        assert header["op"] == op
        digest, left = hashlib.sha256(), header["datalen"]
        while left:
            piece = await client.reader.read(min(left, MEGA))
            digest.update(piece)
            left -= len(piece)
        return header, digest.digest()


async def chat(client, stop):
    """Exchange small messages meanwhile. Return how many, and the longest time that one took."""
    clock = asyncio.get_running_loop().time
    times = []
    while not stop.is_set():
        begun = clock()
        client.post(f"small {len(times)}", [client.uid], b"small")
        header, _ = await client.expect(op="delivery")
        client.acknowledge(header["id"])
        await client.expect(op="ack")
        times.append(clock() - begun)
        await asyncio.sleep(0.005)
    return len(times), max(times)


async def test_a_large_body_goes_through_in_little_memory(server):
    sender, *readers = [await server.register() for _ in range(3)]
    stop = asyncio.Event()
    small = asyncio.create_task(chat(await server.register(), stop))
    await asyncio.sleep(0.2)
    forget_peak(server)
    before = peak_of(server)
    begun = time.monotonic()
    sender.writer.write(post(readers, LARGE))
    await upload(sender, LARGE)
    header, _ = await sender.expect(60, op="ack")
    assert header["msgid"]
    expected = hashlib.sha256()
    for _ in range(LARGE // MEGA):
        expected.update(PIECE)
    for (got, digest), reader in zip(await asyncio.gather(*map(digest_of_next, readers)), readers, strict=True):
        assert got["id"] == header["msgid"]
        assert digest == expected.digest()
        assert [path.stat().st_size for path in server.site.spool_files] == [LARGE]
        reader.acknowledge(got["id"])
    await until(lambda: not server.site.spool_files)
    taken = time.monotonic() - begun
    grown = peak_of(server) - before
    stop.set()
    count, longest = await small
    print(f"\n{LARGE // MEGA} MB to two: {grown / MEGA:.1f} MB of memory, {count} small ones, {longest:.3f} s at most")
    assert grown < 20 * MEGA
    assert count > 20
    assert longest < max(2, taken / 4)  # a busy computer takes longer for all of it


@pytest.mark.parametrize("octets", [1, 65535, 65536, 65537, 131071, 131072, 131073, 3 * MEGA + 1])
async def test_sizes_around_the_limits_are_exact(server, octets):
    client = await server.register()
    body = random.randbytes(octets)
    client.post("sized", [client.uid], body, datahead=1)
    header, data = await client.expect(op="delivery")
    assert header["datalen"] == octets
    assert data == body
    client.acknowledge(header["id"])
    await until(lambda: not server.site.spool_files)
    client.close()


@pytest.mark.parametrize("notelen", [1, 65536, 65537, 500_000])
@pytest.mark.parametrize("datalen", [1, 65536, 65537, 500_000])
async def test_post_with_notification_of_any_size(server, notelen, datalen):
    sender, reader, told = [await server.register() for _ in range(3)]
    note, body = random.randbytes(notelen), random.randbytes(datalen)
    both = {"for": [{"id": reader.uid, "type": 1}], "notefor": [{"id": told.uid, "type": 1}]}
    sender.send(note + body, op=8, id="both", notelen=notelen, notehead=1, **both)
    ack, _ = await sender.expect(op="ack")
    header, data = await reader.expect(op="delivery", id=ack["msgid"])
    assert (data, header["datalen"]) == (body, datalen)
    for client in (reader, told):
        header, data = await client.expect(op="notify", postid=ack["msgid"])
        assert data == note
        client.acknowledge(header["id"])
    reader.acknowledge(ack["msgid"])
    await until(lambda: not server.site.spool_files)
    for client in (sender, reader, told):
        client.close()


async def test_the_same_large_post_twice_is_one_message_and_one_file(server):
    client = await server.register()
    body = random.randbytes(300_000)
    for _ in range(2):
        client.post("twice", [client.uid], body)
    first, second = [(await client.expect(op="ack"))[0] for _ in range(2)]
    assert first == second
    header, _ = await client.expect(op="delivery")
    await until(lambda: len(server.site.spool_files) == 1)
    client.acknowledge(header["id"])
    await until(lambda: not server.site.spool_files)
    client.close()


async def test_a_damaged_file_breaks_no_link(server):
    """Else it would do so each time that the device comes."""
    client, device = await server.register(), await server.register()
    device.close()
    for number, damaged in enumerate((b"", bytes(99_999), bytes(100_001))):
        client.post(str(number), [device.uid], bytes(100_000))
        await client.expect(op="ack", id=str(number))
        (file,) = server.site.spool_files
        file.write_bytes(damaged)
        device = await server.login(device.uid, device.nodeid)
        client.post("next", [device.uid], b"next %d" % number)
        header, data = await device.expect(op="delivery")
        assert data == b"next %d" % number
        device.acknowledge(header["id"])
        await until(lambda: not server.site.spool_files)
        device.close()
    assert "Traceback" not in server.log and "is damaged" in server.log
    client.close()


async def test_a_large_post_that_is_refused_leaves_no_file(server):
    client = await server.register()
    client.post("to nobody", ["nobody"], bytes(300_000))
    assert "error" in (await client.expect(op="ack"))[0]
    await until(lambda: not server.site.spool_files)
    client.close()


# -- a full disk


async def refuses_large_ones_only(server, client):
    client.post("too large", [client.uid], bytes(6 * MEGA))
    header, _ = await client.expect(op="ack", id="too large")
    assert "no room" in header["error"]
    await until(lambda: not server.site.spool_files)
    client.post("small", [client.uid], b"small")
    header, _ = await client.expect(op="ack", id="small")
    assert header["msgid"]
    assert (await client.expect(op="delivery"))[1] == b"small"


async def takes_it_now(server, client):
    client.post("too large", [client.uid], bytes(6 * MEGA))
    assert (await client.expect(op="ack", id="too large"))[0]["msgid"]
    header, data = await client.expect(op="delivery", datalen=6 * MEGA)
    assert data == bytes(6 * MEGA)
    client.acknowledge(header["id"])
    await until(lambda: not server.site.spool_files)
    assert "Traceback" not in server.log


async def test_a_spool_that_cannot_grow():
    """On a server of its own: the limit must not be lower than what the database's log has grown to in other tests."""
    with installation() as site, site.serve() as server:
        client = await server.register()
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (5 * MEGA, resource.RLIM_INFINITY))
        await refuses_large_ones_only(server, client)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await takes_it_now(server, client)
        client.close()


@contextlib.contextmanager
def mounted(folder, octets):
    """Mount a file system of this size, or skip the test if mounting is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={octets}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_disk_that_is_full():
    """Without a floor (MIN_FREE), so that the disk itself refuses."""
    with installation(MIN_FREE=0) as site, mounted(site.folder / "spool", 7 * MEGA), site.serve() as server:
        ballast = site.folder / "spool" / "ballast"
        client = await server.register()
        ballast.write_bytes(bytes(5 * MEGA))
        client.post("too large", [client.uid], bytes(6 * MEGA))
        header, _ = await client.expect(PATIENCE, op="ack", id="too large")
        assert "no room" in header["error"]
        assert site.spool_files == [ballast]
        ballast.unlink()
        await takes_it_now(server, client)

"""`python -m benchmarks.hostile`: measure what one user can do to the others, with the default limits.

First 30 links of one user each announce a body of 4 GiB, send 30 MB of it and then an octet every ten seconds. Then
one user posts to 900 users who are away, and to lists of uids that do not exist, 16 posts at a time, while a bystander
posts to itself and waits for each ack.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from array import array
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tmtp.client.link import Head, Link
    from tmtp.testing import Server

ANNOUNCED, BEGINNING, DRIP_EVERY = 4 * 2**30, 30_000_000, 10.0
DRIPPING_LINKS = 30
AWAY, UNKNOWN, IN_FLIGHT = 900, 1000, 16
PAUSE = 0.02  # seconds between two posts of the bystander


def main() -> None:
    """Measure each attack and print a line for it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="how long each attack on the bystander lasts")
    parser.add_argument("--dripping", type=float, default=60, help="how long the links drip; 0 leaves this attack out")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mnm-benchmarks-") as folder:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "mnmsite.settings", "MNM_VAR": folder}
        import django

        django.setup()
        from tmtp.simulation.temporary_server import temporary_server

        limits = {"registrations_per_address": None}  # nothing else registers users so fast
        tmtp = {"LIMITS": limits, "SPOOL_DIR": str(Path(folder) / "spool")}
        with temporary_server(tmtp=tmtp) as server:
            asyncio.run(measure(server, Path(folder) / "spool", arguments.seconds, arguments.dripping))


async def measure(server: Server, spool: Path, seconds: float, dripping: float) -> None:
    """Run the attacks one after another."""
    if dripping:
        await drip(server, spool, dripping)
    bystander, uid = await register(server)
    print("                          acks of the bystander               the attacker")
    print("                          posts   p50 ms   p99 ms   max ms    done/s  refused/s  refused with")
    me = [{"id": uid, "type": 1}]
    await watch("nobody else", bystander, me, seconds, None, [])
    away = [await absent(server) for _ in range(AWAY)]
    attacker, _ = await register(server)
    await watch(f"posts to {AWAY} away", bystander, me, seconds, attacker, away)
    attacker, _ = await register(server)
    unknown = [{"id": f"{number:032}", "type": 1} for number in range(UNKNOWN)]
    await watch(f"{UNKNOWN} unknown uids", bystander, me, seconds, attacker, unknown)


async def register(server: Server) -> tuple[Link, str]:
    """Return the link and uid of a new user."""
    from tmtp.client.link import Link

    link = await Link.open(server.address, server.tls, lambda link, head, data: None)
    return link, (await link.register("a device", "_")).uid


async def absent(server: Server) -> dict[str, Any]:
    """Register a user who leaves again. Return it as a recipient."""
    link, uid = await register(server)
    link.abort()
    return {"id": uid, "type": 1}


# -- an attack on the bystander


async def watch(name: str, bystander: Link, me: Any, seconds: float, attacker: Link | None, to: Any) -> None:
    """Measure the bystander's acks while the attacker posts to all of `to`."""
    from tmtp.client.link import request

    last = time.perf_counter() + seconds
    done: dict[str, int] = {}
    serial = 0

    def again(head: Head | None = None) -> None:
        nonlocal serial
        if head is not None:
            done[head.error] = done.get(head.error, 0) + 1
        if attacker and time.perf_counter() < last:
            serial += 1
            attacker.call(str(serial), request({"op": 7, "id": str(serial), "for": to}, b"{}" + bytes(400)), again)

    for _ in range(IN_FLIGHT):
        again()
    taken: array[float] = array("d")
    while time.perf_counter() < last:
        begun = time.perf_counter()
        await bystander.ask({"op": 7, "id": str(len(taken)), "for": me}, b"{}" + b"%d" % len(taken))
        taken.append(1000 * (time.perf_counter() - begun))
        await asyncio.sleep(PAUSE)
    report(name, taken, done, seconds)
    if attacker:
        attacker.abort()


def report(name: str, taken: array[float], done: dict[str, int], seconds: float) -> None:
    """Print a line."""
    from .measure import percentile

    ordered = sorted(taken)
    p50, p99 = percentile(ordered, 50), percentile(ordered, 99)
    accepted = done.pop("", 0)
    refused = sum(done.values())
    errors = "; ".join(f"{error[:70]} ({count})" for error, count in sorted(done.items()))
    print(
        f"  {name:22}{len(taken):7,}{p50:9.1f}{p99:9.1f}{ordered[-1]:9.1f}"
        f"{accepted / seconds:10.1f}{refused / seconds:11.1f}  {errors}"
    )


# -- bodies that drip


async def drip(server: Server, spool: Path, seconds: float) -> None:
    """Announce large bodies over links of one user, send the beginning, and report what they hold after a while."""
    from tmtp.client.link import LinkEnded, request

    links = await links_of_one_user(server, DRIPPING_LINKS)
    header = request({"op": 7, "id": "drip", "for": [], "datalen": ANNOUNCED})
    begun = time.perf_counter()
    for link in links:
        link.send(header)
    piece = bytes(100_000)
    for _ in range(0, BEGINNING, len(piece)):
        for link in links:
            link.send(piece)
        await asyncio.sleep(0.02)
    most = 0
    while (elapsed := time.perf_counter() - begun) < seconds:
        most = max(most, octets_in(spool))
        if int(elapsed) % int(DRIP_EVERY) == 0:
            for link in links:
                with suppress(LinkEnded):
                    link.send(b"x")
        await asyncio.sleep(1)
    still = [link for link in links if not link.ended.done()]
    reasons = sorted({link.reason for link in links if link.ended.done()})
    print(f"bodies that drip: at most {most / 1e6:,.0f} MB in the spool; after {seconds:.0f} s", end=" ")
    print(f"{octets_in(spool) / 1e6:,.0f} MB, {len(still)} of {len(links)} links open {reasons or ''}")
    for link in links:
        link.abort()


async def links_of_one_user(server: Server, count: int) -> list[Link]:
    """Return links of one user, each of a device of its own."""
    from tmtp.client.link import Link

    secrets: list[str] = []

    def receive(link: Link, head: Head, data: bytes) -> None:
        if head.op == "user" and head.newnode:
            secrets.append(head.nodeid)

    first = await Link.open(server.address, server.tls, receive)
    uid = (await first.register("a device", "_")).uid
    for number in range(1, count):
        await first.ask({"op": 3, "id": str(number), "newnode": f"device {number}"})
    while len(secrets) < count - 1:
        await asyncio.sleep(0.05)
    links = [first]
    for secret in secrets:
        link = await Link.open(server.address, server.tls, lambda link, head, data: None)
        await link.log_in(uid, secret)
        links.append(link)
    return links


def octets_in(folder: Path) -> int:
    """Return the octets of all files in a folder and those below it."""
    total = 0
    for file in folder.rglob("*"):
        with suppress(OSError):
            total += file.stat().st_size if file.is_file() else 0
    return total


if __name__ == "__main__":
    main()

"""`runtmtp --processes 2`: on the wire it is like one process, and it survives the end of any of its processes."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tmtp.processes.commands import FUNCTIONS

from .ledger import Crowd
from .processes import free_port, is_running, until
from .servers import Server, installation

SIDE = free_port()
TMTP = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    tmtp = {"DRAIN": 2, "METRICS": f"127.0.0.1:{SIDE}", "PROCESS_TIMEOUT": 6, "STORE_PATIENCE": 3}
    with installation(**tmtp) as site, site.serve(arguments=["--processes=2"]) as server:
        yield server
        assert "Traceback" not in server.log


async def test_the_side_port_shows_all_processes(server: Server) -> None:
    def ask(path: str) -> str:
        with urlopen(f"http://127.0.0.1:{SIDE}/{path}", timeout=60) as answer:
            return str(answer.read().decode())

    assert (await asyncio.to_thread(ask, "readyz")).startswith("ready\n")
    links = server.children[1:]
    shown = await asyncio.to_thread(ask, "metrics")
    assert all(re.search(rf'^tmtp_server_up{{.*:{pid}"}} 1', shown, re.MULTILINE) for pid in links), shown


async def test_a_process_that_hangs_is_replaced(server: Server) -> None:
    ann = await server.register()
    store, *links = server.children
    for pid in links:
        os.kill(pid, signal.SIGSTOP)
    await until(lambda: len(server.children) == 3 and not {*links} & {*server.children})
    ann = await server.login(ann.uid, ann.nodeid)

    os.kill(store, signal.SIGSTOP)
    ann.post("1", [ann.uid], b"nobody can know whether this is stored")
    assert await ann.ended() is None
    assert server.process and server.process.poll() is None, "not only when the service ends"
    assert await server.ended() == 1
    assert "the store's process says nothing" in server.log
    await server.restart()
    ann = await server.login(ann.uid, ann.nodeid)
    ann.post("1", [ann.uid], b"nobody can know whether this is stored")
    await ann.expect(op="ack", id="1")


async def test_kill_9_of_any_process_while_clients_post(server: Server) -> None:
    crowd = Crowd(server, 40, pause=0.1)
    await crowd.start()
    await crowd.more(200)

    store, *links = server.children
    os.kill(links[0], signal.SIGKILL)
    await crowd.more(200)
    await until(lambda: len(server.children) == 3)
    assert store in server.children and links[1] in server.children, "only that one was started again"
    assert all(device.links <= 2 for device in crowd.devices)

    os.kill(store, signal.SIGKILL)
    assert await server.ended() == 1, "no link can store anything"
    await server.restart()
    await crowd.more(200)

    processes = server.children
    os.kill(server.pid, signal.SIGKILL)
    await until(lambda: not any(map(is_running, processes)))
    server.kill()
    await server.restart()
    await crowd.more(200)

    links_before = {device: device.links for device in crowd.devices}
    assert await server.reload() == 0, "it drains, and ends"
    await until(lambda: all(device.links > before for device, before in links_before.items()))
    await crowd.more(200)
    ledger = await crowd.finish()
    assert not any(post.refused for post in ledger.posts.values())


@pytest.mark.once
def test_all_that_links_have_the_store_run_can_be_named() -> None:
    known = {f"{function.__module__.rpartition('.')[2]}.{function.__name__}" for function in FUNCTIONS}
    passed = {
        f"{function.value.id}.{function.attr}"
        for room in ("links", "engine")
        for path in (TMTP / room).glob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "partial"
        for function in call.args[:1]
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)
    }
    assert "users.log_in" in passed
    others = {"receipts.once", "queue.read_messages"}  # which have parts of their own in `wire`
    assert {name for name in passed if not name.startswith("self.")} - known == others

"""The server is killed or stopped while fifty clients post: nothing that it has acknowledged is lost."""

import time

import pytest

from .ledger import Crowd
from .servers import installation


@pytest.fixture(scope="module")
def server():
    with installation() as site, site.serve() as server:
        yield server
        assert "Traceback" not in server.log


async def test_kill_9_while_clients_post(server):
    crowd = Crowd(server, 50)
    await crowd.start()
    for _ in range(3):
        await crowd.more(300)
        server.kill()
        await server.restart()
    await crowd.more(200)
    ledger = await crowd.finish()
    assert any(post.tries > 1 for post in ledger.acked)
    assert not any(post.refused for post in ledger.posts.values())


async def test_sigterm_while_clients_post(server):
    crowd = Crowd(server, 50)
    await crowd.start()
    await crowd.more(300)
    begun = time.monotonic()
    assert await server.stop() == 0
    assert time.monotonic() - begun < 9  # less than anything that it could wait for
    await server.restart()
    await crowd.more(200)
    await crowd.finish()

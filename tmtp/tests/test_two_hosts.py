"""Two hosts over one PostgreSQL keep every promise while the network between them is cut.

`make faults` cuts it for longer.
"""

from __future__ import annotations

import os

import pytest

from .faults.two_hosts import pair_of_hosts
from .hosts import NoHosts, check_programs, check_rights
from .raw_client import Client
from .servers import installation

pytestmark = pytest.mark.skipif(not os.environ.get("DATABASE_URL"), reason="is about PostgreSQL")


@pytest.fixture(autouse=True)
def hosts_are_possible() -> None:
    try:
        check_programs()
    except NoHosts as error:
        pytest.fail(str(error)) if os.environ.get("CI") and os.geteuid() == 0 else pytest.skip(str(error))
    try:
        check_rights()
    except NoHosts as error:
        pytest.skip(str(error))


async def post(client: Client, request: str) -> str:
    """Post a message to nobody else. Return its number as it comes in the ack."""
    client.post(request, [client.uid], b"hello")
    header, _ = await client.expect(op="ack", id=request)
    return str(header["msgid"])


async def test_the_network_between_two_hosts_is_cut() -> None:
    """The hosts have the same name, and clocks that differ."""
    with installation() as site:
        async with pair_of_hosts(site) as pair:
            numbers = [await post(who, f"{turn}") for turn in range(4) for who in (pair.ann, pair.ben)]
            assert numbers == sorted(numbers), "they are of one clock"
            await pair.crowd.start()
            await pair.cut()
            await pair.cut(noticed=True)
            await pair.crowd.finish()
            pair.check()
            assert "Traceback" not in pair.one.log + pair.two.log

"""Changes by other processes reach the clients of a server: messages at once, the rest within a second."""

import asyncio
import itertools
import statistics
import time

import pytest

from .processes import PATIENCE, in_time, until
from .raw_client import LoginRefused
from .servers import installation

SEND = """
import time
from django.db import transaction
from tmtp.models import User
from tmtp.services.people.actors import nodes_of
from tmtp.services.queue.queue import Outgoing, enqueue
user = User.objects.get(uid={uid!r})
result = time.time()
with transaction.atomic():
    enqueue([Outgoing("delivery", user.uid, user.pk, nodes_of([user.pk]), {{"datahead": 2}}, {body!r})], batch=None)
"""
DROP = """
from tmtp.models import Node
from tmtp.services.people.devices import drop_node
drop_node(Node.objects.get(user__uid={uid!r}))
"""


ACTIVE = """
from django.contrib.auth import get_user_model
from tmtp.models import User
from tmtp.services.people import accounts
from tmtp.services.people.linking import link_account
user = User.objects.get(uid={uid!r})
if user.account is None:
    link_account(user, get_user_model().objects.create_user(user.uid.lower()))
user.account.is_active = {active}
if {in_bulk}:
    get_user_model().objects.filter(pk=user.account.pk).update(is_active={active})
    result = accounts.follow_all()
else:
    user.account.save()
"""
HIDE = """
from tmtp.models import User
from tmtp.services.people.privacy import set_presence
set_presence(User.objects.get(uid={uid!r}), User.Presence[{presence!r}])
"""


@pytest.fixture(scope="module")
def site():
    with installation() as site:
        yield site


@pytest.fixture(scope="module")
def here(site):
    with site.serve() as server:
        yield server
        assert "Traceback" not in server.log


@pytest.fixture(scope="module")
def there(site):
    with site.serve() as server:
        yield server
        assert "Traceback" not in server.log


@pytest.fixture(scope="module")
def other(site):
    with site.other_process() as other:
        yield other


async def latencies(other, client, count):
    """Return the seconds that messages from another process took."""
    taken = []
    arrived = None

    async def wait():
        nonlocal arrived
        header, _ = await client.expect(op="delivery")
        arrived = time.time()
        client.acknowledge(header["id"])

    for number in range(count):
        waiting = asyncio.create_task(wait())
        begun = await asyncio.to_thread(other.run, SEND.format(uid=client.uid, body=b"%d" % number))
        await waiting
        taken.append(arrived - begun)
    return taken


async def test_a_message_of_another_process_comes_within_a_second(here, other):
    client = await here.register()
    for _ in range(6):
        await in_time(1, lambda: latencies(other, client, 1))


@pytest.fixture(scope="module", params=[pytest.param("Redis", marks=pytest.mark.once), "without Redis"])
def pair(request):
    """Two servers and another process, which do not find out anything by polling."""
    redis_url = request.getfixturevalue("redis_url") if request.param == "Redis" else ""
    with installation(POLL=60) as site:
        if redis_url:
            site.env["REDIS_URL"] = redis_url
        with site.serve() as one, site.serve() as two, site.other_process() as other:
            yield one, two, other
            assert "Traceback" not in one.log + two.log
            assert " WARNING " not in one.log + two.log


async def test_a_message_is_handed_over_at_once(pair):
    server, _, other = pair
    taken = await latencies(other, await server.register(), 20)
    print(f"\nfrom a view: median {statistics.median(taken):.4f} s, at most {max(taken):.4f} s")
    assert max(taken) < 6  # a tenth of POLL; `make bench-cluster` measures how long it takes


async def test_a_post_to_a_device_on_another_server_is_handed_over_at_once(pair):
    one, two, _ = pair
    ann, ben, bea = await one.register(), await two.register(), await two.register()
    taken = []
    for number in range(20):
        begun = time.monotonic()
        ann.post(str(number), [ben.uid, bea.uid, ann.uid], b"%d" % number)
        for client in (ben, bea, ann):
            header, data = await client.expect(op="delivery")
            assert data == b"%d" % number
            client.acknowledge(header["id"])
        taken.append(time.monotonic() - begun)
    print(f"\nfrom another server: median {statistics.median(taken):.4f} s, at most {max(taken):.4f} s")
    assert max(taken) < 6  # a tenth of POLL; `make bench-cluster` measures how long it takes


async def test_many_posts_are_handed_over_once_each_and_in_order(pair):
    one, two, _ = pair
    ann, ben = await one.register(), await two.register()
    count = 1000
    for number in range(count):
        ann.post(str(number), [ben.uid], b"%d" % number)
    for number in range(count):
        header, data = await ben.expect(op="delivery")
        assert data == b"%d" % number
        ben.acknowledge(header["id"])
    ann.post("last", [ben.uid], b"last")
    assert (await ben.expect(op="delivery"))[1] == b"last"


async def test_large_bodies_are_handed_over(pair):
    one, two, _ = pair
    ann, ben = await one.register(), await two.register()
    for size in (60_000, 300_000):
        body = bytes(range(250)) * (size // 250)
        ann.post(str(size), [ben.uid], body)
        header, data = await ben.expect(op="delivery")
        assert data == body
        ben.acknowledge(header["id"])


async def test_a_node_that_moves_to_another_server_is_followed(pair):
    one, two, _ = pair
    ann, ben = await one.register(), await two.register()
    for number, server in enumerate((one, two, one)):
        ben.close()
        ben = await login_when_free(server, ben)
        ann.post(str(number), [ben.uid], b"%d" % number)
        header, data = await ben.expect(op="delivery")
        assert data == b"%d" % number
        ben.acknowledge(header["id"])


async def announce(client, *uids, type_="add"):
    """Op 4."""
    client.send(op=4, id="ohi", for_=[{"id": uid} for uid in uids], type=type_)
    header, _ = await client.expect(op="ack", id="ohi")
    assert "error" not in header


async def contacts_at_login(server, client):
    """Log a client's node in, and return the link and the users whom it sees online."""
    link = await server.greet()
    link.uid, link.nodeid = client.uid, client.nodeid
    link.send(op=2, uid=client.uid, node=client.nodeid)
    header, _ = await link.expect(op="info")
    return link, header.get("ohi", [])


async def test_friends_on_another_server_are_seen(pair):
    one, two, _ = pair
    ann, ben = await one.register(), await two.register()
    await announce(ann, ben.uid)
    await ben.expect(op="ohi", **{"from": ann.uid}, status=1)
    await announce(ann, ben.uid, type_="drop")
    await ben.expect(op="ohi", **{"from": ann.uid}, status=2)
    # a second device of ann's at the other server keeps her online
    ann.send(op=3, id="new", newnode="phone")
    header, _ = await ann.expect(op="user", newnode="phone")
    phone = await two.login(ann.uid, header["nodeid"])
    await announce(ben, ann.uid)
    for link in (ann, phone):
        await link.expect(op="ohi", **{"from": ben.uid}, status=1)
    ben.close()
    for link in (ann, phone):
        await link.expect(op="ohi", **{"from": ben.uid}, status=2)


async def test_who_is_online_anywhere_is_told_at_login(pair):
    one, two, _ = pair
    ann, ben, eve = await one.register(), await two.register(), await two.register()
    ben.close()
    await (await login_when_free(one, ben)).leave()
    await announce(ann, ben.uid)
    await announce(eve, ben.uid)
    for server in (one, two):
        link, online = await contacts_at_login(server, ben)
        assert sorted(online) == sorted([ann.uid, eve.uid])
        await link.leave()


async def test_what_a_view_decides_takes_effect_at_once(pair):
    """Although the servers poll once a minute."""
    one, two, other = pair
    ann, ben = await one.register(), await two.register()
    await announce(ann, ben.uid)
    await ben.expect(op="ohi", **{"from": ann.uid}, status=1)
    begun = time.monotonic()
    await asyncio.to_thread(other.run, HIDE.format(uid=ann.uid, presence="NOBODY"))
    await ben.expect(op="ohi", **{"from": ann.uid}, status=2)
    await asyncio.to_thread(other.run, HIDE.format(uid=ann.uid, presence="EVERYONE"))
    await ben.expect(op="ohi", **{"from": ann.uid}, status=1)
    await asyncio.to_thread(other.run, DROP.format(uid=ann.uid))
    await ann.ended()
    await ben.expect(op="ohi", **{"from": ann.uid}, status=2)
    assert time.monotonic() - begun < 30  # half of POLL


async def login_when_free(server, client):
    """Log a client's node in as soon as the server that it was connected to has noticed that it is gone."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await server.login(client.uid, client.nodeid)
            except LoginRefused:
                await asyncio.sleep(0.05)


async def test_a_message_that_is_rolled_back_does_not_come(here, other):
    client = await here.register()
    rolled_back = SEND.format(uid=client.uid, body=b"never") + "    transaction.set_rollback(True)\n"
    other.run(rolled_back)
    other.run(SEND.format(uid=client.uid, body=b"then"))
    assert (await client.receive())[1] == b"then"


async def test_a_node_dropped_elsewhere_is_cut_off_and_stays_out(here, other):
    another, cut_off = await here.register(), []

    async def drop():
        cut_off.append(client := await here.register())
        await asyncio.to_thread(other.run, DROP.format(uid=client.uid))
        await client.ended()

    await in_time(1, drop)
    client = cut_off[-1]
    with pytest.raises(LoginRefused, match="login failed"):
        await here.login(client.uid, client.nodeid)
    another.post("1", [another.uid], b"x")
    assert (await another.expect(op="delivery"))[1] == b"x"


@pytest.mark.parametrize("in_bulk", [False, True], ids=["saved", "updated"])
async def test_devices_of_a_disabled_account_are_cut_off_and_let_in_again(here, other, in_bulk):
    """Nothing is lost: what was sent meanwhile waits for them. Other devices notice nothing."""
    another, cut_off = await here.register(), []

    async def disable():
        cut_off.append(client := await here.register())
        await asyncio.to_thread(other.run, ACTIVE.format(uid=client.uid, active=False, in_bulk=in_bulk))
        await client.ended()

    await in_time(1, disable)
    client = cut_off[-1]
    with pytest.raises(LoginRefused, match="login failed"):
        await here.login(client.uid, client.nodeid)
    another.post("1", [client.uid, another.uid], b"x")
    assert (await another.expect(op="delivery"))[1] == b"x"
    await asyncio.to_thread(other.run, ACTIVE.format(uid=client.uid, active=True, in_bulk=in_bulk))
    back = await here.login(client.uid, client.nodeid)
    assert (await back.expect(op="delivery"))[1] == b"x"


async def test_two_servers_on_one_database(here, there):
    ann, ben = await here.register(), await there.register()
    numbers = itertools.count()

    async def post():
        ben.post(f"{next(numbers)}", [ann.uid], b"from there")
        ack, _ = await ben.expect(op="ack")
        header, data = await ann.expect(op="delivery", id=ack["msgid"])
        assert data == b"from there"
        ann.acknowledge(header["id"])

    await in_time(1, post)
    ann.post("2", [ben.uid], b"from here")
    assert (await ben.expect(op="delivery"))[1] == b"from here"
    with pytest.raises(LoginRefused, match="node already connected"):
        await there.login(ann.uid, ann.nodeid)


async def test_after_kill_9_its_nodes_are_free_at_once(here, there):
    """The lock of a lease ends with the process that held it."""
    ann, ben, eve = await here.register(), await there.register(), await here.register()
    await announce(ann, ben.uid)
    await ben.expect(op="ohi", status=1)
    here.kill()
    elsewhere = await there.login(eve.uid, eve.nodeid)
    await ben.expect(op="ohi", **{"from": ann.uid}, status=2)
    ben.post("0", [eve.uid], b"here you are")
    assert (await elsewhere.expect(op="delivery"))[1] == b"here you are"
    await here.restart()
    again = await here.login(ann.uid, ann.nodeid)
    ben.post("1", [ann.uid], b"welcome back")
    assert (await again.expect(op="delivery"))[1] == b"welcome back"


async def test_after_a_stop_its_nodes_are_free_at_once(here, there):
    ann = await here.register()
    stopping = asyncio.create_task(here.stop())
    await ann.ended()
    assert await stopping == 0
    await there.login(ann.uid, ann.nodeid)
    await here.restart()


async def test_a_large_message_of_another_servers_client(site, here, there):
    ann, ben = await here.register(), await there.register()
    body = bytes(range(256)) * 1000
    ben.post("1", [ann.uid], body)
    header, data = await ann.expect(op="delivery")
    assert data == body
    ann.acknowledge(header["id"])
    await until(lambda: not site.spool_files)

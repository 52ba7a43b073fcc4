"""The dispatcher in memory: from a stored message to the links, and from an ack to the next message."""

import pytest

from tmtp.engine.dispatcher import Dispatcher
from tmtp.services.queue.batch import Parcel
from tmtp.services.queue.queue import NORMAL

NODES, BATCH = 200, 200


class NoStore:
    """A store that accepts acks, and in which all queues are empty."""

    def acknowledge(self, entry):
        pass

    def read(self, function, done):
        done(([], True))


@pytest.fixture
def dispatcher():
    dispatcher = Dispatcher(NoStore(), nothing, nothing)
    for node in range(NODES):
        dispatcher.attach(node, nothing, nothing)
    return dispatcher


def nothing(*_):
    pass


def parcels():
    nodes = [[n % NODES, (n + 1) % NODES] for n in range(BATCH)]
    return [Parcel(1_700_000_000_000_000_000 + n, NORMAL, b"x" * 700, None, nodes[n]) for n in range(BATCH)]


def test_deliver_and_acknowledge_400(benchmark, dispatcher):
    def work(batch):
        dispatcher.deliver(batch)
        for parcel in batch:
            for node in parcel.nodes:
                lane = dispatcher.lanes[node]
                lane.sent(parcel, 0.0)
                dispatcher.acknowledge(lane, parcel.msgid)

    benchmark.pedantic(work, setup=lambda: ((parcels(),), {}), rounds=200)
    assert not any(lane.flight or lane.waiting for lane in dispatcher.lanes.values())

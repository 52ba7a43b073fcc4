"""Posts per second and processor time per post: 200 clients that post 400 octets to two others each, over TLS."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from .place import Databases, parts_of, redis

if TYPE_CHECKING:
    from ..load import Target

CLIENTS = 200
WARM_UP = 1.0  # seconds
HEADINGS = (
    "setup",
    "posts/s",
    "us/post",
    "ratio",
    "links",
    "store",
    "PostgreSQL",
    "Redis",
    "ack p50",
    "deliv. p50",
    "",
)


@dataclass(frozen=True)
class Setup:
    """What is measured: so many servers on a database."""

    name: str
    database: str
    servers: int = 1
    arguments: tuple[str, ...] = ()
    redis: bool = False
    beside: str = ""  # the setup to compare the processor time with


SETUPS = (
    Setup("SQLite, one process", "SQLite"),
    Setup("SQLite, --processes 2", "SQLite", 1, ("--processes", "2"), beside="SQLite, one process"),
    Setup("PostgreSQL, one process", "PostgreSQL"),
    Setup("PostgreSQL, --processes 2", "PostgreSQL", 1, ("--processes", "2"), beside="PostgreSQL, one process"),
    Setup("PostgreSQL, three runtmtp", "PostgreSQL", 3, beside="PostgreSQL, one process"),
    Setup("- with Redis", "PostgreSQL", 3, redis=True, beside="PostgreSQL, one process"),
)


@dataclass
class Round:
    """Figures of one round. Processor time is in microseconds per post, latency in milliseconds."""

    rate: float
    ack: float
    delivery: float
    parts: dict[str, float] = field(default_factory=dict)
    trouble: str = ""


def measure(databases: Databases, rounds: int, seconds: float) -> list[tuple[str, ...]]:
    """Measure all setups in turn, so many rounds. Return the headings and rows of the table."""
    found: dict[str, list[Round]] = {setup.name: [] for setup in SETUPS}
    for _ in range(rounds):
        for setup in SETUPS:
            found[setup.name].append(_round(databases, setup, seconds))
    cost = {name: median(sum(one.parts.values()) for one in them) for name, them in found.items()}
    return [HEADINGS, *[_row(setup, found[setup.name], cost) for setup in SETUPS]]


def _round(databases: Databases, setup: Setup, seconds: float) -> Round:
    from ..load import Target

    with (
        redis() if setup.redis else nullcontext() as running,
        databases.place(setup.database, setup.servers, setup.arguments, running) as place,
    ):
        cert = (place.site.folder / "tls" / "cert.pem").read_text()
        targets = [Target(("127.0.0.1", server.port), cert, server.pid) for server in place.servers]
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            pool.submit(begin, targets).result()
            before = parts_of(place)
            figures = pool.submit(post, seconds).result()
            after = parts_of(place)
    posts = max(1, figures.pop("posts"))
    return Round(**figures, parts={name: (after[name] - before[name]) / posts * 1e6 for name in before})


def _row(setup: Setup, rounds: list[Round], cost: dict[str, float]) -> tuple[str, ...]:
    def mid(name: str) -> float:
        return median(getattr(one, name) for one in rounds)

    parts = {name: median(one.parts[name] for one in rounds) for name in rounds[0].parts}
    return (
        setup.name,
        f"{mid('rate'):,.0f}",
        f"{cost[setup.name]:.0f}",
        f"{cost[setup.name] / cost[setup.beside]:.2f}" if setup.beside in cost else "",
        *[f"{value:.0f}" if value else "" for value in parts.values()],
        f"{mid('ack'):.0f}",
        f"{mid('delivery'):.0f}",
        "; ".join(one.trouble for one in rounds if one.trouble),
    )


# in the process that generates the load

_state: dict[str, Any] = {}


def begin(targets: list[Target]) -> None:
    """Register the clients and log them in, spread over the servers."""
    import uvloop

    from ..load import Load

    loop = _state["loop"] = uvloop.new_event_loop()
    load = _state["load"] = Load(targets[0], targets[1:])

    async def connect() -> None:
        await load.world.populate(CLIENTS, lambda phase: None)
        await load.connect(load.world.users)

    loop.run_until_complete(connect())
    post(WARM_UP)


def post(seconds: float) -> dict[str, Any]:
    """Post as fast as all acks allow. Return the figures of a Round, and the number of posts."""
    from ..measure import percentile
    from ..works import to_two

    load = _state["load"]

    async def work() -> float:
        load.reset()
        begun = time.perf_counter()
        await load.closed_loop(load.world.users, to_two(load.world), begun + seconds)
        took = time.perf_counter() - begun
        await load.settle()
        return took

    took = _state["loop"].run_until_complete(work())
    return {
        "posts": load.acked,
        "rate": load.acked / took,
        "ack": 1000 * percentile(sorted(load.acks_taken), 50),
        "delivery": 1000 * percentile(sorted(load.taken), 50),
        "trouble": load.trouble,
    }

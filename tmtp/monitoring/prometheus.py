"""The metrics, in the text format of Prometheus. docs/how-to/monitor.md lists them.

Nothing is counted here: the figures are those of a `Status`, so one process can give the metrics of all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ..conf import conf
from .status import Status, age_of

__all__ = ["CONTENT_TYPE_LATEST", "metrics"]

# name of the metric, name of the figure, help
COUNTERS = (
    ("tmtp_logins", "logins", "Logins of devices."),
    ("tmtp_registrations", "registrations", "Registrations of devices."),
    ("tmtp_posts", "posts", "Posts that were stored."),
    ("tmtp_entries", "entries", "Posts, pings and notices, for each node that they were queued for."),
    ("tmtp_deliveries", "deliveries", "Messages that a node acknowledged."),
    ("tmtp_resent", "resent", "Times that a node was sent again what it had not acknowledged."),
    ("tmtp_failed_batches", "failed_batches", "Batches that could not be committed."),
    ("tmtp_errors", "errors", "Lines of the log of level ERROR or higher."),
    ("tmtp_cpu_seconds", "cpu_seconds", "CPU time of the process."),
)
GAUGES = (
    ("tmtp_links", "links", "Open links, logged in or not."),
    ("tmtp_nodes_connected", "nodes", "Nodes that are connected."),
    ("tmtp_store_waiting", "store_waiting", "Requests that wait to be stored."),
    ("tmtp_since_commit_seconds", "since_commit", "Time since the last commit; a server commits every 5 s."),
    (
        "tmtp_oldest_in_flight_seconds",
        "oldest_in_flight",
        "Age of the oldest message that was sent and not acknowledged.",
    ),
    ("tmtp_draining", "draining", "1 when the server is stopping."),
    ("tmtp_memory_bytes", "memory", "Resident memory of the process."),
)
HISTOGRAMS = (
    ("tmtp_commit_seconds", "commit_seconds", "Time that a commit took."),
    ("tmtp_batch_seconds", "batch_seconds", "Time that a batch took, with its commit."),
    ("tmtp_batch_jobs", "batch_jobs", "Requests and acknowledgements in a batch."),
    ("tmtp_loop_late_seconds", "loop_late_seconds", "How late the event loop was, measured each second."),
)


def metrics(status: Status) -> bytes:
    """Return the metrics of a status."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(status))
    return generate_latest(registry)


class _Figures(Collector):
    def __init__(self, status: Status) -> None:
        self._status = status
        self._servers = [server for server in status.servers if server.values]

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        yield GaugeMetricFamily("tmtp_database_up", "1 when the database could be read.", not self._status.error)
        info = GaugeMetricFamily(
            "tmtp_server_up", "1 when the server has renewed its lease.", labels=["server", "address"]
        )
        for server in self._status.servers:
            info.add_metric([server.name, server.address], server.runs)
        yield info
        yield from self._of_servers()
        yield from self._of_the_whole()

    def _of_servers(self) -> Iterator[Metric]:
        for name, figure, text in COUNTERS:
            yield self._of_each(CounterMetricFamily(name, text, labels=["server"]), figure)
        for name, figure, text in GAUGES:
            yield self._of_each(GaugeMetricFamily(name, text, labels=["server"]), figure)
        for name, figure, text in HISTOGRAMS:
            histogram = HistogramMetricFamily(name, text, labels=["server"])
            for server in self._servers:
                if figure in server.values:
                    buckets, total = _buckets(server.values[figure])
                    histogram.add_metric([server.name], buckets, total)
            yield histogram
        refusals = CounterMetricFamily(
            "tmtp_refusals", "Requests and links that were refused.", labels=["server", "reason"]
        )
        for server in self._servers:
            for reason, count in server.values.get("refusals", {}).items():
                refusals.add_metric([server.name, reason], count)
        yield refusals

    def _of_each(self, family: Any, figure: str) -> Metric:
        for server in self._servers:
            if figure in server.values:
                family.add_metric([server.name], server.values[figure])
        result: Metric = family
        return result

    def _of_the_whole(self) -> Iterator[Metric]:
        whole = self._status.whole
        if "spool_octets" in whole:
            yield GaugeMetricFamily(
                "tmtp_spool_bytes", "Bodies of waiting messages in the spool.", whole["spool_octets"]
            )
        room = GaugeMetricFamily("tmtp_disk_free_bytes", "Free room on the disks.", labels=["disk"])
        for disk, free in whole.get("disk_free", {}).items():
            room.add_metric([disk], free)
        yield room
        yield GaugeMetricFamily(
            "tmtp_disk_floor_bytes", "Below so much free room, posts are refused.", conf.MIN_FREE or 0
        )
        depth = GaugeMetricFamily("tmtp_queue_messages", "Messages that wait, by the kind of node.", labels=["kind"])
        age = GaugeMetricFamily("tmtp_queue_oldest_seconds", "Age of the oldest that waits.", labels=["kind"])
        for kind, queue in whole.get("queues", {}).items():
            depth.add_metric([kind], queue["waiting"])
            age.add_metric([kind], age_of(queue["oldest"]))
        yield depth
        yield age
        workers = whole.get("workers")
        if workers:
            yield GaugeMetricFamily("tmtp_worker_up", "1 when a worker has run lately.", not workers["missing"])
            yield GaugeMetricFamily(
                "tmtp_worker_lag_seconds", "How late the latest task of workers is.", workers["lag"]
            )
            yield GaugeMetricFamily("tmtp_worker_tasks", "Tasks that wait for a worker.", workers["waiting"])


def _buckets(figures: dict[str, Any]) -> tuple[list[tuple[str, float]], float]:
    """Return the buckets of a histogram as Prometheus counts them, each with all below it, and the sum."""
    buckets, below = [], 0
    for bound, count in zip([*figures["bounds"], "+Inf"], figures["counts"], strict=True):
        below += count
        buckets.append((str(bound), float(below)))
    return buckets, figures["sum"]

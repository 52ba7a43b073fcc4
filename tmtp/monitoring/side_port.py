"""A small HTTP server beside `runtmtp`, with probes and metrics (TMTP["METRICS"]).

It runs in threads of its own, so that a slow client or database does not trouble the event loop, and it answers when
the loop does not.
"""

from __future__ import annotations

import socket
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import Any, TypeVar

from django.db import connection

from ..conf import conf
from ..engine.engine import Engine
from . import status
from .answers import NEEDS_TOKEN, PLAIN, readiness, shows_token
from .health import COMMIT_LATE, Check, check_database_and_disk

T = TypeVar("T")
LOOP_LATE = 10.0  # seconds; the event loop ticks each second
REQUESTS = 8  # at a time
PATIENCE = 4.0  # seconds for the database
STALLED = 5.0  # seconds in which a client sends or takes something
LONGEST = 10.0  # seconds for a whole request and its answer: clients that drip must not take all places


class SidePort:
    """Serves the probes and metrics of an engine on a socket that is bound to its address."""

    def __init__(self, sock: socket.socket, engine: Engine) -> None:
        self._server = _Server(sock, engine)
        self._thread = threading.Thread(target=self._server.serve_forever, name="tmtp-metrics", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, sock: socket.socket, engine: Engine) -> None:
        super().__init__(sock.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = sock
        self.socket.setblocking(True)
        self.server_activate()
        self.engine = engine
        self._free = threading.BoundedSemaphore(REQUESTS)
        self._database = ThreadPoolExecutor(1, "tmtp-metrics-database")
        self._asked: Future[Any] | None = None

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, or close the connection if there are too many."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and cut a client off that takes too long."""
        deadline = threading.Timer(LONGEST, _cut_off, (request,))
        deadline.daemon = True
        deadline.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            deadline.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Leave out the traceback: the client has gone away."""

    def checks(self) -> list[Check]:
        """Return what must be so for this server to be ready."""
        return [
            Check("running", bool(self.engine.lease.id) and not self.engine.figures.draining),
            Check("loop", self.loop_is_alive()),
            Check("store", self.store_is_alive()),
            *self._ask(check_database_and_disk, [Check("database", False)]),
        ]

    def loop_is_alive(self) -> bool:
        """Return whether the event loop has ticked lately."""
        return self.engine.counters.since_tick() < LOOP_LATE

    def store_is_alive(self) -> bool:
        """Return whether the store has committed lately."""
        store = self.engine.store
        return not store.broken and store.figures()["since_commit"] < COMMIT_LATE

    def metrics(self) -> bytes:
        """Return the metrics of this server, and of those on the same host and address, which are its siblings."""
        from . import prometheus  # optional

        own, values = self.engine.lease.id, self.engine.figures.values
        found = self._ask(lambda: status.read(own, values), status.Status(error="Late"))
        mine = next((server for server in found.servers if server.lease == own), None)
        if mine is None:
            found.servers = [status.Server.of_this_process(own, self.engine.address, values())]
        else:
            found.servers = [one for one in found.servers if (one.host, one.address) == (mine.host, mine.address)]
        return prometheus.metrics(found)

    def _ask(self, question: Any, otherwise: T) -> T:
        """Return the answer of the database, or the second value if it does not come in time.

        All questions are asked in one thread: while the database does not answer, there is only one connection.
        """
        if self._asked and not self._asked.done():
            return otherwise
        self._asked = self._database.submit(_ask_and_close, question)
        try:
            result: T = self._asked.result(PATIENCE)
        except Late:
            return otherwise
        return result


def _cut_off(request: socket.socket) -> None:
    with suppress(OSError):  # it has ended just now
        request.shutdown(socket.SHUT_RDWR)


def _ask_and_close(question: Any) -> Any:
    try:
        return question()
    finally:
        connection.close()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = STALLED
    server_version, sys_version = "tmtp", ""

    def do_GET(self) -> None:
        """Answer a probe, or with the metrics."""
        path = self.path.partition("?")[0]
        if path == "/healthz":
            alive = self.server.loop_is_alive() and not self.server.engine.store.broken
            self._answer(*((200, "ok\n") if alive else (503, "the server hangs\n")))
        elif path == "/readyz":
            self._answer(*readiness(self.server.checks()))
        elif path != "/metrics":
            self._answer(404, "There are /healthz, /readyz and /metrics.\n")
        elif conf.METRICS_TOKEN and not shows_token(self.headers.get("Authorization", "")):
            self._answer(403, NEEDS_TOKEN)
        else:
            self._send_metrics()

    do_HEAD = do_GET

    def _send_metrics(self) -> None:
        from .prometheus import CONTENT_TYPE_LATEST

        self._answer(200, self.server.metrics(), CONTENT_TYPE_LATEST)

    def _answer(self, code: int, text: str | bytes, kind: str = PLAIN) -> None:
        body = text.encode() if isinstance(text, str) else text
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log no requests."""

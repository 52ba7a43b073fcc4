"""The supervisor: the process that starts the others, restarts them, and ends them.

It has no event loop and no connection to the database, so that it can fork at any time. It starts the process of the
store and those of links. One of links that ends is started again. If the store's process ends, all end, since links
cannot store anything; whoever started the supervisor starts it again. One that hangs is killed.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from ..conf import conf
from ..server.sockets import share_of
from ..services.storage import spool
from .children import run_links, run_store
from .control import ALIVE, ASK, DRAIN, LINKS, READY, STOP
from .serving import Setup, run
from .succession import Succession, after_hang_up

log = logging.getLogger("tmtp")
SIGNALS = (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
STOP_PATIENCE = 6.0  # seconds for processes to end before they are killed
RESTART_PAUSE = 0.5  # seconds
ASK_PAUSE = 1.0  # seconds between two times that processes are asked whether they still run


@dataclass(eq=False)
class Child:
    """A process that was started. `number` is that of a process of links, None for the store's."""

    number: int | None
    pid: int
    control: socket.socket
    ready: bool = False
    unanswered: int = 0  # how many times in a row it was to answer and has not
    started: float = field(default_factory=time.monotonic)

    def tell(self, octet: bytes, *sockets: socket.socket) -> None:
        """Tell it something. Do nothing if it has ended."""
        with suppress(OSError):
            socket.send_fds(self.control, [octet], [one.fileno() for one in sockets])


class Supervisor:
    """Runs the store and `count` processes of links. `serving` is called when all of them serve."""

    def __init__(self, setup: Setup, count: int, serving: Callable[[], None]) -> None:
        self._setup = setup
        self._count = count
        self._serving = serving
        self._children: dict[int, Child] = {}
        self._store: Child | None = None
        self._due: list[tuple[float, Callable[[], None]]] = []  # what to do later
        self._selector = selectors.DefaultSelector()
        self._succession = Succession(setup, self, self._drain)
        self._announced = False
        self._draining = False
        self._stopping = False
        self._failed = False

    def run(self) -> bool:
        """Run until a signal ends it. Return False if the service has failed."""
        self._watch_signals()
        self._store = self._start(None, run_store)
        for number in range(self._count):
            self._start_links(number)
        self._ask()
        while self._children:
            left = min((when for when, _ in self._due), default=None)
            self._wait(None if left is None else max(0.0, left - time.monotonic()))
            self._do_what_is_due()
        self._succession.end()
        return not self._failed

    def _watch_signals(self) -> None:
        self._wakeup, wakeup = socket.socketpair()
        wakeup.setblocking(False)
        self._wakeup.setblocking(False)
        self._wakeup_end = wakeup
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)  # the wakeup socket has the signal's number
        signal.set_wakeup_fd(wakeup.fileno())
        self.watch(self._wakeup, self._read_signals)

    def _read_signals(self) -> None:
        numbers = set(self._wakeup.recv(4096))
        if numbers & {signal.SIGINT, signal.SIGTERM}:
            self._stop()
        elif signal.SIGHUP in numbers:
            after_hang_up(self._succession.begin, self._stop)
        self._collect()

    def _wait(self, seconds: float | None) -> None:
        """Wait so many seconds for something to happen, and act on it."""
        for key, _ in self._selector.select(seconds):
            if key in self._selector.get_map().values():  # else what came before has closed it
                key.data()

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        due = [act for when, act in self._due if when <= now]
        self._due = [(when, act) for when, act in self._due if when > now]
        for act in due:
            act()

    def watch(self, sock: socket.socket | int, act: Callable[[], None]) -> None:
        """Call `act` when a socket can be read."""
        self._selector.register(sock, selectors.EVENT_READ, act)

    def unwatch(self, sock: socket.socket | int) -> None:
        """Stop that."""
        self._selector.unregister(sock)

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Call `act` later."""
        self._due.append((time.monotonic() + seconds, act))

    # start

    def _start_links(self, number: int) -> None:
        if self._stopping or self._draining or self._store is None:
            return
        sockets = share_of(self._setup.sockets, number, self._count)
        setup = replace(self._setup, sockets=sockets, side=None if number else self._setup.side)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._start(number, lambda control: run_links(setup, number, ours, control), [*sockets, setup.side])
            self._store.tell(LINKS, theirs)

    def _start(
        self,
        number: int | None,
        work: Callable[[socket.socket], Coroutine[Any, Any, int]],
        its_sockets: Sequence[socket.socket | None] = (),
    ) -> Child:
        """Start a process, which keeps those of the listening sockets that are its own."""
        control, its_control = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            control.close()
            self._close_sockets(its_sockets)
            self._become_child(lambda: run(work(its_control)))
        its_control.close()
        child = self._children[pid] = Child(number, pid, control)
        self.watch(control, lambda: self._listen(child))
        return child

    def _become_child(self, work: Callable[[], int]) -> NoReturn:
        """Run the work in the process that was forked, and end it. Nothing of the supervisor may stay open."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            self._selector.close()
            self._wakeup.close()
            self._wakeup_end.close()
            self._setup.predecessor.leave()
            for child in self._children.values():
                child.control.close()
            code = work()
            spool.finish_discarding()
        except BaseException:
            log.critical("a process has failed", exc_info=True)
        finally:
            with suppress(Exception):
                logging.shutdown()
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _listen(self, child: Child) -> None:
        """Note that a process is ready, or, at the end of its socket, wait for its end."""
        octet = b""
        with suppress(OSError):
            octet = child.control.recv(1)
        if not octet:
            self.unwatch(child.control)
            return
        child.ready |= octet == READY
        if octet == ALIVE:
            child.unanswered = 0
        if not self._announced and all(one.ready for one in self._children.values()):
            self._announced = True
            self._succession.listen()
            self._serving()

    # a process that hangs

    def _ask(self) -> None:
        """Ask the processes that serve whether they still run. Kill those that have not answered for too long.

        Each second counts only when it is this process's, too: nobody is to blame while the machine sleeps or is
        overloaded.
        """
        for child in [child for child in self._children.values() if child.ready]:
            if not child.unanswered:
                child.tell(ASK)
            child.unanswered += 1
            if conf.PROCESS_TIMEOUT is not None and child.unanswered * ASK_PAUSE > conf.PROCESS_TIMEOUT:
                self._kill(child, f"has not answered for {conf.PROCESS_TIMEOUT:g} seconds")
                child.ready = False
        self.later(ASK_PAUSE, self._ask)

    # end

    def _collect(self) -> None:
        """Act on the end of processes."""
        for child in list(self._children.values()):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                self._ended(child, os.waitstatus_to_exitcode(status))

    def _ended(self, child: Child, code: int) -> None:
        del self._children[child.pid]
        with suppress(KeyError):
            self.unwatch(child.control)
        child.control.close()
        if self._stopping:
            if self._store and set(self._children.values()) <= {self._store}:
                self._store.tell(STOP)
        elif child is self._store:
            log.critical("the store's process has ended (%s); the service ends", code)
            self._fail()
        elif not self._announced:
            self._fail()  # it has said why
        elif self._draining:
            if not self._links():
                self._stop()
        else:
            log.error("a process of links has ended (%s); it is started again", code)
            self.later(RESTART_PAUSE, lambda: self._start_links(child.number or 0))

    def _fail(self) -> None:
        self._failed = True
        self._stop()

    def _drain(self) -> None:
        """Have the processes of links drain: a successor serves."""
        self._draining = True
        self._close_sockets()
        for child in self._links():
            child.tell(DRAIN)

    def _stop(self) -> None:
        """Have the processes of links end, then the store's."""
        if self._stopping:
            return
        self._stopping = True
        self._succession.end()
        self._close_sockets()
        for child in self._links() or self._children.values():
            child.tell(STOP)
        self.later(STOP_PATIENCE, self._kill_all)

    def _links(self) -> list[Child]:
        return [child for child in self._children.values() if child is not self._store]

    def _close_sockets(self, besides: Sequence[socket.socket | None] = ()) -> None:
        for sock in (*self._setup.sockets, self._setup.side):
            if sock and sock not in besides:
                sock.close()

    def _kill_all(self) -> None:
        for child in self._children.values():
            self._kill(child, "does not end")

    def _kill(self, child: Child, why: str) -> None:
        work = "the store's process" if child is self._store else "a process of links"
        log.error("%s (%s) %s, and is killed", work, child.pid, why)
        os.kill(child.pid, signal.SIGKILL)

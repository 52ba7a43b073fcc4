"""Python processes that are forked from one that has imported the libraries: importing them takes most of a start.

    with forking():
        subprocess.run([sys.executable, "manage.py", "check"])

In the block, `subprocess` starts Python in this way, unless something is asked for that only a new interpreter has. It
is a process of its own all the same, a child of this one, with its own environment, folder, streams and exit status,
and it imports this project's code itself. The server that forks knows no settings and nothing of this project.
"""

from __future__ import annotations

import atexit
import codecs
import contextlib
import ctypes
import gc
import importlib
import inspect
import io
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

LIBRARIES = (  # those that take long to import, and import without settings
    "PIL.Image",
    "asyncio",
    "channels.layers",
    "channels.routing",
    "cryptography.hazmat.primitives.asymmetric.ec",
    "cryptography.x509",
    "django.contrib.admin",
    "django.contrib.auth.hashers",
    "django.contrib.auth.password_validation",
    "django.core.handlers.asgi",
    "django.core.management.commands.check",
    "django.core.management.commands.migrate",
    "django.db.backends.postgresql.base",
    "django.db.backends.sqlite3.base",
    "django.db.migrations.autodetector",
    "django.db.models",
    "django.forms",
    "django.template.defaulttags",
    "django.test",
    "fido2.server",
    "google_crc32c",
    "http.server",
    "logging.config",
    "markdown_it",
    "msgspec",
    "oauthlib.oauth2",
    "prometheus_client",
    "psutil",
    "psycopg",
    "pydantic.json_schema",
    "pydantic.types",
    "requests",
    "unicodedata",
    "urllib.request",
    "uvloop",
)
MOST_OCTETS = 2**20  # of a request
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
STREAMS = 0, 1, 2
THRESHOLDS = 10_000, 10, 100  # of garbage collection: as conftest.py has them
INTERPRETERS_OWN = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_")  # variables that only a new interpreter obeys
OTHERS = {"PYTHONIOENCODING", "PYTHONPATH", "PYTHONUNBUFFERED"}  # variables of Python that a forked process obeys, too


# In the process of the tests.


@contextlib.contextmanager
def forking(libraries: Sequence[str] = LIBRARIES) -> Iterator[None]:
    """Let `subprocess` fork Python processes until the block ends. On other systems than Linux, do nothing."""
    if sys.platform != "linux":
        yield
        return
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    server = Forkserver(libraries)
    plain = subprocess.Popen

    class Popen(plain):  # type: ignore[misc,valid-type]
        """A process, which is forked if that makes no difference."""

        def _execute_child(self, *args: Any) -> None:
            given = inspect.signature(super()._execute_child).bind(*args).arguments
            if not server.can_start(given):
                super()._execute_child(*args)
                return
            pipes = [given[name] for name in ("p2cread", "c2pwrite", "errwrite")]
            self.pid = server.start(
                given, [own if pipe == -1 else pipe for own, pipe in zip(STREAMS, pipes, strict=True)]
            )
            self._child_created = True
            names = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
            self._close_pipe_fds(*[given[name] for name in names])

    subprocess.Popen = Popen  # type: ignore[misc]
    try:
        yield
    finally:
        subprocess.Popen = plain  # type: ignore[misc]
        server.close()


class Forkserver:
    """The process that others are forked from. It is started with the first of them, and ends with this process."""

    def __init__(self, libraries: Sequence[str]) -> None:
        self._libraries = libraries
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._env = {**os.environ}

    def can_start(self, given: dict[str, Any]) -> bool:
        """Return whether a process with these arguments of Popen can be forked."""
        from .processes import die_with_parent

        words = given["args"]
        unusual = ("executable", "pass_fds", "shell", "gid", "gids", "uid")
        if given["preexec_fn"] not in (None, die_with_parent()):
            return False
        if isinstance(words, str | bytes | os.PathLike) or any(
            given[name] not in (None, False, ()) for name in unusual
        ):
            return False
        first, *more = map(os.fspath, words)
        if first != sys.executable or not more or (more[0].startswith("-") and more[0] not in ("-c", "-m")):
            return False
        env = os.environ if given["env"] is None else given["env"]
        changed = {name for name, _ in {*env.items()} ^ {*self._env.items()}}
        folders = env.get("PYTHONPATH", "").split(os.pathsep)
        return not any(name.startswith(INTERPRETERS_OWN) for name in changed - OTHERS) and not any(
            Path(folder, "sitecustomize.py").exists() for folder in folders if folder
        )

    def start(self, given: dict[str, Any], streams: list[int]) -> int:
        """Start a process, and return its id."""
        order = {
            "words": [os.fspath(word) for word in given["args"]],
            "env": dict(os.environ if given["env"] is None else given["env"]),
            "cwd": os.fspath(given["cwd"] or Path.cwd()),
            "session": given["start_new_session"],
            "parent": os.getpid(),
        }
        with self._lock:
            if self._socket is None:
                self._socket = self._run()
            socket.send_fds(self._socket, [json.dumps(order).encode()], streams)
            return int(self._socket.recv(20))

    def _run(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        env = {name: value for name, value in self._env.items() if name not in OTHERS}
        with theirs:
            command = [sys.executable, __file__, str(theirs.fileno()), *self._libraries]
            self._process = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
            )
        return ours

    def close(self) -> None:
        """End the process. Those that were forked from it go on."""
        if self._socket:
            self._socket.close()
            self._process.wait()


# In the server.


def serve(link: socket.socket, libraries: Sequence[str]) -> dict[str, Any]:
    """Import the libraries, then fork for each request. Return in a process that was forked, with its request."""
    for name in libraries:
        with contextlib.suppress(ImportError):  # it is not installed
            importlib.import_module(name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    while True:
        request, streams, _, _ = socket.recv_fds(link, MOST_OCTETS, len(STREAMS))
        if not request:
            sys.exit()
        pid = fork_for_another_parent()
        if not pid:
            link.close()
            atexit.register(gc.freeze)  # to look for cycles at the end would take a fifth of a command's time
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for own, stream in zip(STREAMS, streams, strict=True):
                os.dup2(stream, own)
                os.close(stream)
            return dict(json.loads(request))
        for stream in streams:
            os.close(stream)
        link.send(str(pid).encode())


def fork_for_another_parent() -> int:
    """Fork a process whose parent is this process's parent. Return its id here, and 0 there.

    A process whose parent has ended is adopted by the nearest ancestor with PR_SET_CHILD_SUBREAPER.
    """
    reader, writer = os.pipe()
    between = os.fork()
    if between:
        os.close(writer)
        with open(reader) as told:
            pid = int(told.read(20))
        os.waitpid(between, 0)
        return pid
    if pid := os.fork():
        os.write(writer, str(pid).encode())
        os._exit(0)
    os.close(reader)
    os.close(writer)
    return 0


def become(order: dict[str, Any], paths: list[str]) -> None:
    """Make of this process what was asked for. `paths` are those of an interpreter without PYTHONPATH."""
    while os.getppid() != order["parent"]:
        time.sleep(0.0005)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if order["session"]:
        os.setsid()
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    time.tzset()
    renew_streams()
    sys.path[:] = [*filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), *paths]
    importlib.invalidate_caches()
    sys.orig_argv[:] = order["words"]


def renew_streams() -> None:
    """Open the standard streams as Python does: those of the server know what it had there."""
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    given, _, errors = os.environ.get("PYTHONIOENCODING", "").partition(":")
    encoding = codecs.lookup(given or sys.stdout.encoding).name
    errors = errors or ("strict" if given else sys.stdout.errors)
    out = open(1, "wb", 0 if unbuffered else -1, closefd=False)  # noqa: SIM115
    sys.stdin = sys.__stdin__ = open(0, errors=errors, encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stdout = sys.__stdout__ = io.TextIOWrapper(
        out, encoding, errors, line_buffering=out.isatty(), write_through=unbuffered
    )
    sys.stderr = sys.__stderr__ = open(2, "w", 1, encoding, "backslashreplace", closefd=False)  # noqa: SIM115


def run(words: list[str]) -> None:
    """Do what Python does with these arguments."""
    if words[0] == "-c":
        sys.argv[:] = ["-c", *words[2:]]
        sys.path.insert(0, "")
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(words[1], "<string>", "exec"), vars(main))
    elif words[0] == "-m":
        sys.argv[:] = words[1:]
        sys.path.insert(0, os.getcwd())
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv[:] = words
        sys.path.insert(0, os.path.dirname(os.path.realpath(words[0])))
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    paths_ = sys.path[1:]
    order_ = serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
    become(order_, paths_)
    run(order_["words"][1:])

"""A Python process of a test, which is forked (`forkserver`), cannot tell itself from one that was started anew."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .processes import die_with_parent

pytestmark = [pytest.mark.once, pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked")]

TELL = """
import json, os, random, sys
own = {"argv": sys.argv, "asked": sys.orig_argv[1:], "cwd": os.getcwd(), "parent": os.getppid(), "name": __name__}
own |= {"env": dict(os.environ), "path": sys.path, "session": os.getsid(0) == os.getpid(), "random": random.random()}
own |= {"read": sys.stdin.read(), "project": [name for name in sys.modules if name.partition(".")[0] == "tmtp"]}
own |= {"forked": "django" in sys.modules}
print(json.dumps(own))
print("to standard error", file=sys.stderr)
sys.exit(7)
"""


def test_what_a_process_sees_and_says(tmp_path: Path) -> None:
    (tmp_path / "tell.py").write_text(TELL)
    env = {**os.environ, "ONLY": "this", "PYTHONPATH": str(tmp_path / "path")}
    asked = (["-c", TELL, "a", "ü"], ["-m", "tell", "a", "ü"], ["tell.py", "a", "ü"])
    numbers = set()
    for words in asked:
        command = [sys.executable, *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=env, input="hello", capture_output=True, text=True, start_new_session=True
        )
        assert (done.returncode, done.stderr) == (7, "to standard error\n")
        own = json.loads(done.stdout)
        first = {"-c": "-c", "-m": str(tmp_path / "tell.py"), "tell.py": "tell.py"}[words[0]]
        assert (own["argv"], own["asked"]) == ([first, "a", "ü"], words)
        assert own["path"][:2] == ["" if words[0] == "-c" else str(tmp_path), str(tmp_path / "path")]
        assert (own["cwd"], own["parent"], own["name"]) == (str(tmp_path), os.getpid(), "__main__")
        assert own["env"] == env
        assert (own["read"], own["session"], own["project"], own["forked"]) == ("hello", True, [], True)
        numbers.add(own["random"])
    assert len(numbers) == len(asked)


def test_how_a_process_ends() -> None:
    sleep = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"]
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
        with subprocess.Popen(sleep, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            assert process.poll() is None
            process.send_signal(number)
            assert process.wait(60) == -number
    done = subprocess.run([sys.executable, "-c", "1 / 0"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize("given", ["ascii", "latin-1:strict", ":replace", "utf-8:surrogateescape"])
def test_streams_have_the_encoding_that_is_asked_for(given: str) -> None:
    code = "import sys; print([(each.encoding, each.errors) for each in (sys.stdin, sys.stdout, sys.stderr)])"
    env = {**os.environ, "PYTHONIOENCODING": given}
    anew = ["-B"]  # with an option, a process is not forked
    forked, new = (subprocess.check_output([sys.executable, *option, "-c", code], env=env) for option in ([], anew))
    assert forked == new


NEW = {
    "a locale": ({"LC_ALL": "POSIX"}, {}),
    "work before the start": ({}, {"preexec_fn": die_with_parent(lambda: None)}),
    "open files": ({}, {"pass_fds": [0]}),
}


@pytest.mark.parametrize("env, options", NEW.values(), ids=NEW)
def test_what_only_a_new_interpreter_does_is_left_to_one(env: dict[str, str], options: dict[str, Any]) -> None:
    command = [sys.executable, "-c", "import sys; print('django' in sys.modules)"]
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, **options)
    assert done.stdout == b"False\n"

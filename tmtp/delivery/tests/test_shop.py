"""The example shop: website, service and worker are processes on SQLite, and any of them may be killed."""

from __future__ import annotations

import contextlib
import http.cookiejar
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tmtp.testing import Client, Frame, Server, running_server
from tmtp.tests.processes import free_port

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[3]
MANAGE = ROOT / "examples" / "shop" / "manage.py"
PATIENCE = 60
PREPARE = """
from django.core.management import call_command

call_command("tmtpcert")
call_command("migrate", verbosity=0)
"""
SET_UP = """
from django.contrib.auth import get_user_model
from orders.models import Order
from tmtp.models import User
from tmtp.services.people.linking import link_account

Account = get_user_model()
Account.objects.create_superuser("staff", "", "staff")
ann = Account.objects.create_user("ann")
link_account(User.objects.get(uid="{uid}"), ann)
for what in {orders}:
    Order.objects.create(customer=ann, what=what)
"""


class Shop:
    """A shop in a folder, and its processes."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.port, self.tmtp_port = free_port(), free_port()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MNM_", "TMTP_", "DJANGO"))}
        own = {"SHOP_VAR": str(folder), "SHOP_TMTP": f"127.0.0.1:{self.tmtp_port}", "DATABASE_URL": ""}
        self.env = kept | own | {"DJANGO_SETTINGS_MODULE": "shop.settings"}
        self.manage("shell", "-v0", "-c", PREPARE)

    def manage(self, *words: str) -> str:
        done = subprocess.run([sys.executable, MANAGE, *words], env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command that runs until it is killed or the test ends."""
        log = self.stack.enter_context((self.folder / f"{words[0]}.log").open("ab"))
        command = [sys.executable, str(MANAGE), *words]
        process = subprocess.Popen(command, env=self.env, stdout=log, stderr=log, start_new_session=True)
        self.stack.callback(kill, process)
        return process

    def serve(self) -> Server:
        """Start the service on its port."""
        run = running_server(manage=MANAGE, cert=self.folder / "cert.pem", env=self.env, port=self.tmtp_port)
        return self.stack.enter_context(run)

    def website(self) -> subprocess.Popen[bytes]:
        process = self.start("runserver", "--noreload", str(self.port))
        until(lambda: self.get("/admin/login/"))
        return process

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> str:
        with contextlib.suppress(OSError), self.browser.open(self.url + path, timeout=PATIENCE) as answer:
            return str(answer.read().decode())
        return ""

    def log_in(self) -> None:
        self.post("/admin/login/", "/admin/login/", username="staff", password="staff", next="/")

    def post(self, page: str, path: str, **form: str) -> bool:
        """Submit a form of a page, and return whether the site answered."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.get(page))
        if token is None:
            return False
        data = urllib.parse.urlencode({"csrfmiddlewaretoken": token[1], **form}).encode()
        try:
            with self.browser.open(self.url + path, data, timeout=PATIENCE) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def ship(self, order: int) -> None:
        """Press the button until the shop has answered."""
        until(lambda: self.post("/", f"/orders/{order}/ship/"))

    @property
    def browser(self) -> urllib.request.OpenerDirector:
        if not hasattr(self, "_browser"):
            cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
            self._browser = urllib.request.build_opener(cookies)
        return self._browser

    def answers(self) -> list[str]:
        """Return what customers have answered, as the shop's page shows it."""
        return re.findall(r"<li>(.*?)</li>", self.get("/"))


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process (kill -9) and its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def until(there: Callable[[], Any]) -> Any:
    """Call a function until its result is true, and return the result."""
    last = time.monotonic() + PATIENCE
    while not (found := there()):
        assert time.monotonic() < last, "it has not come"
        time.sleep(0.05)
    return found


def head_of(delivery: Frame) -> dict[str, Any]:
    head: dict[str, Any] = json.loads(delivery.data[: delivery.header["datahead"]])
    return head


def next_delivery(ann: Client, known: set[str]) -> Frame:
    """Return the next delivery. Skip one that is sent again because the service was killed before storing the ack."""
    while (delivery := ann.next_queued("delivery")).id in known:
        pass
    known.add(delivery.id)
    return delivery


def answer(ann: Client, delivery: Frame, text: str, request: str) -> None:
    """Answer as existing clients do: to everyone whom the thread names, except oneself."""
    head = head_of(delivery)
    to = [{"id": reader["whouid"], "type": 1} for reader in head["cc"] if reader["whouid"] != ann.uid]
    octets = json.dumps({"threadid": delivery.id, "alias": "ann of rome", "subject": ""}).encode()
    ann.ask({"op": 7, "id": request, "for": to, "datahead": len(octets)}, octets + text.encode())


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with contextlib.ExitStack() as stack:
        yield Shop(tmp_path, stack)


def test_orders_and_answers(shop: Shop) -> None:
    known: set[str] = set()
    website, server, worker = shop.website(), shop.serve(), shop.start("qcluster")
    with server.client(timeout=PATIENCE) as ann:
        ann.greet()
        ann.register("phone", "ann of rome")
        shop.manage("shell", "-v0", "-c", SET_UP.format(uid=ann.uid, orders=["a board", "a clock", "a book"]))
        shop.log_in()
        shop.ship(1)
        board = next_delivery(ann, known)
        assert head_of(board)["subject"] == "Your order 1 has shipped"
        answer(ann, board, "Thank you", "1")
        until(lambda: shop.answers() == ["Thank you"])

        # the worker is killed, and the answer waits for the next one
        kill(worker)
        answer(ann, board, "It is *broken*", "2")
        worker = shop.start("qcluster")
        until(lambda: shop.answers() == ["Thank you", "It is *broken*"])

        # the website is killed as the button is pressed, and it is pressed again
        press = threading.Thread(target=shop.post, args=("/", "/orders/2/ship/"))
        press.start()
        kill(website)
        press.join()
        shop.website()
        shop.ship(2)
        shop.ship(2)
        assert head_of(next_delivery(ann, known))["subject"] == "Your order 2 has shipped"
        uid, nodeid = ann.uid, ann.nodeid

    # the service is killed, and messages wait until it runs again
    server.stop(signal.SIGKILL)
    shop.ship(3)
    with shop.serve().client(timeout=PATIENCE) as ann:
        ann.greet()
        ann.log_in(uid, nodeid)
        book = next_delivery(ann, known)
        assert head_of(book)["subject"] == "Your order 3 has shipped"
        ann.uid = uid
        answer(ann, book, "At last", "3")
        until(lambda: len(shop.answers()) >= 3)
        assert sorted(shop.answers()) == ["At last", "It is *broken*", "Thank you"]

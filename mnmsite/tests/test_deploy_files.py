"""The files in deploy/: units that systemd accepts, nginx and HAProxy in front of a real service, the image."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from tmtp.server.certificate import make_self_signed
from tmtp.testing import Client, Server, frame, running_server
from tmtp.tests.conftest import site_of_its_own
from tmtp.tests.processes import free_port

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
VARIABLES = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs/reference/settings.md").read_text(), re.MULTILINE))
DEVICE = "127.0.0.5"  # the address of a device, which is not the proxy's
HOST = "mnm.example.org"
NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
{user}
{modules}
events {{}}
http {{
    access_log off;
    {temporary}
    include {folder}/mnm.conf;
}}
include {folder}/tmtp-stream.conf;
"""
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def program(name: str) -> str:
    """Return the path of a program. Skip the test without it; under CI, fail."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if not found:
        missing = f"{name} is needed (apt-get install {name})"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return found


# what is behind the proxies


class Echo(BaseHTTPRequestHandler):
    """Answers with the headers of the request, in the website's place."""

    def do_GET(self) -> None:
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def website() -> Iterator[int]:
    """Return the port of a website that echoes."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a TMTP service that expects the PROXY protocol from this machine, as the files say."""
    said = (DEPLOY / "mnm.env").read_text()
    assert "\n# TMTP_PROXIES=127.0.0.1\n" in said
    folder = tmp_path_factory.mktemp("deploy") / "var"
    with (
        site_of_its_own(folder, migrated=True) as site,
        running_server(env={**site, "TMTP_PROXIES": "127.0.0.1"}) as server,
    ):
        yield server


# the proxies


def adapted(file: str, places: dict[str, object]) -> str:
    """Return a file with other ports and paths. Each of them must be in it."""
    text = (DEPLOY / file).read_text()
    for here, there in places.items():
        assert here in text, here
        text = text.replace(here, str(there))
    return re.sub(r"^ *listen \[::\].*\n", "", text, flags=re.MULTILINE)  # not every machine has IPv6


class Proxy:
    """A running proxy: the ports of TMTP, https and http."""

    def __init__(self, folder: Path) -> None:
        self.tmtp, self.https, self.http = free_port(), free_port(), free_port()
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        make_self_signed(self.cert, self.key, [HOST])

    @contextmanager
    def running(self, *command: str) -> Iterator[None]:
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                for port in (self.tmtp, self.https, self.http):
                    self._wait_for(port, process)
                yield
            finally:
                process.terminate()

    def _wait_for(self, port: int, process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            try:
                return socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                time.sleep(0.02)

    def get(self, path: str, **headers: str) -> dict[str, str]:
        """Return the headers with which a request over https reaches the website."""
        context = ssl.create_default_context(cafile=str(self.cert))
        link = http.client.HTTPSConnection("127.0.0.1", self.https, timeout=60, context=context)
        context.check_hostname = False
        link.request("GET", path, headers={"Host": HOST, **headers})
        answer = link.getresponse()
        assert answer.status == 200
        return json.loads(answer.read())


@pytest.fixture(scope="module", params=["nginx", "haproxy"])
def proxy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, service: Server, website: int
) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp(request.param)
    proxy = Proxy(folder)
    command = program(request.param)
    start = with_nginx if request.param == "nginx" else with_haproxy
    with proxy.running(command, *start(proxy, folder, service.address[1], website)):
        yield proxy


def with_nginx(proxy: Proxy, folder: Path, service: int, website: int) -> list[str]:
    """Write its files, and return its arguments."""
    live = "/etc/letsencrypt/live/mnm.example.org"
    places = {
        "listen 80;": f"listen 127.0.0.1:{proxy.http};",
        "listen 443 ": f"listen 127.0.0.1:{proxy.https} ",
        f"{live}/fullchain.pem": proxy.cert,
        f"{live}/privkey.pem": proxy.key,
        "127.0.0.1:8000": f"127.0.0.1:{website}",
    }
    (folder / "mnm.conf").write_text(adapted("nginx/mnm.conf", places))
    places = {
        "listen 7443;": f"listen 127.0.0.1:{proxy.tmtp};",
        "server 127.0.0.1:7444": f"server 127.0.0.1:{service}",
    }
    (folder / "tmtp-stream.conf").write_text(adapted("nginx/tmtp-stream.conf", places))
    temporary = "".join(f"{name}_temp_path {folder}/{name};" for name in TEMPORARY)
    modules = "".join(f"load_module {file};" for file in Path("/usr/lib/nginx/modules").glob("ngx_stream_module.so"))
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, temporary=temporary, user=user, modules=modules))
    return ["-c", f"{folder}/nginx.conf", "-p", str(folder), "-e", "stderr"]


def with_haproxy(proxy: Proxy, folder: Path, service: int, website: int) -> list[str]:
    """Write its file, and return its arguments."""
    (folder / "mnm.pem").write_bytes(proxy.cert.read_bytes() + proxy.key.read_bytes())
    places = {
        "bind :7443": f"bind 127.0.0.1:{proxy.tmtp}",
        "bind :80": f"bind 127.0.0.1:{proxy.http}",
        "bind :443": f"bind 127.0.0.1:{proxy.https}",
        "server first 127.0.0.1:7444": f"server first 127.0.0.1:{service}",
        "127.0.0.1:8000": f"127.0.0.1:{website}",
        "/etc/haproxy/mnm.pem": folder / "mnm.pem",
        "maxconn 60000": "maxconn 100",
    }
    (folder / "haproxy.cfg").write_text(adapted("haproxy/haproxy.cfg", places))
    return ["-f", f"{folder}/haproxy.cfg"]


def test_a_device_behind_a_proxy_keeps_its_address(proxy: Proxy, service: Server) -> None:
    address = ("127.0.0.1", proxy.tmtp)
    with Client(address, service.tls) as ann:
        assert ann.greet()["name"] == "mnm"
        assert ann.register("laptop")["op"] == "registered"
    before = service.said().count(f"login failed from {DEVICE}")
    assert service.tls
    link = socket.create_connection(address, 10, source_address=(DEVICE, 0))
    with service.tls.wrap_socket(link, server_hostname="127.0.0.1") as secured:
        secured.sendall(frame({"op": 0, "id": "1"}) + frame({"op": 2, "uid": "5" * 32, "node": "5" * 40}))
        while secured.recv(4096):
            pass
    assert service.said().count(f"login failed from {DEVICE}") == before + 1


def test_the_website_gets_what_it_needs(proxy: Proxy) -> None:
    received = proxy.get("/accounts/", **{"X-Forwarded-For": "6.6.6.6"})
    assert received["host"] == HOST
    assert received["x-forwarded-for"] == "127.0.0.1"
    assert received["x-forwarded-proto"] == "https"


@pytest.mark.parametrize("path", ["/tmtp", "/live/mailbox"])
def test_websockets_pass(proxy: Proxy, path: str) -> None:
    received = proxy.get(path, **UPGRADE)
    assert (received["connection"].lower(), received["upgrade"]) == ("upgrade", "websocket")
    assert (received["host"], received["x-forwarded-proto"]) == (HOST, "https")


def test_http_leads_to_https(proxy: Proxy) -> None:
    link = http.client.HTTPConnection("127.0.0.1", proxy.http, timeout=60)
    link.request("GET", "/mailbox/?a=1", headers={"Host": HOST})
    answer = link.getresponse()
    assert answer.status in (301, 302)
    assert answer.headers["Location"] == f"https://{HOST}/mailbox/?a=1"


# systemd and Docker


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("systemd-analyze is needed")
    units = []
    for unit in sorted((DEPLOY / "systemd").iterdir()):
        text = unit.read_text().replace("/srv/mnm/code/.venv/bin", str(Path(sys.executable).parent))
        (tmp_path / unit.name).write_text(text)
        units.append(tmp_path / unit.name)
    done = subprocess.run([analyze, "verify", *units], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"mnm-tmtp.service", "mnm-tmtp.socket", "mnm-web.service", "mnm-worker.service"} == {u.name for u in units}


def test_each_variable_exists() -> None:
    compose = yaml.safe_load((DEPLOY / "docker/compose.yaml").read_text())
    named = set(compose["x-mnm"]["environment"])
    named |= set(re.findall(r"^(?:# )?([A-Z_]+)=", (DEPLOY / "mnm.env").read_text(), re.MULTILINE))
    assert {"MNM_VAR", "TMTP_BIND", "DATABASE_URL"} <= named <= VARIABLES


def test_all_processes_are_everywhere() -> None:
    """The commands of the Procfile, of the units and of the containers are the same ones."""
    procfile = (ROOT / "Procfile").read_text()
    compose = yaml.safe_load((DEPLOY / "docker/compose.yaml").read_text())["services"]
    for name in ("tmtp", "web", "worker"):
        (last,) = re.findall(rf"^{name}: .*exec (.*)$", procfile, re.MULTILINE)
        word = shlex.split(last)[-1]
        unit = (DEPLOY / f"systemd/mnm-{name}.service").read_text()
        assert re.search(rf"^ExecStart=\S+ .*{re.escape(word)}$", unit, re.MULTILINE)
        assert compose[name]["command"][-1] == word


def test_the_image_has_what_the_site_needs() -> None:
    """All packages of the site are copied, and the file for Docker that leaves things out does not leave them out."""
    dockerfile = (DEPLOY / "docker/Dockerfile").read_text()
    copied = {source for source, _ in re.findall(r"^COPY (?!--from)(\S+) (\S+)$", dockerfile, re.MULTILINE)}
    assert all((ROOT / source).exists() for source in copied)
    packages = {folder.parent.name for folder in ROOT.glob("*/__init__.py")} - {"benchmarks", "tools"}
    assert packages | {"templates", "locale", "manage.py", "requirements.txt"} == copied
    kept = (DEPLOY / "docker/Dockerfile.dockerignore").read_text().split("\n")
    assert {f"!{source}" for source in copied} <= set(kept)
    (command,) = re.findall(r"^CMD (.*)$", dockerfile, re.MULTILINE)
    assert json.loads(command) == ["python", "manage.py", "runtmtp"]


def test_services_of_compose_start_in_order() -> None:
    """Each service depends on services that exist, and on those of them that end or are healthy at some time."""
    compose = yaml.safe_load((DEPLOY / "docker/compose.yaml").read_text())
    services = compose["services"]
    for service in services.values():
        for other, how in service.get("depends_on", {}).items():
            needs = {"service_healthy": "healthcheck", "service_completed_successfully": "command"}[how["condition"]]
            assert needs in services[other]
        for volume in service["volumes"]:
            assert volume.split(":")[0] in compose["volumes"]
    assert services["migrate"]["restart"] == "no"
    built = (DEPLOY / "docker" / services["migrate"]["build"]["context"]).resolve()
    assert built == ROOT
    assert (built / services["migrate"]["build"]["dockerfile"]).exists()

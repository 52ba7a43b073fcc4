"""The addresses of push services, which browsers name and the site connects to.

Whoever subscribes chooses the address. So that nobody makes the site talk to programs in its own network, it must be
https on port 443, and the site connects only to addresses that are public, whatever the name resolves to at that
moment. Redirects and proxies are not used. TMTP_NOTICES["PRIVATE_ENDPOINTS"] lifts this, for tests.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError
from urllib3.poolmanager import PoolManager
from urllib3.util.connection import create_connection

from .conf import conf
from .models import ENDPOINT_MAX

AT_ONCE = 8  # connections
_ROUTED = ipaddress.ip_network("2000::/3")  # all that IANA has given out. Others are local, or stand for IPv4


def is_allowed(endpoint: str) -> bool:
    """Return whether a browser may name this address. Its name is not resolved here."""
    if len(endpoint) > ENDPOINT_MAX or not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint:
        return False
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.password is not None or parts.fragment:
        return False
    if conf.PRIVATE_ENDPOINTS:
        return parts.scheme in ("http", "https")
    return parts.scheme == "https" and port in (None, 443) and _may_be_public(host)


def _may_be_public(host: str) -> bool:
    """Return whether a host is a name with a dot, or a public address."""
    try:
        return is_public(host)
    except ValueError:
        return "." in host.strip(".") and not host.replace(".", "").isdigit()


def is_public(address: str) -> bool:
    """Return whether an IP address is public, and an IPv6 address does not stand for another one. Raise ValueError."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and (ip not in _ROUTED or ip.sixtofour or ip.teredo):
        return False
    return ip.is_global and not ip.is_multicast


class _PublicConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        """Connect to an address of the host. Raise NewConnectionError if one of its addresses is not public."""
        try:
            found = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise NewConnectionError(self, f"cannot be found: {error}") from error
        addresses = [str(entry[4][0]) for entry in found]
        if not all(is_public(address) for address in addresses):
            raise NewConnectionError(self, "has an address that is not public")
        return self._connect(addresses)

    def _connect(self, addresses: list[str]) -> socket.socket:
        problem: Exception = OSError("no address")
        for address in dict.fromkeys(addresses):
            try:
                return create_connection((address, self.port), self.timeout)
            except OSError as error:
                problem = error
        raise NewConnectionError(self, f"cannot be reached: {problem}") from problem


class _PublicPool(HTTPSConnectionPool):
    ConnectionCls = _PublicConnection


class _PublicAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        self.poolmanager = PoolManager(num_pools=AT_ONCE, maxsize=AT_ONCE)
        self.poolmanager.pool_classes_by_scheme = {"https": _PublicPool}


class _Session(requests.Session):
    """A session that follows no redirects, since a push service has no reason to send any."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        if not conf.PRIVATE_ENDPOINTS:
            self.adapters.clear()
            self.mount("https://", _PublicAdapter())

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


def new_session() -> requests.Session:
    """Return a session that connects only to what is allowed. requests.RequestException says that it is not."""
    return _Session()

"""HTTP sessions that connect to push services, at public addresses only. Redirects and proxies are not used.

Only workers import this module: the package requests takes long to load.
"""

from __future__ import annotations

import socket
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError
from urllib3.poolmanager import PoolManager
from urllib3.util.connection import create_connection

from .conf import conf
from .endpoints import is_public

AT_ONCE = 8  # connections


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

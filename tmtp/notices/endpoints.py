"""The addresses of push services, which browsers name and the site connects to.

Whoever subscribes chooses the address. So that nobody makes the site talk to programs in its own network, it must be
https on port 443, and the site connects only to addresses that are public, whatever the name resolves to at that
moment (`push_sessions`). TMTP_NOTICES["PRIVATE_ENDPOINTS"] lifts this, for tests.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from .conf import conf
from .models import ENDPOINT_MAX

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

"""The address of the TMTP service, as people type it into a client, and its QR code."""

from __future__ import annotations

import ipaddress

from django.http import HttpRequest
from django.http.request import split_domain_port
from django.utils.safestring import SafeString, mark_safe

from ..conf import conf
from ..server.certificate import is_self_signed


def address(request: HttpRequest) -> str:
    """Return HOST:PORT, with `=` in front if the service's certificate is self-signed.

    That is TMTP["PUBLIC_ADDRESS"]; otherwise TMTP["BIND"], with the host name of the request if BIND is an address of
    all interfaces or of this computer only.
    """
    mark = "=" if conf.CERT and is_self_signed(conf.CERT) else ""
    if conf.PUBLIC_ADDRESS:
        return f"{mark}{conf.PUBLIC_ADDRESS}"
    host, port = conf.address()
    if is_anywhere(host):
        host = split_domain_port(request.get_host())[0]
    elif ":" in host:
        host = f"[{host}]"
    return f"{mark}{host}:{port}"


def is_anywhere(host: str) -> bool:
    """Return whether other computers cannot connect to this host: it stands for all interfaces, or this computer."""
    try:
        there = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return there.is_unspecified or there.is_loopback


def qr_code(text: str) -> SafeString:
    """Return the text as a QR code: an SVG without styles, dark on light on every page."""
    import segno

    drawn = segno.make(text, error="m", micro=False).svg_inline(omitsize=True, dark="#000", light="#fff", border=3)
    return mark_safe(drawn)  # noqa: S308 - made of squares alone

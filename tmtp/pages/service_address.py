"""Where a device connects to: the address of the TMTP service as people type it into a client."""

from __future__ import annotations

import ipaddress

from django.http import HttpRequest
from django.http.request import split_domain_port
from django.utils.safestring import SafeString, mark_safe

from ..conf import conf
from ..server.certificate import is_self_signed


def address(request: HttpRequest) -> str:
    """HOST:PORT, with `=` before it when the service's certificate is self-signed.

    TMTP["PUBLIC_ADDRESS"], or what it listens on, by the name that the reader knows the website by when that is any
    address or only this computer's.
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
    """Whether that is no address to dial from elsewhere: all of this computer's, or those that nobody else reaches."""
    try:
        there = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return there.is_unspecified or there.is_loopback


def qr_code(text: str) -> SafeString:
    """The text as a QR code: SVG without any style, dark on light whatever the page is."""
    import segno  # the check tmtp_pages.E002 says when it is not installed

    drawn = segno.make(text, error="m", micro=False).svg_inline(omitsize=True, dark="#000", light="#fff", border=3)
    return mark_safe(drawn)  # noqa: S308 - made of squares alone

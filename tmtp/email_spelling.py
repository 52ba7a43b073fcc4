"""E-mail addresses: one spelling for each, whichever way its domain is written.

`ann@exämple.org` and `ann@xn--exmple-cua.org` are one address. The second spelling is the one that mail servers use.
Domains are encoded as IDNA 2008 and UTS 46 say. Python's own codec is older: to it, `straße.de` is `strasse.de`, which
is the domain of somebody else.
"""

from __future__ import annotations

import re
import unicodedata

import idna

_DOTS = re.compile(r"[.。．｡]")


def normalise(address: str) -> str:
    """Return the one spelling of an address: in lower case, the domain in ASCII. Addresses are compared by it."""
    local, at, domain = unicodedata.normalize("NFC", address.strip()).rpartition("@")
    return f"{local}{at}{domain if domain.isascii() else _encoded(domain)}".lower()


def spellings(address: str) -> set[str]:
    """Return how an address may be written, in lower case: with its domain in ASCII, and in its own letters."""
    ascii_form = normalise(address)
    local, at, domain = ascii_form.rpartition("@")
    return {ascii_form, f"{local}{at}{_decoded(domain)}"} if "xn--" in domain else {ascii_form}


def to_ascii(recipient: object) -> str:
    """Return a recipient, which may have a name (“Ann <ann@exämple.org>”), with the domain as mail servers want it."""
    text = str(recipient)
    before, at, after = text.rpartition("@")
    domain = after.partition(">")[0].strip()
    return text if domain.isascii() else f"{before}{at}{after.replace(domain, _encoded(domain))}"


def _encoded(domain: str) -> str:
    try:
        return idna.encode(domain, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):  # as with an emoji: not allowed, but there are some
        return ".".join(map(_label, _DOTS.split(unicodedata.normalize("NFKC", domain.lower()))))


def _label(label: str) -> str:
    return label if label.isascii() else "xn--" + label.encode("punycode").decode()


def _decoded(domain: str) -> str:
    try:
        return idna.decode(domain)
    except (idna.IDNAError, UnicodeError):
        return domain

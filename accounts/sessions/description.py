"""What a browser is, and where: from its User-Agent, and from its address if the site has a database of places."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _


def name_of(agent: str) -> str:
    """Return the name of a browser and its system, such as “Firefox on Linux”."""
    from ua_parser import parse  # takes long to load, and one page needs it

    found = parse(agent)
    browser = found.user_agent.family if found.user_agent else _("An unknown browser")
    if found.os is None:
        return browser
    return _("%(browser)s on %(system)s") % {"browser": browser, "system": found.os.family}


def place_of(address: str | None) -> str:
    """Return the town and country of an IP address, or "" if they are unknown or GEOIP_PATH is not set."""
    places = _places() if address else None
    if places is None:
        return ""
    try:
        found = places.city(address)
    except Exception:  # an address that the database does not know, or a database without towns
        return ""
    return ", ".join(filter(None, [found.get("city"), found.get("country_name")]))


@cache
def _places() -> Any:
    """Return Django's reader of the database, or None."""
    if not getattr(settings, "GEOIP_PATH", None):
        return None
    from django.contrib.gis.geoip2 import GeoIP2  # needs the package geoip2

    return GeoIP2()

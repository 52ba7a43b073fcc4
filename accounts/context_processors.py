"""Context processors."""

from django.http import HttpRequest

from tmtp.conf import conf


def site(request: HttpRequest) -> dict[str, str]:
    """Add `site_name`, the name that devices show too."""
    return {"site_name": conf.SITE_NAME}

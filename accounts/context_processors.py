"""What every page knows."""

from django.http import HttpRequest

from tmtp.conf import conf


def site(request: HttpRequest) -> dict[str, str]:
    """`site_name`, as devices show it."""
    return {"site_name": conf.SITE_NAME}

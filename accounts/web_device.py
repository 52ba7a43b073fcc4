"""A page that is a device itself: its script uses TMTP over WebSocket. Messages do not pass through these views."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import get_script_prefix
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from tmtp.conf import conf
from tmtp.openid.providers import parse_settings

# the texts of the page's script
WORDS = {
    "connecting": _("Connecting…"),
    "connected": _("Connected to {name}. What arrives shows below at once."),
    "disconnected": _("Disconnected."),
    "lost": _("The connection was lost. Trying again in {seconds} seconds…"),
    "refused": _("{name} refused this: {reason}."),
    "unreachable": _("The service cannot be reached now. Try again later."),
    "login failed": _("There is no such device. Check the user ID and the secret."),
    "corrupt base32 value": _("That is not the secret of a device, which has 40 characters."),
    "node already connected": _("This device is connected already, in another program or window."),
    "authentication required": _("Who registers here must sign in first, which this page cannot do."),
    "registered": _("The new device is registered and connected."),
    "alias": _("It has no name: {reason}."),
    "sent": _("Stored at {time}. It arrives as soon as the device connects."),
    "unnamed": _("someone without a name"),
    "delivery": _("Message"),
    "notify": _("Notice"),
    "ping": _("Ping"),
    "invite": _("Invitation"),
    "member": _("Group"),
    "user": _("Own devices and names"),
    "login": _("Own device connected"),
    "ohiedit": _("Online status"),
    "ohi online": _("is online"),
    "ohi offline": _("is offline"),
    "octets": _("{count} octets that are no text"),
}


@require_safe
def watch(request: HttpRequest) -> HttpResponse:
    """Watch what arrives for a device. The device's secret stays in the browser."""
    openid = parse_settings(conf.OPENID)
    context = {
        "words": {key: str(text) for key, text in WORDS.items()},
        "link_path": f"{get_script_prefix()}tmtp",
        "registers": conf.OPEN_REGISTRATION and (openid.optional or not openid.auth),
    }
    return render(request, "accounts/web_device.html", context)

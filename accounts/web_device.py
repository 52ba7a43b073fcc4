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
    "connected": _("Connected to {name}. New messages appear below."),
    "disconnected": _("Disconnected."),
    "lost": _("Connection lost. Reconnecting in {seconds} seconds…"),
    "refused": _("{name} refused the request: {reason}."),
    "unreachable": _("The service cannot be reached. Try again later."),
    "login failed": _("Device not found. Check the user ID and the device key."),
    "corrupt base32 value": _("A device key has 40 characters."),
    "node already connected": _("This device is already connected in another program or window."),
    "authentication required": _("This service requires sign-in to register, which this page does not support."),
    "registered": _("Device registered and connected."),
    "alias": _("It has no name: {reason}."),
    "sent": _("Stored at {time}. It will be delivered when the device connects."),
    "unnamed": _("unnamed user"),
    "delivery": _("Message"),
    "notify": _("Notice"),
    "ping": _("Ping"),
    "invite": _("Invitation"),
    "member": _("Group"),
    "user": _("Your devices and names"),
    "login": _("Your device connected"),
    "ohiedit": _("Online status"),
    "ohi online": _("is online"),
    "ohi offline": _("is offline"),
    "octets": _("{count} bytes of binary data"),
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

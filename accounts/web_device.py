"""A page that is a device itself: its script uses TMTP over WebSocket. Messages do not pass through these views."""

from functools import partial
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import get_script_prefix
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from tmtp.conf import conf
from tmtp.models import User
from tmtp.openid.providers import parse_settings
from tmtp.services.people.devices import make_node
from tmtp.services.people.linking import user_of
from tmtp.web.limits import attempt
from tmtp.web.rendering import PageForm

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
    "ohi online": _("Online"),
    "ohi offline": _("Offline"),
    "octets": _("{count} bytes of binary data"),
}


class WebDeviceForm(PageForm):
    label = forms.CharField(label=_("Name of the device"), initial=_("Browser"), max_length=255)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def watch(request: HttpRequest) -> HttpResponse:
    """Watch what arrives for a device. On POST, create a device of the member and show its key once.

    Visitors register as a new user over the link, and their key stays in the browser.
    """
    openid = parse_settings(conf.OPENID)
    member = request.user.is_authenticated
    form = WebDeviceForm(request.POST or None) if member else None
    context = {
        "form": form,
        "words": {key: str(text) for key, text in WORDS.items()},
        "link_path": f"{get_script_prefix()}tmtp",
        "registers": not member and conf.OPEN_REGISTRATION and (openid.optional or not openid.auth),
    }
    if form is not None and request.method == "POST" and form.is_valid():
        user = user_of(request.user)
        attempt(user, form, "label", partial(_make, context, user, form.cleaned_data["label"]))
    return render(request, "accounts/web_device.html", context)


def _make(context: dict[str, Any], user: User, label: str) -> None:
    _, context["nodeid"] = make_node(user, label)
    context["uid"] = user.uid

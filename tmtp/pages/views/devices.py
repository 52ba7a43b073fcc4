"""The pages about devices: list, connect, rename and disconnect them."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from ...conf import conf
from ...models import Identity, Node
from ...openid.providers import Provider, parse_settings
from ...services.people.devices import drop_node, make_node, rename_node
from ...services.people.linking import user_of
from ...services.queue.leases import fresh
from ...services.queue.quota import with_count
from ...web.decorators import member_page
from ...web.limits import attempt
from ...web.rendering import render_page
from ..forms import LabelForm
from ..service_address import address, qr_code

COUNTED = 1000  # of the messages that wait for one device


def devices_of(account: Any) -> QuerySet[Node]:
    """Return a member's devices, with `online`, and `waiting` up to COUNTED + 1. The mailbox is not one of them."""
    online = Q(server__seen__gte=fresh()) & Q(server__isnull=False)
    devices = Node.objects.filter(user__account=account, kind=Node.Kind.DEVICE, dropped=None)
    with_online = devices.annotate(online=ExpressionWrapper(online, BooleanField()))
    return with_count(with_online, COUNTED).order_by("created", "pk")


@member_page("GET")
def devices(request: HttpRequest) -> HttpResponse:
    """List the member's devices."""
    return render_page(request, "tmtp_pages/devices.html", {"devices": devices_of(request.user), "counted": COUNTED})


@member_page("GET", "POST")
def new_device(request: HttpRequest) -> HttpResponse:
    """Explain how to connect a device. On POST, create a node for it, and show its secret once."""
    form = LabelForm(request.POST or None)
    user = user_of(request.user)
    made: list[tuple[Node, str]] = []
    make = partial(_make, form, user, made)
    if request.method == "POST" and form.is_valid() and attempt(user, form, "label", make):
        node, nodeid = made[0]
        dialled = address(request)
        code = qr_code("\n".join((dialled, user.uid, nodeid)))
        shown = {"node": node, "uid": user.uid, "nodeid": nodeid, "address": dialled, "qr_code": code}
        return render_page(request, "tmtp_pages/device_made.html", shown)
    dialled = address(request)
    context = {
        "form": form,
        "address": dialled,
        "qr_code": qr_code(dialled),
        "self_signed": dialled.startswith("="),
        "providers": list(providers_for(request.user)),
        "site_name": conf.SITE_NAME,
    }
    return render_page(request, "tmtp_pages/device_new.html", context)


def _make(form: LabelForm, user: Any, made: list[tuple[Node, str]]) -> None:
    made.append(make_node(user, form.cleaned_data["label"]))


def providers_for(account: Any) -> list[tuple[Provider, str]]:
    """Return the OpenID providers by which a device can become the member's, each with how.

    How is "site" for the website itself, "linked" if the member has linked the provider, or "link" if they must do so
    first. A provider that members cannot link on the website is left out: its devices would belong to nobody.
    """
    openid = parse_settings(conf.OPENID)
    if not openid.auth:
        return []
    itself = getattr(settings, "OAUTH2_PROVIDER", {}).get("OIDC_ISS_ENDPOINT", "")
    linked = set(Identity.objects.filter(user__account=account).values_list("iss", flat=True))
    found = []
    for provider in openid.providers:
        how = "site" if provider.iss == itself else "linked" if provider.iss in linked else "link"
        if how != "link" or provider.site:
            found.append((provider, how))
    return found


@member_page("GET", "POST")
def device(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a device, and rename it."""
    node = get_object_or_404(devices_of(request.user), pk=pk)
    form = LabelForm(request.POST or None, initial={"label": node.label})
    if request.method == "POST" and form.is_valid():
        label = form.cleaned_data["label"]
        if attempt(node.user, form, "label", partial(rename_node, node, label)):
            messages.success(request, _("Device renamed to “%(label)s”.") % {"label": label})
            return redirect("tmtp_pages:devices")
    return render_page(request, "tmtp_pages/device.html", {"device": node, "form": form, "counted": COUNTED})


@member_page("GET", "POST")
def drop_device(request: HttpRequest, pk: int) -> HttpResponse:
    """Disconnect a device for good, after confirmation."""
    node = get_object_or_404(devices_of(request.user), pk=pk)
    if request.method == "POST":
        drop_node(node)
        messages.success(request, _("Device “%(label)s” removed.") % {"label": node.label})
        return redirect("tmtp_pages:devices")
    others = Node.objects.filter(user=node.user_id, dropped=None).exclude(pk=pk)
    context = {"device": node, "is_last": not others.exists(), "counted": COUNTED}
    return render_page(request, "tmtp_pages/device_drop.html", context)

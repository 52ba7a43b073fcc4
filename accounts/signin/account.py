"""The account page: a member's ways to sign in, and e-mail addresses."""

from __future__ import annotations

from urllib.parse import urlsplit

from csp.decorators import csp_update
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext_lazy as _

from tmtp.web.decorators import member_page

from .. import email_addresses
from ..errors import Refused
from ..models import Address
from ..openid.client import providers
from ..openid.identities import identities_of, label_of
from ..second_factor.confirmation import confirmed_page
from .forms import AddressForm
from .views import back_to_account


@member_page("GET")
def account(request: HttpRequest) -> HttpResponse:
    return show(request, AddressForm())


def show(request: HttpRequest, form: AddressForm) -> HttpResponse:
    """Render the account page with this form. Its buttons may lead to the providers, so the CSP allows that."""
    linked = identities_of(request.user)
    offered = providers().values()
    context = {
        "addresses": request.user.addresses.order_by("created"),
        "address_form": form,
        "identities": [(identity, label_of(identity)) for identity in linked],
        "linkable": [one for one in offered if one.iss not in {identity.iss for identity in linked}],
    }
    targets = sorted({"{0.scheme}://{0.netloc}".format(urlsplit(one.site.login)) for one in offered})
    return csp_update({"form-action": targets})(render)(request, "accounts/account.html", context)


@confirmed_page("POST")
def add_address(request: HttpRequest) -> HttpResponse:
    """Add an address, and mail a link to it."""
    form = AddressForm(request.POST)
    if not form.is_valid():
        return show(request, form)
    return mail_link(request, email_addresses.add(request.user, form.cleaned_data["address"]))


@member_page("POST")
def mail_again(request: HttpRequest, pk: int) -> HttpResponse:
    return mail_link(request, get_object_or_404(Address, pk=pk, user=request.user, verified=None))


def mail_link(request: HttpRequest, address: Address) -> HttpResponse:
    """Mail a link unless the address is confirmed already, and show a message."""
    if address.verified:
        messages.info(request, _("You have already added this address."))
        return back_to_account()
    try:
        email_addresses.mail_link(request, address)
    except Refused as refused:
        messages.warning(request, refused.text_for_people())
    else:
        messages.success(request, _("We have sent a link to %(address)s.") % {"address": address})
    return back_to_account()


@member_page("POST")
def remove_address(request: HttpRequest, pk: int) -> HttpResponse:
    address = get_object_or_404(Address, pk=pk, user=request.user)
    email_addresses.remove(address)
    messages.success(request, _("%(address)s has been removed.") % {"address": address})
    return back_to_account()


@member_page("GET", "POST")
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Show the page of a mailed link. Only its button confirms the address, since programs follow links too."""
    try:
        address = email_addresses.read_link(token)
        if address.user == request.user and request.method == "POST":
            email_addresses.confirm(address)
            messages.success(request, _("%(address)s has been confirmed.") % {"address": address})
            return back_to_account()
    except Refused as refused:
        return render(request, "accounts/confirm.html", {"refused": refused.text_for_people()}, status=400)
    own = address.user == request.user
    return render(request, "accounts/confirm.html", {"address": address, "own": own}, status=200 if own else 403)

"""The page on which a member agrees to a device, and the endpoints for the device."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from csp.decorators import csp_update
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from oauth2_provider import views
from oauth2_provider.settings import oauth2_settings
from oauthlib.common import urldecode

from .conf import CLIENT_ID, REDIRECT_ORIGINS

# The lengths of the toolkit's columns.
LENGTHS = {"client_id": 255, "nonce": 255, "code_challenge": 128, "code_challenge_method": 10, "code": 255}


@method_decorator(never_cache, name="dispatch")
# The form's response redirects to the device, which browsers check as a form's action.
@method_decorator(csp_update({"form-action": list(REDIRECT_ORIGINS)}), name="dispatch")
class Authorize(views.AuthorizationView):
    """Ask a member, who must sign in first, whether to connect the device."""

    template_name = "accounts/provider/authorize.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Refuse requests that the toolkit would fail on."""
        if not is_understood(request):
            return self.refuse()
        return super().dispatch(request, *args, **kwargs)

    def refuse(self) -> HttpResponse:
        """Return the page that tells the member that the device's program is at fault."""
        return render(self.request, self.template_name, {"error": True}, status=400)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Ask every time. With `approval_prompt=auto`, the toolkit would ask only the first time."""
        request.GET = request.GET.copy()
        request.GET.pop("approval_prompt", None)
        return super().get(request, *args, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        """Refuse another client, for which the toolkit would fail."""
        return super().form_valid(form) if form.cleaned_data["client_id"] == CLIENT_ID else self.refuse()

    def form_invalid(self, form: Any) -> HttpResponse:
        """Refuse the form. Members cannot correct it, since all its fields are hidden."""
        return self.refuse()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the name of the member's account."""
        account = self.request.user
        return super().get_context_data(account_name=account.get_full_name() or account.get_username(), **kwargs)


class Token(views.TokenView):
    """Exchange a code for an id_token."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Refuse all grant types but `authorization_code`."""
        if not is_understood(request):
            return JsonResponse({"error": "invalid_request"}, status=400)
        if request.POST.get("grant_type") != "authorization_code":
            return JsonResponse({"error": "unsupported_grant_type"}, status=400)
        return super().post(request, *args, **kwargs)


@require_safe
def discovery(request: HttpRequest) -> HttpResponse:
    """Return the metadata of the provider (OpenID Connect Discovery 1.0, section 3; RFC 8414)."""
    iss = oauth2_settings.OIDC_ISS_ENDPOINT
    return JsonResponse(
        {
            "issuer": iss,
            "authorization_endpoint": f"{iss}/authorize/",
            "token_endpoint": f"{iss}/token/",
            "jwks_uri": f"{iss}/.well-known/jwks.json",
            "scopes_supported": ["openid"],
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "code_challenge_methods_supported": ["S256"],
            "claims_supported": ["sub"],
            "authorization_response_iss_parameter_supported": True,
        },
        headers={"Access-Control-Allow-Origin": "*"},
    )


def is_understood(request: HttpRequest) -> bool:
    """Return whether the toolkit can parse and store the parameters: valid encoding and URLs, no NUL, not too long."""
    try:
        urldecode(request.META.get("QUERY_STRING", ""))
        for parameters in (request.GET, request.POST):
            for address in parameters.getlist("redirect_uri"):
                _ = urlsplit(address).port
    except ValueError:
        return False
    sent = [item for parameters in (request.GET, request.POST) for item in parameters.lists()]
    return all(
        "\0" not in value and len(value) <= LENGTHS.get(name, len(value)) for name, values in sent for value in values
    )

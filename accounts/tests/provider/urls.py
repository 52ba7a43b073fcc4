"""The URLs of the provider, and those with which tests control it."""

from django.contrib.auth.views import LoginView
from django.http import HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from oauth2_provider.models import get_application_model
from oauth2_provider.settings import oauth2_settings

from .settings import new_key


@csrf_exempt
def add_client(request):
    form, model = request.POST, get_application_model()
    model.objects.create(
        client_id=form["client_id"],
        client_secret=form["secret"],
        client_type=model.CLIENT_CONFIDENTIAL if form["secret"] else model.CLIENT_PUBLIC,
        authorization_grant_type=model.GRANT_AUTHORIZATION_CODE,
        redirect_uris=form["redirect_uri"],
        skip_authorization=True,
        algorithm=model.RS256_ALGORITHM,
    )
    return HttpResponse()


@csrf_exempt
def rotate(request):
    oauth2_settings.OIDC_RSA_PRIVATE_KEY = new_key()
    return HttpResponse()


urlpatterns = [
    path("login/", LoginView.as_view()),
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("control/client/", add_client),
    path("control/rotate/", rotate),
]

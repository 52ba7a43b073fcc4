"""The addresses of the provider, below conf.PATH; `app_name` is the one by which django-oauth-toolkit finds them."""

from django.urls import path
from oauth2_provider.views import JwksInfoView

from . import views

app_name = "oauth2_provider"

urlpatterns = [
    path("authorize/", views.Authorize.as_view(), name="authorize"),
    path("token/", views.Token.as_view(), name="token"),
    path(".well-known/openid-configuration", views.discovery, name="oidc-connect-discovery-info"),
    path(".well-known/jwks.json", JwksInfoView.as_view(), name="jwks-info"),
]

"""The URLs of the provider, below conf.PATH. django-oauth-toolkit reverses them by its own `app_name`."""

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

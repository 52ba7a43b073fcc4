"""The URLs of sign-up, sign-in and the account."""

from django.urls import include, path

from . import languages, views, web_device

app_name = "accounts"

urlpatterns = [
    path("", views.home, name="home"),
    path("start/", views.start, name="start"),
    path("", include("accounts.signin.urls")),
    path("", include("accounts.openid.urls")),
    path("", include("accounts.second_factor.urls")),
    path("", include("accounts.sessions.urls")),
    path("language/", languages.choose, name="language"),
    path("live/", web_device.watch, name="web_device"),
]

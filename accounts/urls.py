"""The addresses of the pages for members."""

from django.urls import include, path

from . import live, views

app_name = "accounts"

urlpatterns = [
    path("", views.home, name="home"),
    path("start/", views.start, name="start"),
    path("", include("accounts.signin.urls")),
    path("", include("accounts.openid.urls")),
    path("live/", live.live, name="live"),
    path("", include("accounts.devices.urls")),
    path("", include("accounts.people.urls")),
    path("mailbox/", include("accounts.mailbox.urls")),
]

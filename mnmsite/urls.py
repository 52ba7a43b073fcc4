"""The addresses of the site's pages."""

from django.apps import apps
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("accounts.urls")),
]

if apps.is_installed("accounts.provider"):
    from accounts.provider.conf import PATH

    urlpatterns.append(path(PATH, include("accounts.provider.urls")))

"""URLs of a site whose paths begin with the language."""

from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    *i18n_patterns(path("", include("django.contrib.auth.urls")), prefix_default_language=False),
]

"""URLs of a site with Django's own sign-in."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("admin/", admin.site.urls), path("", include("django.contrib.auth.urls"))]

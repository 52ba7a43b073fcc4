"""URL patterns of the API, its OpenAPI document and its page.

path("api/", include("tmtp.api.urls"))
"""

from importlib.util import find_spec
from typing import Any

from django.urls import include, path, re_path

app_name = "tmtp_api"
urlpatterns: list[Any] = []

if find_spec("ninja"):  # else a check says so
    from .application import guarded, not_found, operations
    from .views import openapi, reference

    urlpatterns = [
        path("", reference, name="reference"),
        path("v1/openapi.json", openapi, name="openapi"),
        path("v1/", include(operations())),
        re_path(r"^v1/", guarded(not_found), name="nothing"),
    ]

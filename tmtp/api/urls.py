"""URL patterns of the API, its OpenAPI document and its page.

path("api/", include("tmtp.api.urls"))
"""

from django.urls import include, path, re_path

from .application import guarded, not_found, operations
from .views import openapi, reference

app_name = "tmtp_api"
urlpatterns = [
    path("", reference, name="reference"),
    path("v1/openapi.json", openapi, name="openapi"),
    path("v1/", include(operations())),
    re_path(r"^v1/", guarded(not_found), name="nothing"),
]

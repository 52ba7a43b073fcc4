"""Pages of delivery: path("delivery/", include("delivery.urls"))."""

from django.urls import path

from . import views

app_name = "delivery"
urlpatterns = [path("no-notices/<str:token>/", views.no_notices, name="no_notices")]

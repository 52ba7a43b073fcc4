"""The page that ends notices: path("delivery/", include("tmtp.delivery.urls"))."""

from django.urls import path

from . import views

app_name = "tmtp_delivery"
urlpatterns = [path("no-notices/<str:token>/", views.no_notices, name="no_notices")]

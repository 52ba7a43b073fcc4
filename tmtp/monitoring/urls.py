"""URLs of probes and metrics: path("", include("tmtp.monitoring.urls"))."""

from django.urls import path

from . import views

app_name = "tmtp_monitoring"

urlpatterns = [
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
    path("metrics", views.metrics, name="metrics"),
]

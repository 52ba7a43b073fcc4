"""The addresses of the pages about devices; part of the namespace `accounts`."""

from django.urls import path

from . import views

urlpatterns = [
    path("devices/", views.devices, name="devices"),
    path("devices/new/", views.new_device, name="device_new"),
    path("devices/<int:pk>/", views.device, name="device"),
    path("devices/<int:pk>/drop/", views.drop_device, name="device_drop"),
]

"""The shop's URLs."""

from django.contrib import admin
from django.urls import path
from orders import views

urlpatterns = [
    path("", views.orders, name="orders"),
    path("orders/<int:pk>/ship/", views.ship, name="ship"),
    path("admin/", admin.site.urls),
]

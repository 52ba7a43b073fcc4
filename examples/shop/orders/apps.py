"""The Django app."""

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    """What customers have ordered."""

    name = "orders"

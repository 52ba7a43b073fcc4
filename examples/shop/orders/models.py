"""Orders, and what their customers write about them."""

from django.conf import settings
from django.db import models


class Order(models.Model):
    """A customer's order. `thread` is the id of the message about it, to which the customer answers."""

    customer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    what = models.CharField(max_length=200)
    shipped = models.DateTimeField(null=True, blank=True)
    thread = models.CharField(max_length=16, blank=True, editable=False)

    def __str__(self) -> str:
        return f"Order {self.pk}: {self.what}"


class Answer(models.Model):
    """A customer's answer to the message about an order."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="answers")
    msgid = models.CharField(max_length=16)
    text = models.TextField()

    def __str__(self) -> str:
        return self.text

"""Orders, and what their customers write about them."""

from django.conf import settings
from django.db import models


class Order(models.Model):
    """What a customer has ordered. `thread` is the message that told them of it, to which they answer."""

    customer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    what = models.CharField(max_length=200)
    shipped = models.DateTimeField(null=True, blank=True)
    thread = models.CharField(max_length=16, blank=True, editable=False)

    def __str__(self) -> str:
        return f"Order {self.pk}: {self.what}"


class Answer(models.Model):
    """What a customer has written about an order."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="answers")
    msgid = models.CharField(max_length=16)
    text = models.TextField()

    def __str__(self) -> str:
        return self.text

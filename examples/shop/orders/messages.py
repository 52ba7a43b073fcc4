"""Messages from customers to the shop. A worker calls `received` with each: TMTP_DELIVERY["HANDLER"]."""

from typing import Any

from django.db import transaction

from .models import Answer, Order


def received(message: Any) -> None:
    """Save an answer with its order, in one transaction with the acknowledgement, so that it is saved exactly once."""
    order = Order.objects.filter(thread=message.thread).first()
    if order is None:
        return  # not an answer to a message about an order
    with transaction.atomic():
        Answer.objects.create(order=order, msgid=message.msgid, text=message.text)
        message.acknowledge()

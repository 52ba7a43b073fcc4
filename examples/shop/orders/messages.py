"""What customers write to the shop. A worker calls `received` with each message: TMTP_DELIVERY["HANDLER"]."""

from typing import Any

from django.db import transaction

from .models import Answer, Order


def received(message: Any) -> None:
    """Keep an answer with its order; in one transaction with the acknowledgement, so once, whatever crashes."""
    order = Order.objects.filter(thread=message.thread).first()
    if order is None:
        return  # about no order of ours; somebody could be told of it here
    with transaction.atomic():
        Answer.objects.create(order=order, msgid=message.msgid, text=message.text)
        message.acknowledge()

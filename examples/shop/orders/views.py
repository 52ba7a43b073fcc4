"""The shop's pages, for its staff."""

from django.contrib import messages
from django.contrib.admin.views.decorators import staff_member_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from tmtp.messaging import send_message

from .models import Order


@staff_member_required
def orders(request: HttpRequest) -> HttpResponse:
    """List the orders with their customers' answers."""
    return render(request, "orders/orders.html", {"orders": Order.objects.prefetch_related("answers")})


@staff_member_required
@require_POST
@transaction.atomic
def ship(request: HttpRequest, pk: int) -> HttpResponse:
    """Mark an order as shipped and send the customer a message, exactly once, if the transaction commits."""
    order = get_object_or_404(Order.objects.select_for_update(), pk=pk)
    if order.shipped:
        messages.info(request, f"{order} had already shipped.")
        return redirect("orders")
    order.shipped = timezone.now()
    text = f"**{order.what}** has left our shop. Is anything not as it should be? Just answer."
    (order.thread,) = send_message(
        order.customer, f"Your order {order.pk} has shipped", text, key=f"order {order.pk} shipped"
    )
    order.save()
    messages.success(request, f"{order} has shipped, and {order.customer} has been told.")
    return redirect("orders")

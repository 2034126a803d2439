"""Paths and what answers them."""

import logging

from django.http import HttpRequest, JsonResponse
from django.urls import path

import logwell_otel

logger = logging.getLogger(__name__)


def order(_request: HttpRequest, order_id: int) -> JsonResponse:
    with logwell_otel.log_context(order_id=order_id):
        logger.info("order looked up")
        if order_id == 13:
            raise ValueError(f"order {order_id} is cursed")
        return JsonResponse({"order": order_id})


urlpatterns = [path("orders/<int:order_id>", order)]

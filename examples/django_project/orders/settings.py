"""Settings."""

import os

SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "for development only")
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "orders.urls"
INSTALLED_APPS = ["orders.apps.OrdersConfig"]
MIDDLEWARE = [
    # Adds to the request's record what only Django knows: the route, and the trace.
    "logwell_otel.integrations.django.request_log_details",
    "django.middleware.common.CommonMiddleware",
]
USE_TZ = True

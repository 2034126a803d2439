"""What the server runs."""

import os

from django.core.wsgi import get_wsgi_application

from logwell_otel.integrations.wsgi import RequestLogMiddleware

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orders.settings")
application = RequestLogMiddleware(get_wsgi_application())

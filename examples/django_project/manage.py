"""Django: logging, request logs and traces are set up in `orders/apps.py`.

pip install logwell-otel django gunicorn opentelemetry-instrumentation-django
export LOGWELL_ENDPOINT=https://logs.example.com LOGWELL_API_KEY=lw_… LOGWELL_SERVICE=shop
gunicorn orders.wsgi
"""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orders.settings")
    execute_from_command_line(sys.argv)

"""A Django project whose logs go to Logwell."""

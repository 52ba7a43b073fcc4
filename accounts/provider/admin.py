"""Remove django-oauth-toolkit's models from the admin: `migrate` creates the client, and the rest is short-lived."""

from django.contrib import admin
from oauth2_provider import models

for getter in (
    models.get_application_model,
    models.get_grant_model,
    models.get_access_token_model,
    models.get_id_token_model,
    models.get_refresh_token_model,
    models.get_device_grant_model,
):
    if admin.site.is_registered(getter()):
        admin.site.unregister(getter())

"""The URLs of a member's sessions, in the namespace `accounts`."""

from django.urls import path

from . import views

urlpatterns = [
    path("account/sessions/", views.sessions, name="sessions"),
    path("account/sessions/end/", views.sessions_end, name="sessions_end"),
    path("account/sessions/<int:pk>/end/", views.session_end, name="session_end"),
]

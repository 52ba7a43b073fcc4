"""The URLs of sign-in with a provider, in the namespace `accounts`."""

from django.urls import path

from . import views

urlpatterns = [
    path("sign-up/openid/", views.sign_up, name="openid_sign_up"),
    path("sign-in/<slug:slug>/", views.sign_in, name="openid_sign_in"),
    path("sign-in/<slug:slug>/callback/", views.callback, name="openid_callback"),
    path("account/link/<slug:slug>/", views.link, name="link"),
    path("account/unlink/<int:pk>/", views.unlink, name="unlink"),
]

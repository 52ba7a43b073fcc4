"""The URLs of the second factor, in the namespace `accounts`."""

from django.urls import path

from . import views, views_sign_in

urlpatterns = [
    path("sign-in-code/", views_sign_in.SignInCode.as_view(), name="sign_in_code"),
    path("sign-in-passkey/", views_sign_in.SignInPasskey.as_view(), name="sign_in_passkey"),
    path("account/is-it-you/", views_sign_in.Confirm.as_view(), name="reauthenticate"),
    path("account/second-factor/", views.second_factor, name="second_factor"),
    path("account/second-factor/app/", views.app_add, name="app_add"),
    path("account/second-factor/app/remove/", views.app_remove, name="app_remove"),
    path("account/second-factor/passkeys/", views.passkey_add, name="passkey_add"),
    path("account/second-factor/passkeys/<int:pk>/remove/", views.passkey_remove, name="passkey_remove"),
    path("account/second-factor/recovery-codes/", views.recovery_codes_new, name="recovery_codes_new"),
]

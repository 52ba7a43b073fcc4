"""The URLs of sign-in and of the account page, in the namespace `accounts`."""

from django.urls import path

from . import account, views

urlpatterns = [
    path("sign-up/", views.SignUp.as_view(), name="sign_up"),
    path("sign-in/", views.SignIn.as_view(), name="sign_in"),
    path("sign-out/", views.SignOut.as_view(), name="sign_out"),
    path("password/forgotten/", views.ResetPassword.as_view(), name="password_reset"),
    path("password/forgotten/mailed/", views.ResetPasswordDone.as_view(), name="password_reset_done"),
    path("password/<uidb64>/<token>/", views.SetPassword.as_view(), name="password_reset_confirm"),
    path("account/", account.account, name="account"),
    path("account/password/", views.ChangePassword.as_view(), name="password_change"),
    path("account/addresses/", account.add_address, name="add_address"),
    path("account/addresses/<int:pk>/mail/", account.mail_again, name="mail_again"),
    path("account/addresses/<int:pk>/remove/", account.remove_address, name="remove_address"),
    path("account/confirm/<token>/", account.confirm, name="confirm"),
]

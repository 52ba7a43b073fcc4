"""Sign-up and sign-in with a password, and the account page."""

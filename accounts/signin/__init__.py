"""Sign-in with a password, and the account page."""

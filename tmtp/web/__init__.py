"""Code that `tmtp.mailbox` and `tmtp.pages` share. A site can use it for pages of its own.

It does not depend on how members sign in: pages use `request.user`, and send visitors to `settings.LOGIN_URL`.
"""

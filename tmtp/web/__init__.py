"""What the pages for members share: `tmtp.mailbox`, `tmtp.pages`, and pages of a site's own that go with them.

None of it knows how people sign in: a page asks for `request.user`, and sends visitors to `settings.LOGIN_URL`.
"""

"""Tell members what is new in their mailbox: notices of open pages, Web Push, and a digest by e-mail.

Each member chooses of what they are told, how, and when not (`models.Preferences`, `rules`). Browsers subscribe to Web
Push (`subscriptions`). Workers find new messages (`arrivals`), tell push services of them (`push`), and send the
digest (`digests`). Pages can be installed as an app (`views.installing`).
"""

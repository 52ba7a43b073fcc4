"""The people of the example site (`mnmsite.tests.scene`), for tests and for code that runs in its processes."""

PASSWORD = "correct horse battery"
UNIVERSITY = {
    "label": "Example University",
    "login": ["https://university.example/authorize", "response_type=code"],
    "token": ["https://university.example/token", "grant_type=authorization_code"],
    "std": ["client_id=chess"],
    "keys": "https://university.example/keys",
    "iss": "https://university.example",
    "aud": "chess",
    "site": {"client_id": "chess-site", "client_secret": "hush", "scope": "openid"},
}

RENDERED = ["400.html", "403.html", "403_csrf.html", "500.html", "accounts/locked_out.html"]
# The readers of pages: BETWEEN has given Anna's password, but not her second factor.
VISITOR, ANNA, NEW, COMING, BETWEEN = "visitor", "anna", "newcomer", "coming", "between"

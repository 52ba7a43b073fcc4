"""Who is on the scene, and looks at its pages: for `mnmsite.tests.scene`, and for what runs in its site."""

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
VISITOR, ANNA, NEW, COMING = "visitor", "anna", "newcomer", "coming"  # who looks at a page

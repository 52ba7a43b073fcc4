"""Sign-in with OpenID Connect: the website as a client of the providers in TMTP["OPENID"] that have a "site"."""

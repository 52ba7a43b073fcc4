"""Sign in with OpenID Connect: the website is a client of the providers in TMTP["OPENID"] with a member "site"."""

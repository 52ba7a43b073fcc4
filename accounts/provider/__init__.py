"""The site's own sign-in as the OpenID provider of its members' devices: optional, on django-oauth-toolkit.

A device opens the site in a browser, the member signs in and agrees, and the device gets an id_token that it registers
with (op 1). The one client of this provider is a native program without a secret, so PKCE is what protects the code.
"""

"""The site as the OpenID provider of its members' devices. Optional; it needs django-oauth-toolkit.

A device opens the site in a browser, the member signs in and agrees, and the device receives an id_token with which it
registers (op 1). The only client of this provider is a native program without a secret, so PKCE protects the code.
"""

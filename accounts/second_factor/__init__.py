"""The second factor of sign-in: an authenticator app (TOTP), passkeys (WebAuthn), and recovery codes.

Whoever has one is signed in only after showing it (`signing_in`), whatever came before: a password or a provider. A
passkey that has asked for a PIN or a finger is enough alone.
"""

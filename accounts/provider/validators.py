"""django-oauth-toolkit's validator of requests, with the rules for devices."""

from __future__ import annotations

from typing import Any

from oauth2_provider.oauth2_validators import OAuth2Validator

from .identities import subject


class DeviceValidator(OAuth2Validator):
    """Add to the toolkit's rules: members must be active and are always asked; there are no refresh tokens."""

    def validate_code(self, client_id: str, code: str, client: Any, request: Any, *args: Any, **kwargs: Any) -> bool:
        """Refuse the code of a member who has been deactivated since."""
        return super().validate_code(client_id, code, client, request, *args, **kwargs) and request.user.is_active

    def _save_bearer_token(self, token: dict[str, Any], request: Any, *args: Any, **kwargs: Any) -> None:
        """Remove the refresh token: a device needs the id_token only once."""
        token.pop("refresh_token", None)
        super()._save_bearer_token(token, request, *args, **kwargs)

    def get_additional_claims(self, request: Any) -> dict[str, Any]:
        """Add `sub` and nothing else, such as a name or an address."""
        return {"sub": subject(request.user)}

    def validate_silent_login(self, request: Any) -> bool:
        """Allow prompt=none for members who are signed in; see the next method."""
        return True

    def validate_silent_authorization(self, request: Any) -> bool:
        """Refuse prompt=none: the member must agree to each device."""
        return False

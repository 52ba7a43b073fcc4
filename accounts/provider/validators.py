"""What django-oauth-toolkit is told about requests of devices."""

from __future__ import annotations

from typing import Any

from oauth2_provider.oauth2_validators import OAuth2Validator

from .members import subject


class DeviceValidator(OAuth2Validator):
    """The toolkit's rules, and: only active members, no refresh tokens, never without asking."""

    def validate_code(self, client_id: str, code: str, client: Any, request: Any, *args: Any, **kwargs: Any) -> bool:
        """A member who was deactivated since is not let in."""
        return super().validate_code(client_id, code, client, request, *args, **kwargs) and request.user.is_active

    def _save_bearer_token(self, token: dict[str, Any], request: Any, *args: Any, **kwargs: Any) -> None:
        """A device needs the id_token once; a refresh token would be good for longer than the member is."""
        token.pop("refresh_token", None)
        super()._save_bearer_token(token, request, *args, **kwargs)

    def get_additional_claims(self, request: Any) -> dict[str, Any]:
        """Who it is, and nothing else: no name, no address."""
        return {"sub": subject(request.user)}

    def validate_silent_login(self, request: Any) -> bool:
        """prompt=none, of someone who is signed in."""
        return True

    def validate_silent_authorization(self, request: Any) -> bool:
        """prompt=none: no device is connected without being asked for."""
        return False

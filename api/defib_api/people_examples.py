"""Examples of people, their sessions and their tokens, for the OpenAPI."""

from typing import Any

ME: dict[str, Any] = {
    "name": "kim",
    "role": "operator",
    "via": "session",
    "csrfToken": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "expiresAt": "2024-01-02T00:00:00Z",
}
SIGNED_OUT: dict[str, Any] = {
    "success": True,
    "changed": True,
    "message": "signed out; the session's cookie is good for nothing now",
}
PERSONAL: dict[str, Any] = {
    "id": "personal_token_4",
    "name": "ci",
    "role": "viewer",
    "createdBy": "kim",
    "createdAt": "2024-01-01T12:00:00Z",
    "expiresAt": "2024-03-31T12:00:00Z",
}
PERSONAL_MADE: dict[str, Any] = {
    "success": True,
    "message": "ci is viewer until 2024-03-31T12:00:00Z. The token is shown this once.",
    "id": "personal_token_4",
    "token": "defib_person_p0c4...",
    "expiresAt": "2024-03-31T12:00:00Z",
}
PERSONAL_REVOKED: dict[str, Any] = {
    "success": True,
    "changed": True,
    "message": "the token of ci is revoked, and so are the sessions begun with it",
}
SESSION: dict[str, Any] = {
    "id": "session_9",
    "name": "kim",
    "role": "operator",
    "via": "oidc",
    "token": None,
    "current": False,
    "createdAt": "2024-01-01T12:00:00Z",
    "expiresAt": "2024-01-02T00:00:00Z",
}
SESSION_ENDED: dict[str, Any] = {
    "success": True,
    "changed": True,
    "message": "the session of kim is ended",
}
SESSIONS_ENDED: dict[str, Any] = {
    "success": True,
    "changed": True,
    "message": "2 sessions of kim are ended",
}
LACKING: dict[str, Any] = {
    "success": False,
    "message": "kim is viewer here, and this needs operator",
}
WAYS: dict[str, Any] = {
    "token": True,
    "oidc": {"label": "Sign in with your organisation", "url": "/api/oidc/login"},
    "proxy": False,
}

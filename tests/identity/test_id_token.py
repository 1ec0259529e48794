"""ID tokens that are expired, forged, for somebody else, or of another attempt."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from defib_api.oidc.id_token import Expected, SignatureRefused, TokenRefused, read_id_token
from defib_api.oidc.person import ClaimRules, NoRole, person_of
from defib_core.domain.roles import Role, RoleMapping

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
OTHER = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
CURVE = ECKey.generate_key("P-256", {"kid": "curve", "use": "sig"})
KEYS = KeySet([KEY, CURVE])
EXPECTED = Expected("https://id.example.com", "defib", "the-nonce")


def moment(**offset: float) -> int:
    return int((NOW + timedelta(**offset)).timestamp())


def claims(**changes: object) -> dict[str, Any]:
    said = {
        "iss": EXPECTED.issuer,
        "aud": EXPECTED.client_id,
        "sub": "248289761001",
        "nonce": EXPECTED.nonce,
        "iat": moment(seconds=-1),
        "exp": moment(minutes=5),
        **changes,
    }
    return {name: value for name, value in said.items() if value is not None}


def token(
    *, key: RSAKey | ECKey = KEY, kid: str = "one", alg: str = "RS256", **changes: object
) -> str:
    return jwt.encode({"alg": alg, "kid": kid}, claims(**changes), key, algorithms=[alg])


def test_a_good_token_is_read() -> None:
    assert read_id_token(token(), KEYS, EXPECTED, NOW)["sub"] == "248289761001"
    curve = token(key=CURVE, kid="curve", alg="ES256")
    assert read_id_token(curve, KEYS, EXPECTED, NOW)["sub"] == "248289761001"
    several = token(aud=["other", "defib"], azp="defib")
    assert read_id_token(several, KEYS, EXPECTED, NOW)["azp"] == "defib"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"exp": moment(minutes=-2)}, "expired"),
        ({"exp": None}, "not when"),
        ({"exp": "tomorrow"}, "not when"),
        ({"iat": moment(minutes=2)}, "of the future"),
        ({"nbf": moment(minutes=2)}, "of the future"),
        ({"iat": moment(hours=-1)}, "long before"),
        ({"iat": None}, "not when"),
        ({"aud": "another-client"}, "another audience"),
        ({"aud": None}, "another audience"),
        ({"aud": ["defib", "other"]}, "another client"),
        ({"azp": "other"}, "another client"),
        ({"iss": "https://evil.example.com"}, "another issuer"),
        ({"iss": "https://id.example.com/"}, "another issuer"),
        ({"nonce": "of-another"}, "another attempt"),
        ({"nonce": None}, "another attempt"),
        ({"nonce": 5}, "another attempt"),
        ({"sub": None}, "not whom"),
        ({"sub": ""}, "not whom"),
        ({"sub": "x" * 256}, "not whom"),
    ],
)
def test_what_is_not_for_us_now_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(TokenRefused, match=why):
        read_id_token(token(**changes), KEYS, EXPECTED, NOW)


def unsigned() -> str:
    head = "eyJhbGciOiJub25lIn0"  # {"alg":"none"}
    return f"{head}.{token().split('.')[1]}."


def signed_with_the_public_key() -> str:
    head = _base64(b'{"alg":"HS256","kid":"one"}')
    said = f"{head}.{token().split('.')[1]}"
    made = hmac.new(KEY.as_pem(private=False), said.encode(), hashlib.sha256).digest()
    return f"{said}.{_base64(made)}"


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def with_other_claims() -> str:
    head, _, signature = token().split(".")
    return f"{head}.{token(sub='somebody else').split('.')[1]}.{signature}"


@pytest.mark.parametrize(
    "forged",
    [
        token(key=OTHER),
        token(kid="unknown"),
        unsigned(),
        with_other_claims(),
        "",
        "a.b.c",
        "None",
        token() + "xxxx",
        signed_with_the_public_key(),
    ],
    ids=[
        "another key",
        "an unknown key",
        "no signature",
        "swapped claims",
        "empty",
        "rubbish",
        "None",
        "longer",
        "the public key as a secret",
    ],
)
def test_what_the_provider_did_not_sign_is_refused(forged: str) -> None:
    with pytest.raises(SignatureRefused):
        read_id_token(forged, KEYS, EXPECTED, NOW)


ROLES = RoleMapping.read("administrator=admins; operator=cn=ops,dc=example; viewer=lookers")
RULES = ClaimRules("preferred_username", "groups", ROLES)


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["lookers", "admins"], Role.ADMINISTRATOR),
        ("lookers", Role.VIEWER),
        (["cn=ops,dc=example", 5, None], Role.OPERATOR),
    ],
)
def test_the_highest_role_counts(groups: object, role: Role) -> None:
    assert person_of({"sub": "1", "groups": groups}, RULES).role is role


@pytest.mark.parametrize("groups", [None, [], "", "Admins", True, {"admins": True}, [["admins"]]])
def test_who_is_in_no_group_has_no_role(groups: object) -> None:
    with pytest.raises(NoRole, match="has no role here"):
        person_of({"sub": "1", "groups": groups}, RULES)


def test_a_role_may_be_everybodys() -> None:
    rules = ClaimRules("name", "groups", RoleMapping.read("viewer=*\nadministrator=admins"))
    assert person_of({"sub": "1"}, rules).role is Role.VIEWER
    assert person_of({"sub": "1", "groups": ["admins"]}, rules).role is Role.ADMINISTRATOR


def test_a_claim_may_lie_deeper() -> None:
    rules = ClaimRules("name", "realm_access.roles", ROLES)
    said = {"sub": "1", "realm_access": {"roles": ["admins"]}}
    assert person_of(said, rules).role is Role.ADMINISTRATOR
    with pytest.raises(NoRole):
        person_of({"sub": "1", "realm_access": "admins"}, rules)


@pytest.mark.parametrize("name", ["a\nb", "", " x", "x" * 129, 5, None, "a\x1b[2J"])
def test_a_name_that_would_forge_a_line_is_not_taken(name: object) -> None:
    said = {"sub": "248", "preferred_username": name, "groups": ["lookers"]}
    assert person_of(said, RULES).name == "248"


def test_an_address_counts_only_where_it_is_verified() -> None:
    rules = ClaimRules("email", "email", RoleMapping.read("administrator=kim@example.com"))
    said: dict[str, Any] = {"sub": "1", "email": "kim@example.com"}
    with pytest.raises(NoRole):
        person_of(said, rules)
    found = person_of({**said, "email_verified": True}, rules)
    assert (found.name, found.role) == ("kim@example.com", Role.ADMINISTRATOR)


@pytest.mark.parametrize(
    "text", ["admins", "root=admins", "viewer=", "viewer=a; operator=a", "viewer:a"]
)
def test_a_mapping_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"ROLE=GROUP|two roles"):
        RoleMapping.read(text)

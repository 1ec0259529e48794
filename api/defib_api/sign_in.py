"""The ways to sign in beside tokens, put together from the settings."""

from dataclasses import dataclass
from typing import Self

from defib_api.oidc.person import ClaimRules
from defib_api.oidc.provider import Provider
from defib_api.trusted_proxy import TrustedProxy
from defib_core.config.settings import ApiSettings


@dataclass(frozen=True, slots=True)
class SignIn:
    """What is set up."""

    provider: Provider | None
    proxy: TrustedProxy | None
    rules: ClaimRules

    @classmethod
    def of(cls, settings: ApiSettings) -> Self:
        """Put it together; nothing connects."""
        return cls(
            provider=None if settings.oidc_issuer is None else Provider(settings),
            proxy=TrustedProxy.of(settings),
            rules=ClaimRules(
                settings.oidc_name_claim, settings.oidc_role_claim, settings.role_mapping
            ),
        )

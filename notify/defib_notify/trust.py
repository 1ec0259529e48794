"""Whom our own connections trust: the public certificate authorities, and those of the file."""

import ssl

import httpx

from defib_notify.configuration import NotifyConfig


def trust_of(config: NotifyConfig) -> ssl.SSLContext:
    """Make the TLS context of webhooks and of the dead man's switch."""
    context = httpx.create_ssl_context(trust_env=False)
    if config.ca_bundle is not None:
        context.load_verify_locations(cadata=config.ca_bundle)
    return context

"""What a batch of reports looks like, and how its bytes become reports; wrong ones harm no other.

A whole batch is read in one pass; only where something in it is wrong is each report read by
itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from defib_api.ingest.explain import BODY, FieldError, explain
from defib_api.ingest.report import Malformed, Report, is_consistent

MOST_REPORTS = 1000
MOST_AGE = 604_800

Age = Annotated[float, Meta(ge=0, le=MOST_AGE)]
Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Version = Annotated[str, Meta(max_length=64)]


class BatchedReport(Report, rename="camel", gc=False, frozen=True):
    """A report that was under way for a while."""

    age_seconds: Age = 0.0
    """How long before sending the sample was taken, by the sender's monotonic clock."""
    key_digest: Digest | None = None
    """From a relay: the SHA-256 of the key that the agent sent, in hex."""


class OfTheRelay(msgspec.Struct, rename="camel", gc=False, frozen=True):
    """What a relay says of itself, where it can keep reports: its proof that it is heard."""

    waiting: Count = 0
    lost: Count = 0
    version: Version | None = None


class _Batch(msgspec.Struct, frozen=True):
    reports: Annotated[list[BatchedReport], Meta(max_length=MOST_REPORTS)]
    relay: OfTheRelay | None = None


class _RawBatch(msgspec.Struct, frozen=True):
    reports: Annotated[list[msgspec.Raw], Meta(max_length=MOST_REPORTS)]
    relay: OfTheRelay | None = None


class Envelope(msgspec.Struct, rename="camel", frozen=True):
    """How old a report is and under whose key it came, whatever else is wrong with it."""

    age: Age = msgspec.field(default=0.0, name="ageSeconds")
    key_digest: Digest | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """One of a batch that is no report: its bytes, and what is wrong with it."""

    raw: bytes
    errors: Sequence[FieldError]


@dataclass(frozen=True, slots=True)
class Batch:
    """What came, in its order."""

    reports: Sequence[BatchedReport | Unreadable]
    relay: OfTheRelay | None


_decoder = msgspec.json.Decoder(_Batch)
_raw_decoder = msgspec.json.Decoder(_RawBatch)
_one_decoder = msgspec.json.Decoder(BatchedReport)
_envelope_decoder = msgspec.json.Decoder(Envelope)
_DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode_batch(body: bytes) -> Batch:
    """Read a batch; raise Malformed, with a text for people, where it is none as a whole."""
    try:
        batch = _decoder.decode(body)
    except _DECODE_ERRORS:
        return _decode_one_by_one(body)
    if all(map(is_consistent, batch.reports)):
        return Batch(batch.reports, batch.relay)
    return _decode_one_by_one(body)


def envelope_of(raw: bytes) -> Envelope | None:
    """Read what is around a report; None where not even that can be read."""
    try:
        return _envelope_decoder.decode(raw)
    except _DECODE_ERRORS:
        return None


def _decode_one_by_one(body: bytes) -> Batch:
    try:
        batch = _raw_decoder.decode(body)
    except _DECODE_ERRORS as error:
        raise Malformed(_what_is_wrong(error)) from error
    return Batch([_decode_one(bytes(raw)) for raw in batch.reports], batch.relay)


def _decode_one(raw: bytes) -> BatchedReport | Unreadable:
    try:
        report = _one_decoder.decode(raw)
    except _DECODE_ERRORS:
        return Unreadable(raw, explain(raw, BatchedReport))
    return report if is_consistent(report) else Unreadable(raw, explain(raw, BatchedReport))


def _what_is_wrong(error: Exception) -> str:
    if isinstance(error, msgspec.ValidationError):
        return (
            f'must be {{"reports": [...]}} with at most {MOST_REPORTS} reports, each a JSON object'
            f" ({error})"
        )
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    return f"is not valid JSON in UTF-8: {error}"


def whole_batch(error: Malformed) -> list[FieldError]:
    """What is wrong with a body that is no batch at all."""
    return [FieldError(BODY, str(error))]

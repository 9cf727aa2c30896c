"""Digests of values: equal values give equal text, and so equal digests."""

import hashlib
import json

from organome.domain.outcomes import JsonValue


def canonical_json(value: JsonValue) -> str:
    """Write a value the one way in which equal values give equal text.

    Raises:
        ValueError: If the value holds NaN or an infinity.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest_of(value: JsonValue) -> str:
    """Return the SHA-256 of a value, hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def settings_digest(version: int, settings: JsonValue) -> str:
    """Digest what a step was asked for, and the version of its code: first 16 digits."""
    return digest_of([version, settings])[:16]


def outcome_fingerprint(
    step: str, version: int, settings: JsonValue, input_identity: JsonValue
) -> str:
    """Digest all that the outcome of a scan depends on.

    Args:
        step: Name of the step.
        version: Version of its code.
        settings: All its settings that change results.
        input_identity: What the outcome depends on besides: files, outcomes of the steps before.
    """
    return digest_of([step, version, settings, input_identity])

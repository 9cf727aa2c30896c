"""Log lines: one event each, with step, shard and scan; never a participant."""

import json
import logging


def log_event(
    logger: logging.Logger,
    event: str,
    *,
    step: str,
    shard: str,
    scan: str | None = None,
    **fields: object,
) -> None:
    """Log one event as ``event=scan_done step=prepare_images shard=0003 scan=0003-0017 ...``.

    Args:
        logger: The logger of the calling module.
        event: What happened, one word.
        step: Name of the step.
        shard: Name of the shard.
        scan: Key of the scan where the event concerns one.
        fields: Further facts. Values with blanks are quoted. No participant, no header text.
    """
    named = {"event": event, "step": step, "shard": shard, "scan": scan, **fields}
    parts = (f"{name}={_word(value)}" for name, value in named.items() if value is not None)
    logger.info(" ".join(parts))


def _word(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return json.dumps(text) if not text or set(text) & set(' "=\n\t') else text

"""Tells a webhook of a night: counts and stable ids as JSON, never a prompt, an account, or a path.

Posted when a new campaign alerts, when a night fails, and when one looks wrong. `text` says it in a sentence, under the
name that chat programs show. A night that is published stays so, whether the webhook answers or not.
"""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from refrain.config import AlertsConfig
from refrain.errors import RefrainError, fault_place
from refrain.figures import counted
from refrain.night_counts import Oddity
from refrain.posting import PAUSES, SCHEMES, post

logger = logging.getLogger(__name__)

WEBHOOK_VARIABLE = "REFRAIN_WEBHOOK"
VERSION = 1
_PAUSES = PAUSES


def tell_night(
    config: AlertsConfig,
    day: date,
    *,
    run: str,
    new_campaigns: Sequence[str],
    oddities: Sequence[Oddity],
    counts: Mapping[str, int],
) -> bool:
    """Whether the webhook heard of a published night; True where there is nothing to tell or nobody to tell it to."""
    if not new_campaigns and not oddities:
        return True
    parts = [f"{counted(len(new_campaigns), 'new campaign')}: {', '.join(new_campaigns)}"] if new_campaigns else []
    parts += [oddity.words for oddity in oddities]
    return _post(
        config,
        {
            "version": VERSION,
            "event": "night",
            "text": f"refrain, night {day}: {'; '.join(parts)}",
            "day": day.isoformat(),
            "run": run,
            "new_campaigns": list(new_campaigns),
            "oddities": [{"kind": oddity.kind, "text": oddity.words} for oddity in oddities],
            "counts": dict(counts),
        },
    )


def tell_failure(config: AlertsConfig, day: date | None, error: BaseException) -> bool:
    """Whether the webhook heard that a night failed; True where nobody is to hear it.

    It hears the kind of the failure alone: a message names files.
    """
    kind = type(error).__name__ if isinstance(error, RefrainError) else fault_place(error)
    night = f"night {day}" if day else "the night"
    return _post(
        config,
        {
            "version": VERSION,
            "event": "failure",
            "text": f"refrain: {night} failed ({kind}); its machine says why",
            "day": day.isoformat() if day else None,
            "failure": kind,
        },
    )


def _post(config: AlertsConfig, data: Mapping[str, Any]) -> bool:
    """Whether the webhook took it; True where there is none. Its address is in no message: it can be a secret."""
    url = os.environ.get(WEBHOOK_VARIABLE) or config.webhook
    if not url:
        return True
    if not url.startswith(SCHEMES):
        logger.warning("the webhook must begin with http:// or https://; nothing was sent")
        return False
    body = json.dumps(data, sort_keys=True).encode("ascii")
    reason = post(url, body, {"Content-Type": "application/json"}, _PAUSES)
    if reason:
        logger.warning("the webhook did not take the message: %s", reason)
    return not reason

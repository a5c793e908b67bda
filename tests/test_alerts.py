"""The webhook: what it hears and when, that it hears no more, and that no night waits or fails for it."""

import json
import logging
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from webhooks import hook

from refrain import alerts
from refrain.alerts import WEBHOOK_VARIABLE, tell_failure, tell_night
from refrain.errors import InputError
from refrain.night_counts import Oddity
from refrain.settings import load_settings

NOBODY = load_settings().config.alerts
DAY = date(2026, 5, 8)
CANARY = "acct-canary-7261"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "_PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.delenv(WEBHOOK_VARIABLE, raising=False)


def tell(url: str, **more: Any) -> bool:
    """Whether the webhook heard of a night with a new campaign."""
    told = {"run": "nightly-2026-05-08", "new_campaigns": ["c-0123456789ab"], "oddities": [], "counts": {"kept": 9}}
    return tell_night(replace(NOBODY, webhook=url), DAY, **{**told, **more})


def test_a_new_campaign_is_posted_with_counts_and_ids() -> None:
    with hook(200) as found:
        assert tell(found.url, oddities=[Oddity("volume", "9 requests on 2026-05-08")])
    assert found.heard == [
        {
            "version": 1,
            "event": "night",
            "text": "refrain, night 2026-05-08: 1 new campaign: c-0123456789ab; 9 requests on 2026-05-08",
            "day": "2026-05-08",
            "run": "nightly-2026-05-08",
            "new_campaigns": ["c-0123456789ab"],
            "oddities": [{"kind": "volume", "text": "9 requests on 2026-05-08"}],
            "counts": {"kept": 9},
        }
    ]


def test_a_quiet_night_posts_nothing_and_so_does_one_with_nobody_to_hear_it() -> None:
    with hook(200) as found:
        assert tell(found.url, new_campaigns=[])
        assert tell("")
    assert not found.tries


def test_the_environment_goes_before_the_config(monkeypatch: pytest.MonkeyPatch) -> None:
    with hook(204) as found:
        monkeypatch.setenv(WEBHOOK_VARIABLE, found.url)
        assert tell("http://127.0.0.1:9/none")
    assert len(found.heard) == 1


def test_a_failure_is_told_by_its_kind_alone() -> None:
    with hook(200) as found:
        config = replace(NOBODY, webhook=found.url)
        assert tell_failure(config, DAY, InputError(f"/logs/{CANARY} is wrong"))
        assert tell_failure(config, None, ValueError(CANARY))
    assert [told["failure"].split()[0] for told in found.heard] == ["InputError", "ValueError"]
    assert "night 2026-05-08 failed (InputError)" in found.heard[0]["text"]
    assert CANARY not in json.dumps(found.heard)


def test_what_passes_is_tried_again_and_what_does_not_is_not() -> None:
    with hook(503, 429, 200) as found:
        assert tell(found.url)
    assert (found.tries, len(found.heard)) == (3, 1)
    with hook(404) as found:
        assert not tell(found.url)
    assert found.tries == 1
    with hook(500) as found:
        assert not tell(found.url)
    assert found.tries == 3


def test_a_redirect_is_not_followed() -> None:
    with hook(302, 200) as found:
        assert not tell(found.url)
    assert not found.heard


def test_no_message_shows_the_address(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        with hook(404) as found:
            assert not tell(found.url)
        assert not tell(found.url)  # nobody listens any more
        assert not tell("http://127.0.0.1:0/secret-path")
        assert not tell("http://bad host/secret-path")
    assert "did not take" in caplog.text
    assert "secret-path" not in caplog.text

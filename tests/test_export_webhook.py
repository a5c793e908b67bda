"""The webhook hears each finding once a sending, signed, under an id that follows from what it says."""

import base64
import hashlib
import hmac
import json
from pathlib import Path

import pytest
from exported import IDENTITIES, STANDINGS, make_run, options_for, tables
from tables import RUBRIC
from webhooks import Hook, hook

from refrain.errors import ConfigError, InputError, StoreError
from refrain.exporters import webhook
from refrain.exporters.exporter import Standing
from refrain.exporters.registry import export_run, find_exporter
from refrain.exporters.webhook import SECRET_VARIABLE, signed
from refrain.formats import plain

CONTENT = "application/cloudevents+json; charset=utf-8"
SECRET = b"a secret of the tests, 32 bytes."


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, f"whsec_{base64.b64encode(SECRET).decode()}")
    monkeypatch.setattr(webhook, "_pauses", (0.0, 0.0, 0.0))


def verify(found: Hook) -> None:
    """Nothing; each message has the signature that the receiver computes from its headers and raw body."""
    for body, headers in zip(found.bodies, found.headers, strict=True):
        content = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
        wanted = base64.b64encode(hmac.new(SECRET, content, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{wanted}"


def test_an_alert_is_one_event_with_its_counts_and_evidence(run: Path) -> None:
    with hook(202, content=CONTENT) as found:
        assert export_run(run, found.url, "webhook", options_for(run)) == {"events": 1}
    verify(found)
    [event] = found.heard
    row = plain(tables(run)["campaigns"][0])
    assert (event["specversion"], event["type"]) == ("1.0", "refrain.finding.v1")
    assert (event["source"], event["subject"], event["time"]) == (
        f"/refrain/{run.name}",
        IDENTITIES[0],
        row["last_seen"],
    )
    assert event["id"] == found.headers[0]["webhook-id"]
    for name in ("accounts", "owners", "requests", "score", "p_value", "q_value", "alert", "families", "benign"):
        assert event["data"][name] == row[name]
    assert RUBRIC not in json.dumps(event)
    assert "pool-1" not in json.dumps(event)


def test_the_published_example_of_a_signature() -> None:
    """The vector of the Standard Webhooks libraries: id, timestamp, secret and payload of their tests."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    content = b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330." + body
    told = base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()
    assert told == "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    ours, headers = signed({"id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "test": 1}, secret, 1614265330)
    mine = base64.b64encode(
        hmac.new(secret, b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330." + ours, hashlib.sha256).digest()
    ).decode()
    assert headers["webhook-signature"] == f"v1,{mine}"


def test_twice_is_the_same_id_and_a_change_is_another(run: Path) -> None:
    with hook(200, content=CONTENT) as found:
        export_run(run, found.url, "webhook", options_for(run))
        export_run(run, found.url, "webhook", options_for(run))
        standings = {**STANDINGS, IDENTITIES[0]: Standing("dormant", "watching")}
        export_run(run, found.url, "webhook", options_for(run, standings=standings))
    first, again, other = (event["id"] for event in found.heard)
    assert first == again != other
    assert found.heard[0] == found.heard[1]


def test_members_and_all_findings_where_they_are_asked_for(run: Path) -> None:
    with hook(200, content=CONTENT) as found:
        export_run(run, found.url, "webhook", options_for(run, more={"findings": "all", "accounts": "yes"}))
    told = tables(run)["accounts"]
    for number, event in enumerate(found.heard):
        assert [one["account_id"] for one in event["data"]["members"]] == [
            row["account_id"] for row in told if row["campaign_id"] == number
        ]
    assert len(found.heard) == 2


def test_a_server_that_fails_is_tried_again_and_one_that_refuses_is_not(run: Path) -> None:
    with hook(503, 429, 200, content=CONTENT) as found:
        assert export_run(run, found.url, "webhook", options_for(run)) == {"events": 1}
    assert found.tries == 3
    assert len({headers["webhook-id"] for headers in found.headers}) == 1
    with (
        hook(401, content=CONTENT) as found,
        pytest.raises(StoreError, match=r"1 of 1 events \(status 401: 1\)") as caught,
    ):
        export_run(run, found.url, "webhook", options_for(run))
    assert found.tries == 1
    assert "secret-path" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize("secret", ["", "whsec_c2hvcnQ=", "no base64!"], ids=["none", "short", "wrong"])
def test_nothing_is_sent_unsigned(run: Path, monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, secret)
    with hook(200, content=CONTENT) as found, pytest.raises(ConfigError, match="REFRAIN_WEBHOOK_SECRET") as caught:
        export_run(run, found.url, "webhook", options_for(run))
    assert not found.tries
    assert not secret or secret not in str(caught.value)


def test_only_http_is_a_webhook_and_its_address_is_not_shown(run: Path) -> None:
    with pytest.raises(InputError, match="no address"):
        export_run(run, "file:///etc/passwd", "webhook", options_for(run))
    shown = find_exporter("webhook").shown
    assert shown("https://user:hunter2@hooks.example/T00/secret?x=1") == "https://hooks.example"
    assert shown("https://[") == "the webhook"

"""The key that providers share: how it is given, and that it never shows."""

import base64
import hashlib
import hmac

import pytest

from refrain.errors import ConfigError
from refrain.share_key import VARIABLE, share_key, share_key_name, shared_id

KEY = bytes(range(100, 132))


@pytest.mark.parametrize(
    "text",
    [
        KEY.hex(),
        KEY.hex().upper(),
        f" {KEY.hex()}\n",
        base64.b64encode(KEY).decode(),
        base64.urlsafe_b64encode(KEY).decode().rstrip("="),
    ],
)
def test_a_key_is_read_as_hex_or_base64(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    assert share_key() == KEY


@pytest.mark.parametrize(
    "text",
    ["", "  ", KEY[:31].hex(), base64.b64encode(KEY[:31]).decode(), "secretpw!", "ab" * 32, "ünicode" * 9, "A" * 44],
)
def test_a_weak_or_broken_key_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(ConfigError, match=VARIABLE) as caught:
        share_key()
    assert not text.strip() or text not in caught.value.message + caught.value.hint


def test_without_the_variable_there_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(ConfigError, match="not set"):
        share_key()


def test_an_id_is_the_hmac_that_the_documentation_says() -> None:
    expected = hmac.new(KEY, b"refrain share account\x00org-\xc3\xa97", hashlib.sha256).hexdigest()[:32]
    assert shared_id(KEY, "account", "org-é7") == f"s1:{expected}"
    others = {
        shared_id(KEY, "account", "org-é8"),
        shared_id(KEY, "request", "org-é7"),
        shared_id(KEY[::-1], "account", "org-é7"),
    }
    assert len(others | {f"s1:{expected}"}) == 4
    assert share_key_name(KEY) != share_key_name(KEY[::-1])
    assert KEY.hex()[:16] not in share_key_name(KEY)

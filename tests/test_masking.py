"""What is masked in a skeleton, what is not, and that no mask hides a slot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.contract import SLOT
from refrain.masking import MASKS, masked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to ann.b+x@mail.example.org today", "write to {email} today"),
        ("to ann＠mail.example, please", "to {email}, please"),
        ("mailto:ann@x.example.", "mailto:{email}."),
        ("https://ann:pw@h.example/a/b?token=abc&x=1#frag end", "https://h.example/a/b?{query} end"),
        ("see https://h.example/a/b.", "see https://h.example/a/b."),
        ("GET /v1/items?user=77&q=a b", "GET /v1/items?{query} b"),
        ("why? because=so", "why? because=so"),
        ("from 203.0.113.7 and 198.51.100.0/24:", "from {address} and {address}:"),
        ("2001:db8::7, fe80::1 and 0a:1b:2c:3d:4e:5f", "{address}, {address} and {address}"),
        ("at 12:30:45 call std::vector", "at 12:30:45 call std::vector"),
        ("key sk-proj-Ab12Cd34Ef56 here", "key {key} here"),
        ("id AKIAABCDEFGH12345678", "id {key}"),
        ("use sk-learn-estimators", "use sk-learn-estimators"),
        ("run 6f1d2c3b4a596877f6e5d4c3b2a19080", "run {key}"),
        ("run 123e4567-e89b-12d3-a456-426614174000", "run {key}"),
        ("aws wJalrXUtnFEMI/K7MDENG/bPxRf1C2YEXA34PLEKEY", "aws {key}"),
        ("/usr/local/lib/python3/dist-packages", "/usr/local/lib/python3/dist-packages"),
        ("the_response_format_version_2 field", "the_response_format_version_2 field"),
        ("+49 (30) 901820-0 or 4111 1111 1111 1111", "{number} or {number}"),
        ("order 1234567, page 123456", "order {number}, page 123456"),
        ("on 2026-09-01, 10 to 20", "on 2026-09-01, 10 to 20"),
        ("IBAN DE89 3704 0044 0532 0130 00", "IBAN DE{number}"),
        (f"ann@x.example{SLOT}ann@x.example", "{email}{slot}{email}"),
        (f"user {SLOT}@x.example 12{SLOT}34", "user {slot}{email} 12{slot}34"),
        ("Grade answer A and answer B, then reply {json}.", "Grade answer A and answer B, then reply {json}."),
    ],
)
def test_what_looks_like_a_persons_is_masked_and_the_rest_stays(text: str, expected: str) -> None:
    assert masked(text) == expected


_SECRETS = (
    "ann.b@mail.example.org", "sk-Ab12Cd34Ef56Gh78", "ghp_0a1b2c3d4e5f6a7b8c9d", "203.0.113.77", "2001:db8::1:7",
    "4111 1111 1111 1111", "+491701234567", "9f86d081884c7d659a2feaa0c55ad015", "https://h.example/?s=tok99",
)  # fmt: skip
_PLAIN = st.text(st.sampled_from("ab Zy.,!?:/@={}-\n\t09é漢\u202e\x00\u200b"), max_size=30)


@given(_PLAIN, st.sampled_from(_SECRETS), _PLAIN)
def test_a_secret_between_white_space_is_gone(before: str, secret: str, after: str) -> None:
    shown = masked(f"{before} {secret} {after}")
    lost = secret.rpartition("?")[2]
    assert lost not in shown
    assert any(mask in shown for mask in MASKS)


@given(st.lists(_PLAIN | st.sampled_from([*_SECRETS, SLOT, *MASKS]), max_size=6).map("".join))
def test_masking_twice_is_masking_once_and_slots_stay(text: str) -> None:
    once = masked(text)
    assert masked(once) == once
    assert once.count(SLOT) == text.count(SLOT)


@pytest.mark.parametrize("piece", ["1 ", "a@", "aA1/", ":", "1.", "x?y=", "h://", "-", "a.", "@a", "f:"])
def test_a_long_hostile_text_is_masked_in_the_time_of_its_length(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    assert masked(masked(text)) == masked(text)  # the timeout of the tests ends it where it were quadratic

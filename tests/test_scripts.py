"""The script of a text: what most of its letters are."""

import pytest

from refrain.scripts import COUNT, LATIN, script_of


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("plain words", LATIN),
        ("", LATIN),
        ("12 + 34 = …", LATIN),
        ("naïve café", LATIN),
        ("Ελληνικά", LATIN),  # no number of its own
        ("Привет, мир", 1),
        ("مرحبا بالعالم", 2),
        ("नमस्ते दुनिया", 3),
        ("สวัสดีชาวโลก", 4),
        ("你好，世界", 5),
        ("こんにちは世界", 5),
        ("안녕하세요", 6),
        ("print('привет')", 1),
        ("the word мир means peace", LATIN),
    ],
)
def test_most_letters_decide(text: str, script: int) -> None:
    assert script_of(text) == script
    assert script < COUNT

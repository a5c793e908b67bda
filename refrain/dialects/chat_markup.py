"""Prompts that hold a conversation in a model's own markup, taken apart: who said what.

A raw prompt to Llama, Mistral, Titan or an old Claude is one text with headers between the turns. The headers are no
words of anybody's, and every user of the model would share them. The forms are those of the models' documentation:
https://www.llama.com/docs/model-cards-and-prompt-formats/ (Llama 2, 3, 4), ChatML of
https://github.com/openai/openai-python/blob/release-v0.28.0/chatml.md, and
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-mistral-text-completion.html,
.../model-parameters-anthropic-claude-text-completion.html, .../model-parameters-titan-text.html.
"""

import re

Said = dict[str, str]
"""`role` and `content`."""

_HEADERS = (
    re.compile(r"<\|(?:start_header_id|header_start)\|>\s{0,4}(\w{1,32})\s{0,4}<\|(?:end_header_id|header_end)\|>"),
    re.compile(r"<\|im_start\|>(\w{1,32})\n"),
)
_MARKS = re.compile(r"<\|(?:begin_of_text|end_of_text|eot_id|eom_id|eot|eom|im_end)\|>|</?s>")
_INSTRUCTION = re.compile(r"\[(/?)INST\]")
_SYSTEM = re.compile(r"<<SYS>>(.*?)<</SYS>>", re.DOTALL)
_HUMAN = re.compile(r"(?:\A|\n\n)\s{0,4}(Human|Assistant):")
_TITAN = re.compile(r"(?:\A|\n)(User|Bot):")
_ROLES = {"Human": "user", "Assistant": "assistant", "User": "user", "Bot": "assistant"}


def turns_of(prompt: str) -> list[Said]:
    """The turns of a prompt in one of the known markups; empty where it is plain text. Blank turns are left out."""
    for header in _HEADERS:
        if header.search(prompt):
            return _between(prompt, header)
    if _INSTRUCTION.search(prompt):
        return _instructed(prompt)
    for header in (_HUMAN, _TITAN):
        speakers = list(header.finditer(prompt))
        if not speakers or _ROLES[speakers[0][1]] != "user" or _ROLES[speakers[-1][1]] != "assistant":
            continue
        # The documented form ends where the model is to go on (Claude's may begin its answer); a text that merely
        # quotes the words does not.
        if header is _HUMAN or not prompt[speakers[-1].end() :].strip():
            return _between(prompt, header)
    return []


def _between(prompt: str, header: re.Pattern[str]) -> list[Said]:
    """The texts after each header; what stands before the first is the system's."""
    found = list(header.finditer(prompt))
    turns = [("system", prompt[: found[0].start()])]
    for at, match in enumerate(found):
        end = found[at + 1].start() if at + 1 < len(found) else len(prompt)
        turns.append((_ROLES.get(match[1], match[1]), prompt[match.end() : end]))
    return _cleaned(turns)


def _instructed(prompt: str) -> list[Said]:
    """The turns between [INST] and [/INST] as the user's, those outside as the model's."""
    turns: list[tuple[str, str]] = []
    end, role = 0, "assistant"
    for match in _INSTRUCTION.finditer(prompt):
        turns.append((role, prompt[end : match.start()]))
        end, role = match.end(), "assistant" if match[1] else "user"
    turns.append((role, prompt[end:]))
    found: list[tuple[str, str]] = []
    for role, text in turns:
        found.extend(("system", system) for system in _SYSTEM.findall(text))
        found.append((role, _SYSTEM.sub("", text)))
    return _cleaned(found)


def _cleaned(turns: list[tuple[str, str]]) -> list[Said]:
    stripped = ((role, _MARKS.sub("", text).strip()) for role, text in turns)
    return [{"role": role, "content": text} for role, text in stripped if text]

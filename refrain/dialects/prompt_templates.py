"""The template that a log gives beside a prompt, with a slot where it has the name of one of its variables in braces.

Other braces stay as they are: they are common in code.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from refrain.dialects.dialect import Record
from refrain.dialects.encoded import UnparsableError, decode
from refrain.skeletons import SLOT

_PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}|\{(\w+)\}")  # {{name}} or {name}


def given_template(template: Any, variables: Mapping[str, Any]) -> Record:
    """Our column of the template, empty where there is none; what is no text is left to the intake."""
    if template is None:
        return {}
    if not isinstance(template, str):
        return {"prompt_template": template}
    return {"prompt_template": replaced(template, lambda name: SLOT if name in variables else None)}


def replaced(template: str, value: Callable[[str], str | None]) -> str:
    """The template with each name in braces replaced by its value; it stays where that is None."""

    def fill(place: re.Match[str]) -> str:
        found = value(place[1] or place[2])
        return place[0] if found is None else found

    return _PLACE.sub(fill, template)


def read_variables(values: Any) -> dict[str, Any]:
    """The variables of a template by name, from an object or its JSON text; none where they cannot be read."""
    if isinstance(values, str):
        try:
            values = decode(values)
        except UnparsableError:
            return {}
    return values if isinstance(values, dict) else {}

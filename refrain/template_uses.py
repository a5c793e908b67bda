"""Which requests use which template, as the mine stage left it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refrain.counting import Ints, slices, stable_order
from refrain.tables import read_columns


@dataclass(frozen=True)
class TemplateUses:
    """Uses of templates by requests, sorted by request, then template, and the templates' columns."""

    requests: Ints
    templates: Ints
    shares: NDArray[np.float64]
    words: Ints
    system: NDArray[np.bool_]  # of a template: most of its uses are in the system prompt
    by_template: Ints
    bounds: Ints

    def of(self, template: int) -> Ints:
        """The requests of one template."""
        return self.requests[self.by_template[self.bounds[template] : self.bounds[template + 1]]]

    def of_all(self, templates: Ints) -> Ints:
        """The requests of any of several templates, ascending."""
        return np.unique(np.concatenate([self.of(int(t)) for t in templates]))


def read_uses(templates: Path) -> TemplateUses:
    """The uses in a folder of templates."""
    table = read_columns(templates / "request_templates.parquet", ["request_row", "template_id", "share", "role"])
    words = read_columns(templates / "templates.parquet", ["words"])["words"]
    template = table["template_id"]
    by_template = stable_order(template)
    system = np.bincount(template, table["role"] == "system", len(words)) * 2 > np.bincount(
        template, minlength=len(words)
    )
    return TemplateUses(
        table["request_row"],
        template,
        table["share"],
        words,
        system,
        by_template,
        slices(template[by_template], len(words)),
    )

"""Files of an export at a bucket's URL: written here first, then put there whole (refrain.places)."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from refrain.exporters.exporter import FOLDER, URL, Exporter, Options

_MARK = "://"


def is_elsewhere(exporter: Exporter, to: str) -> bool:
    """Whether files of this format are to lie at a URL; a format whose destination is a URL looks after it itself."""
    return exporter.kind != URL and _MARK in to


def shown_destination(exporter: Exporter, to: str) -> str:
    """The destination as it may be printed."""
    from refrain.place_urls import shown_url

    return shown_url(to) if is_elsewhere(exporter, to) else exporter.shown(to)


def write_elsewhere(exporter: Exporter, exports: Path, to: str, options: Options) -> dict[str, int]:
    """The counts of the export whose files then lie at the URL `to`; what lay there under their names is replaced."""
    from refrain.places import open_output, put_folder

    with TemporaryDirectory() as temporary:
        target = Path(temporary) / "export"
        counts = exporter.write(exports, str(target), options)
        if exporter.kind == FOLDER:
            put_folder(target, to, options.places)
            return counts
        with open_output(to, options.places) as out, target.open("rb") as file:
            shutil.copyfileobj(file, out)
    return counts

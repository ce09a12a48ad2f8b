"""The browser: a run's records, kept and dropped alike, as static pages that open from a folder.

``index.html`` holds the application; ``data/<stage>-<fingerprint>/`` holds an index of the stage's rows and the rows
themselves, 100 a file, as scripts, because a page opened from a folder may load scripts but not fetch files.
Nothing is loaded from elsewhere, and what models wrote is shown as text only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoif.config import RunConfig
    from autoif.engines import Engines
    from autoif.stage import Stage
    from autoif.store import Store


@dataclass(frozen=True, slots=True)
class Written:
    """A browser on disk: the page to open, its records, and how many of these an earlier call had written."""

    page: Path
    records: int
    found: int


def write(config: RunConfig, stages: Sequence[Stage], store: Store, engines: Engines) -> Written:
    """Write the browser over the finished ``stages`` to ``task.folder``, or ``runs/<name>/inspect``.

    Stages whose pages are there already are not written again; pages of other stages are removed. ``engines`` run
    the functions on their cases, for the outcome matrices.

    Raises:
        ConfigError: when no stage with records is done.
        ReportError: when the folder cannot be written.
    """
    from autoif.browser.site import write_site

    return write_site(config, stages, store, engines)

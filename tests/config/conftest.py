"""A recording without rows: enough to plan with the recorded supervisor, wherever the shipped one is."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "empty.jsonl"
    path.write_text('{"autoif_recording":1,"model":"nobody"}\n')
    return path

"""What is common to the sections of a configuration."""

from __future__ import annotations

from typing import Any

NOT_IDENTITY: dict[str, Any] = {"identity": False}
"""Marks a field that changes how fast or where something runs, not what comes out; it stays out of fingerprints."""

"""``task=doctor``: what this machine has, and which hardware profiles would run here. Imports nothing heavy."""

from autoif.doctor.examine import Examination, examine
from autoif.doctor.text import as_json, as_text

__all__ = ["Examination", "as_json", "as_text", "examine"]

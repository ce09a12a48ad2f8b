"""The text of ``python run.py --help``, made from the names of the files in ``conf/``."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill

_HEAD = """\
AutoIF: instruction-following data that code has verified, and models trained on it.

usage: python run.py [group=option ...] [dotted.key=value ...]

  python run.py                                         the demo, end to end: a small real model on a CPU
  python run.py task=plan model=qwen2_7b pipeline=paper hardware=a100x8 algorithm=online_dpo supervisor=qwen2_72b
                                                        what would run, what it needs and what it costs
  python run.py pipeline.cross_verify.function_threshold=0.6
                                                        change a setting: only the stages behind it run again
  python run.py -m pipeline.verify_responses.threshold=0.2,0.5,0.8
                                                        a sweep; its points share what they have in common
  python run.py task=report                             write the report again from what is in the store

Stopped or killed runs go on where they were: type the same command again.
"""

_GROUPS = {
    "task": "what to do",
    "setting": "who supervises",
    "model": "what is trained",
    "supervisor": "what writes and judges",
    "pipeline": "synthesis",
    "ablation": "what it does without",
    "data": "what SFT learns",
    "algorithm": "training",
    "hardware": "where it runs",
    "evaluation": "what is measured",
    "tracking": "where metrics go",
    "experiment": "named deltas",
    "scale": "size of an experiment",
}

_TAIL = """\
Every setting with its value:  python run.py --cfg job [overrides]
Shell completion:              eval "$(python run.py -sc install=bash)"
Documentation:                 docs/configuration.md
"""


def text(conf: Path) -> str:
    """The help text for the groups in the folder ``conf``."""
    lines = []
    for group, meaning in _GROUPS.items():
        options = ", ".join(sorted(path.stem for path in (conf / group).glob("*.yaml")))
        lines.append(fill(f"{group:<11} {meaning:<23} {options}", 118, initial_indent="  ", subsequent_indent=" " * 38))
    return "\n".join([_HEAD, "groups and their options:", *lines, "", _TAIL])

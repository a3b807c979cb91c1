"""The git revision and the versions behind a result."""
import functools
import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy
import torch

PROJECT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, Any]:
    """Returns git revision, versions and number of threads, by name."""
    return {'git_revision': git_revision(), 'python': platform.python_version(), 'torch': torch.__version__,
            'numpy': numpy.__version__, 'threads': torch.get_num_threads()}


@functools.cache  # a git that hangs is waited for once
def git_revision() -> str:
    """Returns this project's revision; not that of another repository that its folder may lie in."""

    def ask(*words: str) -> str:
        return subprocess.run(['git', '-C', str(PROJECT), *words], capture_output=True, text=True,
                              errors='replace', check=True, timeout=5).stdout.strip()

    try:
        top, revision = ask('rev-parse', '--show-toplevel', 'HEAD').split('\n')
        if Path(top).resolve() != PROJECT:
            return 'unknown: not a git checkout'
        return revision + (' with uncommitted changes' if ask('status', '--porcelain', '-uno') else '')
    except (OSError, ValueError, subprocess.SubprocessError):
        return 'unknown: not a git checkout'

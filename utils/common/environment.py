"""The git revision and the versions behind a result."""
import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy
import torch

PROJECT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, Any]:
    """Returns git revision, versions and number of threads, by name."""
    git = ['git', '-C', str(PROJECT)]
    try:
        revision = subprocess.run([*git, 'rev-parse', 'HEAD'], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, 'status', '--porcelain', '-uno'], capture_output=True, text=True, check=True).stdout
        revision += ' with uncommitted changes' if changed else ''
    except (OSError, subprocess.CalledProcessError):
        revision = 'unknown: not a git checkout'
    return {'git_revision': revision, 'python': platform.python_version(), 'torch': torch.__version__,
            'numpy': numpy.__version__, 'threads': torch.get_num_threads()}

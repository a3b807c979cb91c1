"""The start of a main: it reads its command line before torch is loaded, so that --help answers at once."""
from typing import Any

from opt import parse
from utils.common.cli import exit_code, is_launched
from utils.data.dataset import Dataset


def main(dataset: Dataset, defaults: dict[str, Any], argv: list[str] | None = None) -> int:
    """Runs a main and returns its exit code, as utils/common/cli.py says.

    defaults: its own defaults, by option.
    argv: the command line, where it is not the process's.
    """
    if not is_launched():  # else several processes would say the same
        code = exit_code(lambda: parse(dataset.name, dataset.title, defaults, node_n=dataset.skeleton.node_n,
                                       argv=argv))
        if code:
            return code
    from utils import run

    return run.main(dataset, defaults, argv)

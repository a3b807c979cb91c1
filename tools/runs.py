"""List the runs under checkpoint/: how far each is, what it scored, which options are not the defaults."""
import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import main_3dpw
import main_cmu_3d
import main_h36m
from opt import completed, differing
from utils.common import run_folder
from utils.common.cli import run_tool, tool_parser
from utils.common.errors import InputError, reading
from utils.evaluate.results import NETWORK, Results, read_results
from utils.report import tables
from utils.report.comparison import load_history

DEFAULTS = {'h36m': main_h36m.DEFAULTS, 'cmu': main_cmu_3d.DEFAULTS, '3dpw': main_3dpw.DEFAULTS}
LABELS = (80, 400)  # ms, at which the test error is shown


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('folder', metavar='FOLDER', type=Path, nargs='?',
                        help='where the runs are (default: checkpoint/)')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None) -> None:
    folder = parse_arguments(argv).folder or run_folder.RUNS
    with reading(folder):
        runs = sorted(path for path in folder.iterdir() if path.is_dir() and run_folder.holds_run(path))
    if not runs:
        raise InputError(f'{folder}: holds no runs; give the folder that their folders are in')
    print(tables.terminal(page(runs)), end='')


def page(runs: Sequence[Path]) -> list[tables.Block]:
    """Returns a table with a row for each run, and below it the options and what could not be read."""
    cells = [['run', 'dataset', 'frames', 'started', 'epochs', 'validation mm',
              *(f'test {label} ms' for label in LABELS)]]
    options, unreadable = [], []
    for run in runs:
        row, changed, problems = describe(run)
        cells.append([run.name, *row])
        options += [f'{run.name}: {" ".join(changed)}'] if changed else []
        unreadable += problems
    blocks: list[tables.Block] = [tables.Table(cells)]
    if options:
        blocks += ['Options that differ from those of the main and its recipe:', tables.Notes(options)]
    return blocks + ([tables.Notes(unreadable)] if unreadable else [])


def describe(run: Path) -> tuple[list[str], list[str], list[str]]:
    """Returns a run's values in the table, its options that differ, and what could not be read of it.

    The options stand as on a command line.
    """
    about, problems = run_folder.read_about(run), []
    settings: dict[str, Any] = {}
    changed: dict[str, Any] = {}
    try:
        settings = completed(about['options'])
        changed = differing(settings, DEFAULTS[settings['dataset']])
    except (KeyError, TypeError, ValueError) as error:
        problems.append(f'{run / run_folder.ABOUT}: is not the options of a run ({error!r})'[:300])
    history: list[dict[str, float]] = []
    results: Results | None = None
    try:
        history = load_history(run / 'history.csv')
    except InputError as error:
        problems.append(str(error))
    if (run / run_folder.RESULTS).exists():
        try:
            results = read_results(run / run_folder.RESULTS)
        except InputError as error:
            problems.append(str(error))
    has_frames = {'input_n', 'output_n'} <= settings.keys()
    frames = f'{settings["input_n"]} + {settings["output_n"]}' if has_frames else '-'
    # A run that was trained on its validation windows has no error that compares with the others'.
    validation = min((entry['validation'] for entry in history if 'validation' in entry
                      and not entry.get('refit')), default=None)
    row = [str(settings.get('dataset', '-')), frames, str(about.get('started', '-'))[:16].replace('T', ' '),
           f'{len(history)} of {epochs_of_all(about, settings)}', tables.number(validation),
           *(tables.number(error_at(results, label)) for label in LABELS)]
    options = [f'--{name}' if value is True else f'--{name} {value}' for name, value in changed.items()]
    return row, options, problems


def epochs_of_all(about: dict[str, Any], settings: dict[str, Any]) -> str:
    """Returns how many epochs a run is to have in all, as it was last said when it was resumed."""
    resumed = about.get('resumed')
    if isinstance(resumed, list) and resumed and isinstance(resumed[-1], dict):
        return str(resumed[-1].get('epochs', '-'))
    return str(settings.get('epoch', '-'))


def error_at(results: Results | None, label: int) -> float | None:
    """Returns the test error at one of the field's labels, mean over actions; None where it is not scored."""
    if results is None or label not in results.label_ms:
        return None
    return results.methods[NETWORK]['avg'][results.label_ms.index(label)]


if __name__ == '__main__':
    sys.exit(run_tool(main))

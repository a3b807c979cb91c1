"""Runs of the mains one after another, stopped and resumed together. Shared by ablate.py and reproduce.py; no command."""
import logging
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import opt
import utils.run
from utils.common import checkpoint
from utils.common.errors import InputError
from utils.data.dataset import Dataset

log = logging.getLogger('ksof')


class PlannedRun(NamedTuple):
    """One run of a series.

    name: what the series calls it.
    defaults: the options that its main sets for the dataset.
    words: its main's command line, without the step that is next.
    epochs_left: epochs it has still to train; 0 if only its evaluation is left.
    begun: it has a checkpoint to go on from.
    """

    name: str
    dataset: Dataset
    defaults: dict[str, Any]
    words: list[str]
    folder: Path
    epochs_left: int
    begun: bool


def refuse_own(words: Sequence[str], own: Sequence[str], what: str) -> None:
    """Raises InputError if one of the words is an option that a tool sets itself for each `what`."""
    for word in words:
        if word.split('=')[0] in own:
            raise InputError(f'{word}: is set for each {what} by this tool; leave it out')


def read_words(dataset: Dataset, defaults: dict[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """The settings that a main reads from these words. Raises InputError if it would not take them."""
    return vars(opt.parse(dataset.name, dataset.title, defaults, node_n=dataset.skeleton.node_n, argv=words))


def plan_run(name: str, dataset: Dataset, defaults: dict[str, Any], words: Sequence[str], folder: Path) -> PlannedRun:
    """Looks at what a run's folder has of it already. Raises InputError if that has other settings, or if a main would refuse."""
    words = [*words, '--exp', str(folder)]
    settings = read_words(dataset, defaults, words)
    state = begun_run(folder)
    if state:
        path = folder / checkpoint.LAST
        with checkpoint.fitting(path):
            theirs = opt.completed(state['options'])
        checkpoint.check_settings(theirs, settings, ('epoch', *opt.SHAPE, *opt.TRAINING), path)
    done = state['epoch'] if state else 0
    return PlannedRun(name, dataset, defaults, words, folder, max(0, settings['epoch'] - done), state is not None)


def begun_run(folder: Path) -> checkpoint.Checkpoint | None:
    """The last checkpoint of a run, None before its first one."""
    return checkpoint.load_last(folder)[0] if (folder / checkpoint.LAST).exists() else None


def do_runs(runs: Sequence[PlannedRun], *, evaluate_finished: bool) -> Iterator[tuple[PlannedRun, int]]:
    """Does what is left of each run and yields it with its exit code; the next one begins whatever that is.

    evaluate_finished: evaluate again what is trained to its end, and do not only skip it.
    Raises SystemExit where a run was stopped by a signal.
    """
    for run in runs:
        code = 0 if not run.epochs_left and not evaluate_finished else do_run(run)
        if code >= 128:
            print('stopped: the same command goes on from here', file=sys.stderr)
            raise SystemExit(code)
        yield run, code


def do_run(run: PlannedRun) -> int:
    """Trains, goes on training, or evaluates a finished run; returns its main's exit code, 1 for any other exception."""
    step, doing = [], 'training'
    if not run.epochs_left:
        step, doing = ['--is_eval'], 'evaluating'
    elif run.begun:
        step, doing = ['--is_load'], 'going on'
    log.info('%s: %s', run.name, doing)
    try:
        return utils.run.main(run.dataset, run.defaults, [*run.words, *step])
    except Exception:  # an error of ours, or worse: it is shown, and the other runs are still worth their time
        traceback.print_exc()
        return 1


def fail_if_any(failed: Sequence[str], count: int, what: str) -> None:
    """Ends the command with code 1 and one line if any of `count` runs failed."""
    if failed:
        print(f'error: {len(failed)} of {count} {what} failed: {", ".join(failed)}', file=sys.stderr)
        raise SystemExit(1)

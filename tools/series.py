"""Plans and does runs of the mains one after another; a stopped series resumes where it was.

ablate.py and reproduce.py share it; it is no command itself.
"""
import logging
import sys
import traceback
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

import opt
import utils.run
from utils.build import Opened, open_last
from utils.common import checkpoint
from utils.common.errors import InputError
from utils.common.precision import CUDA_ONLY
from utils.data.dataset import Dataset

log = logging.getLogger('ksof')


class PlannedRun(NamedTuple):
    """One run of a series.

    name: what the series calls it.
    dataset: what it trains on.
    defaults: the options that its main sets for the dataset.
    words: its main's command line, without --is_load and --is_eval.
    folder: its run folder.
    epochs_left: number of epochs still to train; 0 if only its evaluation is left.
    begun: whether it has a checkpoint to resume from.
    """

    name: str
    dataset: Dataset
    defaults: dict[str, Any]
    words: list[str]
    folder: Path
    epochs_left: int
    begun: bool


def refuse_own(words: Sequence[str], own: Sequence[str], what: str) -> None:
    """Raises InputError if one of the words is an option that the tool sets itself.

    words: the command line.
    own: options that the tool sets.
    what: what it sets them for, as the message says it.
    """
    for word in words:
        if word.split('=')[0] in own:
            raise InputError(f'{word}: is set for each {what} by this tool; leave it out')


def read_words(dataset: Dataset, defaults: dict[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """Returns the settings that a main reads from these words. Raises InputError if it would refuse them."""
    return vars(opt.parse(dataset.name, dataset.title, defaults, node_n=dataset.skeleton.node_n, argv=words))


def plan_run(name: str, dataset: Dataset, defaults: dict[str, Any], words: Sequence[str],
             folder: Path) -> PlannedRun:
    """Plans a run, after what its folder holds of it already; `PlannedRun` describes the parameters.

    Raises InputError if the folder's run has other settings, or if a main would refuse these.
    """
    words = [*words, '--exp', str(folder)]
    settings = read_words(dataset, defaults, words)
    begun = begun_run(folder)
    if begun:
        check_settings(begun, settings, opt.given_options(dataset.name, dataset.title, defaults, words),
                       folder / checkpoint.LAST)
    done = begun.saved['epoch'] if begun else 0
    left = max(0, settings['epoch'] - done)
    return PlannedRun(name, dataset, defaults, words, folder, left, begun=begun is not None)


def check_settings(begun: Opened, settings: dict[str, Any], given: Container[str], path: Path) -> None:
    """Raises InputError where a begun run has other settings than are planned, as its main would see them.

    begun, path: its last checkpoint.
    given: the options that its words name. The rest of the shape is that of --init, where there is one.
    """
    shape = [name for name in opt.SHAPE if not settings['init'] or name in given or name == 'dataset']
    if not (settings['cuda_idx'].startswith('cuda') and torch.cuda.is_available()):
        settings = settings | dict.fromkeys(CUDA_ONLY, False)
    checkpoint.check_settings(begun.settings, settings, ('epoch', *shape, *opt.TRAINING), path)


def begun_run(folder: Path) -> Opened | None:
    """Reads the last checkpoint of a run; None before its first one."""
    return open_last(folder)[0] if (folder / checkpoint.LAST).exists() else None


def do_runs(runs: Sequence[PlannedRun], *, evaluate_finished: bool) -> Iterator[tuple[PlannedRun, int]]:
    """Does what is left of each run and yields it with its exit code.

    The next run begins even if one failed.

    evaluate_finished: whether a run that is trained to its end is evaluated again; otherwise it is skipped.

    Raises SystemExit if a run was stopped by a signal.
    """
    for run in runs:
        code = 0 if not run.epochs_left and not evaluate_finished else do_run(run)
        if code >= 128:
            print('stopped: the same command goes on from here', file=sys.stderr)
            raise SystemExit(code)
        yield run, code


def do_run(run: PlannedRun) -> int:
    """Trains a run, resumes it, or evaluates it if it is finished.

    Returns the exit code of its main, or 1 for an exception that the main does not report itself.
    """
    step, doing = [], 'training'
    if not run.epochs_left:
        step, doing = ['--is_eval'], 'evaluating'
    elif run.begun:
        step, doing = ['--is_load'], 'going on'
    log.info('%s: %s', run.name, doing)
    try:
        return utils.run.main(run.dataset, run.defaults, [*run.words, *step])
    except Exception:  # also a bug of ours must not stop the runs that follow
        traceback.print_exc()
        return 1


def fail_if_any(failed: Sequence[str], count: int, what: str) -> None:
    """Ends the command with code 1 and one line if any run failed.

    failed: names of those that did.
    count: number of all runs.
    what: what they are called in the line.
    """
    if failed:
        print(f'error: {len(failed)} of {count} {what} failed: {", ".join(failed)}', file=sys.stderr)
        raise SystemExit(1)

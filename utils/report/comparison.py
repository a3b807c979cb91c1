"""Compares evaluated runs of one dataset: reads their folders and makes the tables.

The comparison is over the actions that every run was tested on.
"""
import csv
import io
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from utils.common import checkpoint
from utils.common.errors import InputError, reading
from utils.common.files import read_json, read_regular
from utils.common.run_folder import RUNS, known_runs, place
from utils.evaluate.metrics import ActionTable
from utils.evaluate.results import BASELINES, NETWORK, PREDICTED, Results, over_actions, read_results
from utils.report.page import (
    caveats,
    label_table,
    measured_on,
    other_protocol,
    published_section,
    table_frames,
)
from utils.report.tables import Block, Heading, Notes, Row, Table, best_rows, number


@dataclass(frozen=True)
class Run:
    """An evaluated run.

    name: how tables and plots call it.
    results: what its evaluation found.
    options: the settings it was made with; None where they are not kept.
    history: one entry for each epoch, as in history.csv; empty without that file.
    folder: where its files lie.
    """

    name: str
    results: Results
    options: dict[str, Any] | None
    history: list[dict[str, float]]
    folder: Path

    @property
    def table(self) -> ActionTable:
        """MPJPE of the network in mm, by action and frame."""
        return self.results.methods[NETWORK]

    @property
    def windows_per_s(self) -> float | None:
        """Training speed in windows a second, the median of the epochs; None without a history."""
        return statistics.median(entry['windows_per_s'] for entry in self.history) if self.history else None


def load_run(path: Path) -> Run:
    """Reads a run.

    path: its folder, its name under checkpoint/, or its results.json.

    Raises InputError if there is no such run or one of its files is damaged.
    """
    if not path.is_file():
        path = place(path)
    if not path.exists():
        raise InputError(f'{path}: no such run{known_runs()}')
    file = path / 'results.json' if path.is_dir() else path
    results, folder = read_results(file), file.parent
    return Run(folder.resolve().name, results, load_options(folder), load_history(folder / 'history.csv'),
               folder)


def load_options(folder: Path) -> dict[str, Any] | None:
    """Reads the settings that a run was made with; None where neither file is there.

    They are taken from options.json, or else from the best checkpoint.
    Raises InputError if the file is damaged.
    """
    file = folder / 'options.json'
    if file.exists():
        try:
            with reading(file):
                return dict(read_json(file)['options'])
        except InputError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f'{file}: is not the options of a run ({error!r})') from None
    best = folder / checkpoint.BEST
    return checkpoint.load(best)['options'] if best.exists() else None


def load_history(file: Path) -> list[dict[str, float]]:
    """Reads a history.csv: one entry for each epoch, none without the file.

    Raises InputError if it is not a history of a run.
    """
    if not file.exists():
        return []
    try:
        with reading(file):
            lines = io.StringIO(read_regular(file).decode(), newline='')
        # An epoch of an earlier version lacks what that did not measure.
        history = [{name: finite(value) for name, value in row.items() if value != ''}
                   for row in csv.DictReader(lines)]
        if not all({'windows_per_s', 'seconds'} <= entry.keys() for entry in history):
            raise ValueError('no column windows_per_s or seconds')
        return history
    except InputError:
        raise
    except (TypeError, ValueError, csv.Error) as error:
        raise InputError(f'{file}: is not the history of a run ({error})') from None


def finite(text: str) -> float:
    """Returns the number that a text is. Raises ValueError where it is none, or not finite."""
    if not math.isfinite(number := float(text)) or '_' in text:
        raise ValueError(f'{text[:40]!r} is not a finite number')
    return number


def matching(pattern: Path) -> list[Path]:
    """Returns the runs of one setting: a run itself, or the evaluated runs that a pattern such as A* finds.

    Its signs stand in its last part. It is looked for where one stands, then under checkpoint/.

    Raises InputError if it finds none.
    """
    if not any(sign in str(pattern) for sign in '*?[') or pattern.exists():
        return [pattern]
    for base in (Path(), RUNS):
        place_of = base / pattern
        found = sorted(path for path in place_of.parent.glob(place_of.name)
                       if (path / 'results.json').exists())
        if found:
            return found
    raise InputError(f'{pattern}: matches no evaluated run{known_runs()}')


def load_runs(paths: Sequence[Path]) -> list[Run]:
    """Reads runs of one dataset and gives each a name of its own.

    Raises InputError if a run cannot be read, is given twice or is one of another dataset.
    """
    runs = [load_run(path) for path in paths]
    for run in runs[1:]:
        if run.results.dataset is not runs[0].results.dataset:
            raise InputError(f'{run.name} is a run on {run.results.dataset.title}, {runs[0].name} on '
                             f'{runs[0].results.dataset.title}: compare runs of one dataset')
    names = [run.name for run in runs]
    runs = [replace(run, name=str(path)) if names.count(run.name) > 1 else run
            for run, path in zip(runs, paths, strict=True)]
    if len({run.name for run in runs}) < len(runs):
        raise InputError('the same run is given twice')
    return runs


def shared_actions(runs: Sequence[Run]) -> list[str]:
    """Returns the actions that every run was tested on, in the dataset's order.

    Raises InputError if there is none.
    """
    actions = runs[0].results.dataset.actions
    shared = [action for action in actions if all(action in run.results.windows for run in runs)]
    if not shared:
        raise InputError('the runs were tested on different actions, with none in common: '
                         'there is nothing to compare')
    return shared


def restrict(runs: Sequence[Run], actions: Sequence[str]) -> list[Run]:
    """Returns the runs as if they were tested on these actions alone."""
    return [replace(run, results=over_actions(run.results, actions)) for run in runs]


def combined(runs: Sequence[Run]) -> Results:
    """Returns the results that titles and notes of a comparison speak of.

    The labels are those of the run that predicts most frames.
    The protocol is the first run's.
    A file is missing where any run lacks it.
    The motion is synthetic where that of every run is.
    """
    longest = max((run.results for run in runs), key=lambda results: results.output_n)
    missing = sorted({file for run in runs for file in run.results.missing_files})
    return replace(longest, protocol=runs[0].results.protocol, missing_files=missing,
                   sample=all(run.results.sample for run in runs))


def is_rival(run: Run, runs: Sequence[Run]) -> bool:
    """Says whether a run was measured as the first one was.

    It was if its windows are of the same protocol and its motion is of the same kind, recorded or synthetic.
    """
    return (run.results.protocol, run.results.sample) == (runs[0].results.protocol, runs[0].results.sample)


def shown_name(run: Run, runs: Sequence[Run]) -> str:
    """Returns a run's name, marked where its numbers are of another kind than the first run's."""
    only_some = len({other.results.sample for other in runs}) > 1
    kind = ' [synthetic motion]' if run.results.sample and only_some else ''
    return run.name + other_protocol(run.results.protocol, runs[0].results.protocol) + kind


def at_frames(errors: Sequence[float], frames: Sequence[int]) -> list[float | None]:
    """Returns errors in mm at these frames, None where the prediction does not reach.

    frames: indices of predicted frames.
    """
    return [errors[f] if f < len(errors) else None for f in frames]


def method_rows(runs: Sequence[Run], frames: Sequence[int]) -> list[Row]:
    """Makes the rows of averages: first those of the runs, then those of the baselines.

    Each run has two rows, over all joints and over the predicted ones.
    A baseline has one row where the runs agree on it.
    """
    rows = [Row(shown_name(run, runs), at_frames(run.table['avg'], frames), is_rival(run, runs))
            for run in runs]
    rows += [Row(f'{shown_name(run, runs)}, predicted joints only',
                 at_frames(run.results.methods[PREDICTED]['avg'], frames), rival=False) for run in runs]
    return rows + [Row(name, at_frames(errors, frames), rival=False) for name, errors in baselines(runs)]


def baselines(runs: Sequence[Run]) -> list[tuple[str, list[float]]]:
    """Returns names and averages of zero and constant velocity, in mm at every frame.

    Where runs were tested on different windows, each name says whose windows it is about.
    """
    found = []
    for name in BASELINES:
        distinct: dict[tuple[float, ...], str] = {}
        for run in runs:
            distinct.setdefault(tuple(run.results.methods[name]['avg']), run.name)
        found += [(name if len(distinct) == 1 else f'{name} (windows of {owner})', list(errors))
                  for errors, owner in distinct.items()]
    return found


def label_section(runs: Sequence[Run], only: Sequence[str]) -> tuple[Table, list[str]]:
    """Makes the table of averages at the field's labels, and the notes on its published rows.

    only: parts of the names of the published rows to show; all if empty.
    """
    whole = combined(runs)
    frames = table_frames(whole)
    published, notes = published_section(whole, frames, only)
    return label_table(whole, frames, [*method_rows(runs, frames), *published]), notes


def run_table(runs: Sequence[Run], heads: Sequence[str],
              lines: Sequence[tuple[list[str], list[float | None]]]) -> Table:
    """Makes a table with a column for each run; the best value of each row is marked.

    heads: titles of the columns before the runs' own.
    lines: for each row the texts of these columns, and every run's value in mm.
    """
    cells = [[*heads, *(shown_name(run, runs) for run in runs)]]
    rivals = [is_rival(run, runs) for run in runs]
    best = set()
    for r, (texts, values) in enumerate(lines, start=1):
        cells.append([*texts, *map(number, values)])
        of_row = best_rows([Row('', [value], rival) for value, rival in zip(values, rivals, strict=True)])[0]
        best |= {(r, len(heads) + k) for k in of_row}
    return Table(cells, best=frozenset(best))


def shared_frame(runs: Sequence[Run]) -> int:
    """Returns the index of the last frame at one of the field's labels that every run predicts."""
    return table_frames(min((run.results for run in runs), key=lambda results: results.output_n))[-1]


def action_table(runs: Sequence[Run]) -> Table:
    """Makes the table of every run's error at the shared label, action by action."""
    frame = shared_frame(runs)
    actions = (*runs[0].results.windows, 'avg')
    return run_table(runs, ['action'],
                     [([action], [run.table[action][frame] for run in runs]) for action in actions])


def frame_table(runs: Sequence[Run]) -> Table:
    """Makes the table of every run's average at every frame."""
    whole = combined(runs)
    times = zip(whole.label_ms, whole.dataset.skeleton.true_ms(whole.output_n), strict=True)
    return run_table(runs, ['label ms', 'true ms'],
                     [([str(label), f'{true:.0f}'], [at_frames(run.table['avg'], [f])[0] for run in runs])
                      for f, (label, true) in enumerate(times)])


def notes_on(runs: Sequence[Run]) -> list[str]:
    """Writes a sentence for each way in which the runs were not measured alike."""
    first = runs[0]
    notes = []
    if len({run.results.protocol for run in runs}) > 1:
        notes.append(f'Runs tested on other windows than {first.name} are marked: '
                     'their numbers are not comparable with it.')
    if len({(run.results.input_n, run.results.output_n) for run in runs}) > 1:
        notes.append('The runs observe or predict different numbers of frames, '
                     'so their test windows are not quite the same.')
    if len({run.results.sample for run in runs}) > 1:
        notes.append('Runs on synthetic motion are marked: they compare with nothing measured on recordings.')
    return notes


def blocks(runs: Sequence[Run], facts: Table, *, every_action: bool, only: Sequence[str]) -> list[Block]:
    """Makes the page of a comparison.

    facts: a table of the runs themselves.
    every_action: adds a table for each action.
    only: parts of the names of the published rows to show; all if empty.
    """
    whole = combined(runs)
    count, dataset = len(whole.windows), whole.dataset
    over = ''
    if whole.has_actions:
        over = f', {next(iter(whole.windows))}' if count == 1 else f', mean of {count} actions'
    if whole.has_actions and 1 < count < len(dataset.actions):
        over += f' of {len(dataset.actions)} (not in every run: {", ".join(whole.missing_actions)})'
    table, published_notes = label_section(runs, only)
    page: list[Block] = [Heading(f'{len(runs)} run{"s" if len(runs) > 1 else ""} on {measured_on(whole)}'),
                         f'MPJPE in mm at the frame{over}.', facts, table]
    if count > 1:
        page += [f'By action at {whole.label_ms[shared_frame(runs)]} ms:', action_table(runs)]
    page += ['At every frame:', frame_table(runs)]
    for action in whole.windows if every_action else ():
        page += [Heading(action, level=3), label_section(restrict(runs, [action]), only)[0]]
    return [*page, Notes([*caveats(whole), *notes_on(runs), *published_notes])]

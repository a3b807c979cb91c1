"""Evaluated runs of one dataset side by side, over the actions they share: what their folders hold, and their tables."""
import csv
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from utils.common import checkpoint
from utils.common.errors import InputError
from utils.common.run_folder import RUNS
from utils.report.page import (
    BASELINES,
    NETWORK,
    PREDICTED,
    ActionTable,
    Results,
    caveats,
    markdown_table,
    over_actions,
    published_section,
    read_results,
    table_frames,
    text_table,
)

Rows = list[tuple[str, list[float | None]]]


@dataclass(frozen=True)
class Run:
    """An evaluated run. options: what it was made with, None where that is not kept; history: history.csv, or empty."""

    name: str
    results: Results
    options: dict[str, Any] | None
    history: list[dict[str, float]]

    @property
    def table(self) -> ActionTable:
        return self.results.methods[NETWORK]

    @property
    def windows_per_s(self) -> float | None:
        """Median over the epochs."""
        return statistics.median(entry['windows_per_s'] for entry in self.history) if self.history else None


def load_run(path: Path) -> Run:
    """A run by its folder, its name under checkpoint/, or its results.json. InputError where there is nothing usable."""
    path = path if path.exists() else RUNS / path
    if not path.exists():
        raise InputError(f'{path}: no such run')
    file = path / 'results.json' if path.is_dir() else path
    results, folder = read_results(file), file.parent
    return Run(folder.resolve().name, results, load_options(folder), load_history(folder / 'history.csv'))


def load_options(folder: Path) -> dict[str, Any] | None:
    """The options a run was made with, from options.json or else its best checkpoint."""
    file = folder / 'options.json'
    if file.exists():
        try:
            return dict(json.loads(file.read_bytes())['options'])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f'{file}: is not the options of a run ({error!r})') from None
    return checkpoint.load(folder / checkpoint.BEST)['options'] if (folder / checkpoint.BEST).exists() else None


def load_history(file: Path) -> list[dict[str, float]]:
    """One entry for each epoch in a history.csv; none without the file."""
    if not file.exists():
        return []
    try:
        with file.open(newline='') as lines:
            history = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(lines)]
            if not all({'windows_per_s', 'seconds'} <= entry.keys() for entry in history):
                raise ValueError('no column windows_per_s or seconds')
            return history
    except (TypeError, ValueError, csv.Error) as error:
        raise InputError(f'{file}: is not the history of a run ({error})') from None


def load_runs(paths: Sequence[Path]) -> list[Run]:
    """Runs of one dataset, each with a name of its own."""
    runs = [load_run(path) for path in paths]
    for run in runs[1:]:
        if run.results.reader is not runs[0].results.reader:
            raise InputError(f'{run.name} is a run on {run.results.reader.title}, {runs[0].name} on '
                             f'{runs[0].results.reader.title}: compare runs of one dataset')
    names = [run.name for run in runs]
    runs = [replace(run, name=str(path)) if names.count(run.name) > 1 else run for run, path in zip(runs, paths, strict=True)]
    if len({run.name for run in runs}) < len(runs):
        raise InputError('the same run is given twice')
    return runs


def shared_actions(runs: Sequence[Run]) -> list[str]:
    """The actions that every run was tested on, in the dataset's order. InputError if there is none."""
    shared = [action for action in runs[0].results.reader.actions if all(action in run.results.windows for run in runs)]
    if not shared:
        raise InputError('the runs were tested on different actions, with none in common: there is nothing to compare')
    return shared


def restrict(runs: Sequence[Run], actions: Sequence[str]) -> list[Run]:
    """The runs, tested on these actions only."""
    return [replace(run, results=over_actions(run.results, actions)) for run in runs]


def together(runs: Sequence[Run]) -> Results:
    """The longest run's results with the first one's protocol and what any of them lacks: for heads and notes of tables."""
    longest = max((run.results for run in runs), key=lambda results: results.output_n)
    missing = sorted({file for run in runs for file in run.results.missing_files})
    return replace(longest, protocol=runs[0].results.protocol, missing_files=missing,
                   sample=any(run.results.sample for run in runs))


def shown_name(run: Run, runs: Sequence[Run]) -> str:
    """A run's name, marked where its numbers are of another kind than the first run's."""
    marks = []
    if run.results.protocol != runs[0].results.protocol:
        marks.append(f'other protocol: {run.results.protocol} windows')
    if run.results.sample:
        marks.append('sample motion')
    return run.name + (f' [{", ".join(marks)}]' if marks else '')


def at_frames(errors: Sequence[float], frames: Sequence[int]) -> list[float | None]:
    """Errors at these frames, None where the prediction does not reach."""
    return [errors[f] if f < len(errors) else None for f in frames]


def method_rows(runs: Sequence[Run], frames: Sequence[int]) -> Rows:
    """Every run's average, in both of its readings, then the baselines: once where the runs agree on them."""
    rows: Rows = [(shown_name(run, runs), at_frames(run.table['avg'], frames)) for run in runs]
    rows += [(f'{shown_name(run, runs)}, predicted joints only', at_frames(run.results.methods[PREDICTED]['avg'], frames))
             for run in runs]
    return rows + [(name, at_frames(errors, frames)) for name, errors in baselines(runs)]


def baselines(runs: Sequence[Run]) -> list[tuple[str, list[float]]]:
    """The averages of zero and constant velocity at every frame; where runs have other windows, each says whose."""
    found = []
    for name in BASELINES:
        distinct: dict[tuple[float, ...], str] = {}
        for run in runs:
            distinct.setdefault(tuple(run.results.methods[name]['avg']), run.name)
        found += [(name if len(distinct) == 1 else f'{name} (windows of {owner})', list(errors))
                  for errors, owner in distinct.items()]
    return found


def section(runs: Sequence[Run], only: Sequence[str]) -> tuple[list[str], list[str]]:
    """The averages of runs and published rows at the field's labels: texts, and notes on the sources."""
    whole = together(runs)
    frames = table_frames(whole)
    texts = [markdown_table(whole, frames, method_rows(runs, frames))]
    published, notes = published_section(whole, frames, only)
    if published:
        over = f', mean of the same {len(whole.windows)} actions' if len(whole.windows) > 1 else ''
        sample = ' (on the recordings: nothing to compare sample motion with)' if whole.sample else ''
        texts += [f'Published{over}{sample}:', markdown_table(whole, frames, published)]
    return texts, notes


def action_rows(runs: Sequence[Run]) -> tuple[int, list[list[str]]]:
    """The last of the field's labels that all runs reach, and a table of every run's error there by action."""
    shortest = min((run.results for run in runs), key=lambda results: results.output_n)
    frame = table_frames(shortest)[-1]
    cells = [['action', *(shown_name(run, runs) for run in runs)]]
    cells += [[action, *(f'{run.table[action][frame]:.2f}' for run in runs)] for action in (*shortest.windows, 'avg')]
    return frame, cells


def frame_rows(runs: Sequence[Run]) -> list[list[str]]:
    """A table of every run's average at every frame."""
    whole = together(runs)
    cells = [['label ms', 'true ms', *(shown_name(run, runs) for run in runs)]]
    for f, (label, true) in enumerate(zip(whole.label_ms, whole.reader.skeleton.true_ms(whole.output_n), strict=True)):
        errors = [at_frames(run.table['avg'], [f])[0] for run in runs]
        cells.append([str(label), f'{true:.0f}', *('-' if error is None else f'{error:.2f}' for error in errors)])
    return cells


def notes_on(runs: Sequence[Run]) -> list[str]:
    """What sets the runs apart beyond their names."""
    notes = []
    if len({run.results.protocol for run in runs}) > 1:
        notes.append(f'Runs tested on other windows than {runs[0].name} are marked: their numbers are not comparable with it.')
    if len({run.results.output_n for run in runs}) > 1 or len({run.results.input_n for run in runs}) > 1:
        notes.append('The runs observe or predict different numbers of frames, so their test windows are not quite the same.')
    if len({run.results.sample for run in runs}) > 1:
        notes.append('Runs on sample motion, which is invented, compare with nothing measured on recordings.')
    return notes


def markdown(runs: Sequence[Run], facts: list[list[str]], *, every_action: bool, only: Sequence[str]) -> str:
    """All tables of a comparison. facts: a table of the runs themselves; only: the published rows to show."""
    whole = together(runs)
    here, reader = len(whole.windows), whole.reader
    on = f'sample motion in the layout of {reader.title}' if all(run.results.sample for run in runs) else reader.title
    texts, notes = section(runs, only)
    over = '' if not whole.has_actions else f', {next(iter(whole.windows))}' if here == 1 else f', mean of {here} actions'
    if whole.has_actions and 1 < here < len(reader.actions):
        over += f' of {len(reader.actions)} (not in every run: {", ".join(whole.missing_actions)})'
    parts = [f'## {len(runs)} run{"s" if len(runs) > 1 else ""} on {on}', f'MPJPE in mm at the frame{over}.', text_table(facts),
             *texts]
    if here > 1:
        frame, cells = action_rows(runs)
        parts += [f'By action at {whole.label_ms[frame]} ms:', text_table(cells)]
    parts += ['At every frame:', text_table(frame_rows(runs))]
    for action in whole.windows if every_action else ():
        parts += [f'### {action}', *section(restrict(runs, [action]), only)[0]]
    return '\n\n'.join([*parts, caveats(whole, notes_on(runs) + notes)]) + '\n'

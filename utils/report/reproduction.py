"""The page that is laid beside the paper: for each dataset its averages, then short and long horizons by action."""
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from utils.common.environment import environment
from utils.data.dataset import Dataset
from utils.report.comparison import Rows, Run, load_run
from utils.report.page import (
    BASELINES,
    NETWORK,
    Results,
    caveats,
    markdown_table,
    over_actions,
    published_beside,
    published_section,
    summary_rows,
    table_frames,
    text_table,
)
from utils.report.paper import MAINS

SHORT_MS = 400  # the papers' short horizon ends at this label


class Section(NamedTuple):
    """One dataset of the page: its run's folder, or why there is nothing to show."""

    reader: Dataset
    folder: Path | None
    why_not: str


def page(sections: Sequence[Section], data: str, more: Sequence[str]) -> str:
    """The whole page. data, more: what tools/reproduce.py was given."""
    runs = [load_run(section.folder) if section.folder and not section.why_not else None for section in sections]
    command = shlex.join(['python', 'tools/reproduce.py', data, *more])
    machine = f'with {torch.cuda.get_device_name()}' if torch.cuda.is_available() else 'without CUDA'
    versions = ', '.join(f'{name} {value}' for name, value in environment().items() if name != 'threads')
    parts = ['# KSOF at the settings of the paper, beside the published tables',
             f'Made by `{command}` on a machine {machine} ({versions}). MPJPE in mm at the frame, lower is better.']
    if more:
        parts.append(f'**Not the paper\'s settings alone:** `{shlex.join(more)}` was added to its command lines.')
    if any(run and run.results.sample for run in runs):
        parts.append('**Sample motion:** what is marked so was trained and tested on invented motion. It shows that everything '
                     'runs; its numbers compare with nothing published.')
    for section, run in zip(sections, runs, strict=True):
        parts += dataset_part(run) if run else [f'## {section.reader.title}', f'Nothing here: {section.why_not}.']
    return '\n\n'.join(parts) + '\n'


def dataset_part(run: Run) -> list[str]:
    """The texts and tables of one dataset."""
    results = run.results
    frames = table_frames(results)
    published, notes = published_section(results, frames)
    title = results.reader.title + (' (sample motion)' if results.sample else '')
    over = f', mean of {len(results.windows)} of {len(results.reader.actions)} actions' if results.has_actions else ''
    lacking = f'; missing: {", ".join(results.missing_actions)}' if results.missing_actions else ''
    parts = [f'## {title}', how_made(run), f'### {title}: averages', f'All labels{over}{lacking}.',
             markdown_table(results, frames, [*summary_rows(results, frames), *published])]
    if results.has_actions:
        labels = results.label_ms
        for name, own in (('short', [f for f in frames if labels[f] <= SHORT_MS]),
                          ('long', [f for f in frames if labels[f] > SHORT_MS])):
            parts += [f'### {title}: {name} horizon by action',
                      action_table(results, own) if own else
                      f'A network that predicts {results.output_n} frames has none; `--output_n` sets how many.']
    return [*parts, caveats(results, notes)]


def how_made(run: Run) -> str:
    """One paragraph: the run, its length and speed, what it was tested on."""
    results, options = run.results, run.options or {}
    hours = sum(entry['seconds'] for entry in run.history) / 3600
    protocol = 'all' if results.protocol == 'all' else f'{results.protocol} for each {results.reader.drawn_for}, so'
    trained = f'{len(run.history)} epoch{"" if len(run.history) == 1 else "s"} in {hours:.2f} hours'
    data = options.get('data_dir', 'data not named')
    return (f'`{MAINS[results.reader.name]}`, run `{run.name}`, trained on {data}: {trained}, '
            f'{run.windows_per_s or 0:.0f} windows/s; epoch {results.epoch} has the lowest validation error and is the one '
            f'tested, on {protocol} {sum(results.windows.values())} windows. {results.input_n} observed, {results.output_n} '
            'predicted frames.')


def action_table(results: Results, frames: Sequence[int]) -> str:
    """The run, zero velocity and the published rows, action by action, then their averages."""
    labels = [results.label_ms[f] for f in frames]
    true_ms = [f'{results.reader.skeleton.true_ms(results.output_n)[f]:.0f}' for f in frames]
    cells = [['action', 'label ms', *map(str, labels)], ['', 'true ms', *true_ms]]
    for action in (*results.windows, 'average'):
        own = results if action == 'average' else over_actions(results, [action])
        rows: Rows = [(name, [own.methods[name]['avg'][f] for f in frames]) for name in (NETWORK, BASELINES[0])]
        rows += [(row.method, [row.errors.get(label) for label in labels]) for row in published_beside(own, labels)[0]]
        block = [['', f'{name}, this run' if name == NETWORK else name,
                  *('-' if value is None else f'{value:.2f}' for value in values)] for name, values in rows]
        block[0][0] = action
        cells += block
    return text_table(cells, names=2)

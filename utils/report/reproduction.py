"""Writes the page of tools/reproduce.py, to lay beside the paper.

Each dataset has its averages first, then its errors by action.
"""
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from utils.data.dataset import Dataset
from utils.evaluate.results import BASELINES, NETWORK, Results, over_actions
from utils.report.comparison import Run, load_run
from utils.report.page import (
    caveats,
    label_heads,
    label_table,
    measured_on,
    other_protocol,
    published_beside,
    published_section,
    summary_rows,
    table_frames,
    tested_on,
)
from utils.report.tables import Block, Heading, Notes, Row, Table, best_rows, markdown, number

SHORT_MS = 400  # the papers' short horizon ends at this label


class Section(NamedTuple):
    """One dataset of the page.

    main: file name of its main.
    folder: folder of its run; None where there is none.
    why_not: why there is nothing to show; empty where there is something.
    """

    dataset: Dataset
    main: str
    folder: Path | None
    why_not: str


def page(sections: Sequence[Section], words: Sequence[str], more: Sequence[str],
         environment: Mapping[str, Any]) -> str:
    """Returns the whole page as Markdown.

    words: the command line that made it.
    more: the options among them that were passed on to the mains.
    environment: names and versions of what it ran on.
    """
    versions = ', '.join(f'{name} {value}' for name, value in environment.items())
    parts: list[Block] = [Heading('KSOF at the settings of the paper, beside the published tables', level=1),
                          f'Made by `{shlex.join(["python", *words])}` ({versions}). '
                          'MPJPE in mm at the frame, lower is better.']
    if more:
        parts.append(f'**Not the paper\'s settings alone:** `{shlex.join(more)}` '
                     'was added to its command lines.')
    for section in sections:
        if section.folder and not section.why_not:
            parts += dataset_part(load_run(section.folder), section.main)
        else:
            parts += [Heading(section.dataset.title), f'Nothing here: {section.why_not}.']
    return markdown(parts)


def dataset_part(run: Run, main: str) -> list[Block]:
    """Makes the texts and tables of one dataset."""
    results = run.results
    frames, labels, name = table_frames(results), results.label_ms, results.dataset.title
    published, notes = published_section(results, frames)
    over = ''
    if results.has_actions:
        lacking = f'; missing: {", ".join(results.missing_actions)}' if results.missing_actions else ''
        over = f', mean of {len(results.windows)} of {len(results.dataset.actions)} actions{lacking}'
    title = measured_on(results)
    averages = label_table(results, frames, [*summary_rows(results, frames), *published])
    parts: list[Block] = [Heading(title[0].upper() + title[1:]), how_made(run, main),
                          Heading(f'{name}: averages', level=3), f'All labels{over}.', averages]
    if results.has_actions:
        for horizon, own in (('short', [f for f in frames if labels[f] <= SHORT_MS]),
                             ('long', [f for f in frames if labels[f] > SHORT_MS])):
            parts += [Heading(f'{name}: {horizon} horizon by action', level=3),
                      action_table(results, own) if own else
                      f'A network that predicts {results.output_n} frames has none; '
                      '`--output_n` sets how many.']
    return [*parts, Notes([*caveats(results), *notes])]


def how_made(run: Run, main: str) -> str:
    """Writes one paragraph on the run: its length, its speed, and what it was tested on."""
    results, options = run.results, run.options or {}
    hours = sum(entry['seconds'] for entry in run.history) / 3600
    trained = f'{len(run.history)} epoch{"" if len(run.history) == 1 else "s"} in {hours:.2f} hours'
    return (f'`{main}`, run `{run.name}`, trained on {options.get("data_dir", "data not named")}: {trained}, '
            f'{run.windows_per_s or 0:.0f} windows/s; epoch {results.epoch}, selected on '
            f'{results.selected_on}, is the one tested, on {tested_on(results)}. {results.input_n} observed, '
            f'{results.output_n} predicted frames.')


def action_table(results: Results, frames: Sequence[int]) -> Table:
    """Makes the table of the run, zero velocity and the published rows, by action and then on average."""
    labels = [results.label_ms[f] for f in frames]
    (label_name, *label_cells), (time_name, *time_cells) = label_heads(results, frames)
    cells = [['action', label_name, *label_cells], ['', time_name, *time_cells]]
    best = set()
    for action in (*results.windows, 'average'):
        own = results if action == 'average' else over_actions(results, [action])
        rows = [Row(f'{name}, this run' if name == NETWORK else name,
                    [own.methods[name]['avg'][f] for f in frames])
                for name in (NETWORK, BASELINES[0])]
        rows += [Row(row.marked + other_protocol(row.protocol, own.protocol),
                     [row.errors.get(label) for label in labels], rival=row.protocol == own.protocol)
                 for row in published_beside(own, labels)[0] if row.errors]
        best |= {(len(cells) + k, 2 + column) for column, found in enumerate(best_rows(rows)) for k in found}
        cells += [['' if k else action, row.name, *map(number, row.values)] for k, row in enumerate(rows)]
    return Table(cells, names=2, heads=2, best=frozenset(best))

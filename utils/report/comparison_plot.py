"""The picture of a comparison. Needs matplotlib, which is optional."""
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from utils.common.files import whole_file
from utils.report.comparison import Run, action_rows, shown_name, together
from utils.report.page import BASELINES, over_actions, published_beside, table_frames
from utils.report.published import PublishedRow

# Okabe and Ito's colours without yellow; markers and lines tell the rows apart for those who do not see colours.
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#56B4E9', '#E69F00')
MARKERS = ('o', 's', '^', 'D', 'v', 'P')
GREYS, HOLLOW = ('#333333', '#707070', '#9a9a9a'), ('o', 's', '^', 'D', 'v', 'P', 'X', 'p', '*')


def draw_comparison(runs: Sequence[Run], only: Sequence[str], path: Path) -> None:
    """Write the picture as a PNG of 1500 pixels' width."""
    with whole_file(path) as temporary:
        comparison_figure(runs, only).savefig(temporary, format='png', dpi=150)


def comparison_figure(runs: Sequence[Run], only: Sequence[str]) -> Figure:
    """Error over the horizon, its difference from the first run, and error by action. only: the published rows to show."""
    whole = together(runs)
    published = published_rows_drawn(runs, only)
    by_action = len(whole.windows) > 1
    with matplotlib.rc_context({'font.size': 9, 'axes.titlesize': 10, 'axes.titlelocation': 'left'}):
        figure = Figure(figsize=(10, 8 if by_action else 4.8), layout='constrained')
        grid = figure.add_gridspec(2 if by_action else 1, 2)
        horizon, difference = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
        draw_horizon(horizon, difference, runs, published)
        if by_action:
            draw_actions(figure.add_subplot(grid[1, :]), runs, published)
        figure.suptitle(f'{whole.reader.title}: MPJPE in mm at the frame'
                        + (f', mean of {len(whole.windows)} actions' if by_action else
                           f', {next(iter(whole.windows))}' if whole.has_actions else '')
                        + (' (sample motion)' if whole.sample else ''), x=0.01, ha='left', fontweight='bold')
        handles, labels = horizon.get_legend_handles_labels()
        figure.legend(handles, labels, loc='outside lower left', ncols=2 if max(map(len, labels)) > 45 else 3, frameon=False)
    return figure


def published_rows_drawn(runs: Sequence[Run], only: Sequence[str]) -> list[PublishedRow]:
    """The published rows of the first run's protocol; none beside sample motion alone, which they say nothing about."""
    whole = together(runs)
    if all(run.results.sample for run in runs):
        return []
    return [row for row in published_beside(whole, whole.label_ms, only)[0] if row.protocol == whole.protocol]


def run_style(k: int) -> dict[str, Any]:
    """How the k-th run is drawn: a full line in colour."""
    return {'color': COLOURS[k % len(COLOURS)], 'marker': MARKERS[k % len(MARKERS)], 'markersize': 4.5, 'linewidth': 1.8,
            'linestyle': ('-', '--', '-.')[k // len(COLOURS) % 3]}


def published_style(k: int) -> dict[str, Any]:
    """How the k-th published row is drawn: a thin grey line with hollow markers."""
    return {'color': GREYS[k % len(GREYS)], 'marker': HOLLOW[k % len(HOLLOW)], 'markersize': 5, 'linewidth': 0.8,
            'linestyle': (0, (4, 2)), 'markerfacecolor': 'white'}


def draw_horizon(horizon: Any, difference: Any, runs: Sequence[Run], published: Sequence[PublishedRow]) -> None:
    """Every row over the labels, and beside it how far it is from the first run; markers at the field's labels."""
    whole, first = together(runs), runs[0]
    labels, shown = whole.label_ms, [whole.label_ms[f] for f in table_frames(whole)]
    reference = dict(zip(labels, first.table['avg'], strict=False))  # the first run may be the shorter one

    def draw(axes: Any, name: str, errors: dict[int, float], **style: Any) -> None:
        axes.plot(list(errors), list(errors.values()), label=name,
                  markevery=[k for k, label in enumerate(errors) if label in shown], **style)

    def draw_both(name: str, errors: dict[int, float], **style: Any) -> None:
        errors = {label: errors[label] for label in labels if label in errors}
        draw(horizon, name, errors, **style)
        if len(errors) < 1 + labels.index(max(errors)) - labels.index(min(errors)):
            style['linestyle'] = 'none'  # between labels so far apart a straight line would be wrong by much of a difference
        draw(difference, name, {label: error - reference[label] for label, error in errors.items() if label in reference},
             **style)

    for k, run in enumerate(runs):
        draw_both(shown_name(run, runs), dict(zip(labels, run.table['avg'], strict=False)), zorder=3, **run_style(k))
    for k, row in enumerate(published):
        draw_both(row.method, row.errors, **published_style(k))
    for name, line in zip(BASELINES, ('-', ':'), strict=True):
        draw(horizon, name, dict(zip(labels, whole.methods[name]['avg'], strict=True)), color='black', linestyle=line,
             linewidth=0.8)
    top = max(max(run.table['avg']) for run in runs)
    still = max(whole.methods[BASELINES[0]]['avg'])
    horizon.set(title='over the horizon', ylabel='mm', ylim=(0, 1.05 * max(top, min(still, 2.5 * top))))
    difference.set(title=f'difference from {first.name} (below 0 is better)', ylabel='mm')
    true = dict(zip(labels, whole.reader.skeleton.true_ms(whole.output_n), strict=True))
    same = whole.reader.skeleton.true_ms_per_frame == whole.reader.skeleton.label_ms_per_frame
    for axes in (horizon, difference):
        ticks = [label for label in shown if axes is horizon or label in reference]
        axes.set_xticks(ticks, [str(label) if same else f'{label}\n{true[label]:.0f}' for label in ticks], fontsize=8)
        axes.set_xlabel('ms' if same else 'label ms, below it true ms')
        plain(axes)


def draw_actions(axes: Any, runs: Sequence[Run], published: Sequence[PublishedRow]) -> None:
    """A dot for every run and published row over each action, side by side, at the last label that all runs reach."""
    whole, (frame, _) = together(runs), action_rows(runs)
    label, actions = whole.label_ms[frame], list(whole.windows)
    rows = [([run.table[action][frame] for action in actions], run_style(k)) for k, run in enumerate(runs)]
    by_action = {action: {row.method: row.errors for row in published_beside(over_actions(whole, [action]), [label])[0]}
                 for action in actions}
    for k, row in enumerate(published):
        values = [by_action[action].get(row.method, {}).get(label, math.nan) for action in actions]
        rows += [] if all(map(math.isnan, values)) else [(values, published_style(k))]
    for k, (values, style) in enumerate(rows):
        places = [place + 0.7 * ((k + 0.5) / len(rows) - 0.5) for place in range(len(actions))]
        axes.plot(places, values, **style | {'linestyle': 'none'})
    for place in range(len(actions) - 1):
        axes.axvline(place + 0.5, color='#dddddd', linewidth=0.8)
    axes.set(title=f'by action at {label} ms', ylabel='mm', xlim=(-0.5, len(actions) - 0.5))
    axes.set_ylim(bottom=0)
    axes.set_xticks(range(len(actions)), [action.replace('_', '\n') for action in actions],
                    rotation=0 if len(actions) < 10 else 30, ha='center' if len(actions) < 10 else 'right')
    plain(axes)


def plain(axes: Any) -> None:
    """Quiet lines behind the data."""
    axes.grid(axis='y', alpha=0.25)
    axes.spines[['top', 'right']].set_visible(False)

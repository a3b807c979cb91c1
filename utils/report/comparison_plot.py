"""Draws the picture of a comparison. Needs matplotlib, which is optional."""
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from utils.common.figures import plain_drawing
from utils.common.files import whole_file
from utils.evaluate.results import BASELINES, over_actions
from utils.report.comparison import Run, combined, shared_frame, shown_name
from utils.report.page import measured_on, published_beside, table_frames
from utils.report.published import EPOCHS, PublishedRow

# Okabe and Ito's colours without yellow.
# Markers and lines differ too, for those who do not tell colours apart.
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#56B4E9', '#E69F00')
MARKERS = ('o', 's', '^', 'D', 'v', 'P')
GREYS, HOLLOW = ('#333333', '#707070', '#9a9a9a'), ('o', 's', '^', 'D', 'v', 'P', 'X', 'p', '*')


@plain_drawing()
def draw_comparison(runs: Sequence[Run], only: Sequence[str], path: Path) -> None:
    """Writes the picture as a PNG, 1500 pixels wide.

    only: parts of the names of the published rows to show; all if empty.
    """
    with whole_file(path) as temporary:
        comparison_figure(runs, only).savefig(temporary, format='png', dpi=150)


def comparison_figure(runs: Sequence[Run], only: Sequence[str]) -> Figure:
    """Draws three or four panels.

    They show runs and published rows over the horizon, their difference from the first run, and baselines.
    Where there are several actions, the fourth shows the errors by action.
    """
    whole = combined(runs)
    published = published_rows_drawn(runs, only)
    by_action = len(whole.windows) > 1
    with matplotlib.rc_context({'font.size': 9, 'axes.titlesize': 10, 'axes.titlelocation': 'left'}):
        figure = Figure(figsize=(10, 8 if by_action else 4.8), layout='constrained')
        grid = figure.add_gridspec(2, 10) if by_action else figure.add_gridspec(1, 3)
        places = ((grid[0, :5], grid[0, 5:], grid[1, :3]) if by_action else
                  (grid[0, 0], grid[0, 1], grid[0, 2]))
        horizon, difference, baselines = (figure.add_subplot(place) for place in places)
        draw_horizon(horizon, runs, published)
        draw_difference(difference, runs, published)
        draw_baselines(baselines, runs)
        if by_action:
            draw_actions(figure.add_subplot(grid[1, 3:]), runs, published)
        over = ''
        if whole.has_actions:
            one = next(iter(whole.windows))
            over = f', mean of {len(whole.windows)} actions' if by_action else f', {one}'
        title = measured_on(whole)
        figure.suptitle(f'{title[0].upper()}{title[1:]}: MPJPE in mm at the frame{over}', x=0.01, ha='left',
                        fontweight='bold')
        named: dict[str, Any] = {}
        for axes in (horizon, baselines):
            for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
                named.setdefault(name, handle)
        used = [f'({mark}) {meaning}' for key, (mark, meaning) in EPOCHS.items()
                if any(row.epoch == key for row in published)]
        about = f'how a published row\'s epoch was chosen: {", ".join(used)}' if used else None
        figure.legend(list(named.values()), list(named), loc='outside lower left', frameon=False,
                      alignment='left', ncols=2 if max(map(len, named)) > 45 else 3, title=about,
                      title_fontsize=8)
    return figure


def published_rows_drawn(runs: Sequence[Run], only: Sequence[str]) -> list[PublishedRow]:
    """Returns the published rows of the first run's protocol."""
    whole = combined(runs)
    return [row for row in published_beside(whole, whole.label_ms, only)[0]
            if row.errors and row.protocol == whole.protocol]


def run_style(k: int) -> dict[str, Any]:
    """Returns how the k-th run is drawn: as a full line in colour."""
    return {'color': COLOURS[k % len(COLOURS)], 'marker': MARKERS[k % len(MARKERS)], 'markersize': 4.5,
            'linewidth': 1.8, 'linestyle': ('-', '--', '-.')[k // len(COLOURS) % 3]}


def published_style(k: int) -> dict[str, Any]:
    """Returns how the k-th published row is drawn: as a thin grey line with hollow markers."""
    return {'color': GREYS[k % len(GREYS)], 'marker': HOLLOW[k % len(HOLLOW)], 'markersize': 5,
            'linewidth': 0.8, 'linestyle': (0, (4, 2)), 'markerfacecolor': 'white'}


def run_lines(runs: Sequence[Run]) -> list[tuple[str, dict[int, float], dict[str, Any]]]:
    """Returns every run's name, its errors in mm by label in ms, and its style."""
    labels = combined(runs).label_ms
    return [(shown_name(run, runs), dict(zip(labels, run.table['avg'], strict=False)),
             {'zorder': 3, **run_style(k)})
            for k, run in enumerate(runs)]


def published_lines(runs: Sequence[Run],
                    published: Sequence[PublishedRow]) -> list[tuple[str, dict[int, float], dict[str, Any]]]:
    """Returns every published row's name, its errors at the labels that the runs have, and its style."""
    labels = combined(runs).label_ms
    return [(row.marked, {label: row.errors[label] for label in labels if label in row.errors},
             published_style(k))
            for k, row in enumerate(published)]


def draw_line(axes: Any, runs: Sequence[Run], name: str, errors: dict[int, float], **style: Any) -> None:
    """Draws errors in mm over labels in ms, with markers at those of the field."""
    shown = field_labels(runs)
    axes.plot(list(errors), list(errors.values()), label=name,
              markevery=[k for k, label in enumerate(errors) if label in shown], **style)


def draw_horizon(axes: Any, runs: Sequence[Run], published: Sequence[PublishedRow]) -> None:
    """Draws runs and published rows over the labels, on a scale of their own."""
    for name, errors, style in [*run_lines(runs), *published_lines(runs, published)]:
        draw_line(axes, runs, name, errors, **style)
    axes.set(title='over the horizon', ylabel='mm')
    axes.set_ylim(bottom=0)
    label_times(axes, runs, field_labels(runs))


def draw_difference(axes: Any, runs: Sequence[Run], published: Sequence[PublishedRow]) -> None:
    """Draws how far every row is from the first run, as far as that one predicts."""
    labels = combined(runs).label_ms
    reference = dict(zip(labels, runs[0].table['avg'], strict=False))
    for name, errors, style in [*run_lines(runs), *published_lines(runs, published)]:
        first, last = (labels.index(label) for label in (min(errors), max(errors)))
        if len(errors) < 1 + last - first:
            # Between labels far apart a straight line would be off by much of a difference.
            style['linestyle'] = 'none'
        gaps = {label: error - reference[label] for label, error in errors.items() if label in reference}
        draw_line(axes, runs, name, gaps, **style)
    axes.set(title=f'difference from {runs[0].name} (below 0 is better)', ylabel='mm')
    label_times(axes, runs, [label for label in field_labels(runs) if label in reference])


def draw_baselines(axes: Any, runs: Sequence[Run]) -> None:
    """Draws the runs among zero and constant velocity, whose errors are too large for the other scale."""
    whole = combined(runs)
    for name, errors, style in run_lines(runs):
        draw_line(axes, runs, name, errors, **style | {'markersize': 3})
    for name, line in zip(BASELINES, ('-', ':'), strict=True):
        errors = dict(zip(whole.label_ms, whole.methods[name]['avg'], strict=True))
        draw_line(axes, runs, name, errors, color='black', linestyle=line, linewidth=0.8)
    axes.set(title='beside the baselines', ylabel='mm')
    axes.set_ylim(bottom=0)
    ticks: list[int] = []
    for label in field_labels(runs):  # the panel is narrow: a tick keeps a tenth of it to itself
        if not ticks or label - ticks[-1] >= 0.1 * (whole.label_ms[-1] - whole.label_ms[0]):
            ticks.append(label)
    label_times(axes, runs, ticks)


def field_labels(runs: Sequence[Run]) -> list[int]:
    """Returns the field's labels in ms, as far as any run predicts."""
    whole = combined(runs)
    return [whole.label_ms[f] for f in table_frames(whole)]


def label_times(axes: Any, runs: Sequence[Run], ticks: Sequence[int]) -> None:
    """Puts ticks at these labels, with the true times below them where those differ.

    ticks: labels in ms.
    """
    whole = combined(runs)
    skeleton = whole.dataset.skeleton
    true = dict(zip(whole.label_ms, skeleton.true_ms(whole.output_n), strict=True))
    same = skeleton.true_ms_per_frame == skeleton.label_ms_per_frame
    texts = [str(label) if same else f'{label}\n{true[label]:.0f}' for label in ticks]
    axes.set_xticks(ticks, texts, fontsize=8)
    axes.set_xlabel('ms' if same else 'label ms, below it true ms')
    plain(axes)


def draw_actions(axes: Any, runs: Sequence[Run], published: Sequence[PublishedRow]) -> None:
    """Draws a dot for every run and published row over each action, side by side.

    The errors are those at the last label that every run reaches.
    """
    whole, frame = combined(runs), shared_frame(runs)
    label, actions = whole.label_ms[frame], list(whole.windows)
    rows = [([run.table[action][frame] for action in actions], run_style(k)) for k, run in enumerate(runs)]
    by_action = {}
    for action in actions:
        beside = published_beside(over_actions(whole, [action]), [label])[0]
        by_action[action] = {row.marked: row.errors for row in beside}
    for k, row in enumerate(published):
        values = [by_action[action].get(row.marked, {}).get(label, math.nan) for action in actions]
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
    """Draws thin lines behind the data and no box around it."""
    axes.grid(axis='y', alpha=0.25)
    axes.spines[['top', 'right']].set_visible(False)

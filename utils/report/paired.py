"""Makes the page of a paired comparison: two settings on the same windows, and their difference."""
from collections.abc import Sequence

import numpy as np

from utils.evaluate.paired import (
    BLOCK,
    DRAWS,
    Difference,
    Pairs,
    difference,
    mean_over_actions,
    of_action,
    pair,
    spread,
    windows_won,
)
from utils.evaluate.results import read_window_errors
from utils.report.comparison import Run, combined
from utils.report.page import label_heads, label_table, measured_on, table_frames
from utils.report.tables import Block, Heading, Notes, Row, Table, number

FEW_UNITS = 10  # in all, below which percentiles of a bootstrap lie too near each other


class Setting:
    """One or several runs that differ in nothing but the seed, under one name."""

    def __init__(self, name: str, runs: Sequence[Run]):
        self.name, self.runs = name, list(runs)
        self.errors = [read_window_errors(run.results, run.folder) for run in runs]

    @property
    def shown(self) -> str:
        """The name, with the number of runs where there are several."""
        return self.name if len(self.runs) == 1 else f'{self.name} (mean of {len(self.runs)} runs)'


def paired_blocks(first: Setting, second: Setting, actions: Sequence[str]) -> list[Block]:
    """Makes the page, at the labels that all runs reach.

    Raises InputError if the runs were tested on different motion.
    """
    runs = [*first.runs, *second.runs]
    pairs = pair(first.errors, second.errors, [run.name for run in runs], actions)
    shortest = min((run.results for run in runs), key=lambda results: results.output_n)
    frames = table_frames(shortest)
    found = difference(pairs)
    labels = [shortest.label_ms[f] for f in frames]
    page: list[Block] = [
        Heading(f'{second.name} against {first.name} on {measured_on(combined(runs))}, window by window'),
        f'MPJPE in mm at the frame, all joints; actions: {", ".join(pairs.actions)}, each counting the same; '
        f'{pairs.first.shape[1]} windows that all runs were tested on.',
        label_table(shortest, frames, rows(first, second, pairs, found, frames)),
        *sentences(first.name, second.name, labels, found.low[frames].tolist(), found.high[frames].tolist())]
    if len(pairs.actions) > 1:
        cells = label_heads(shortest, frames)
        for action in pairs.actions:
            cells.append([action, *intervals(difference(of_action(pairs, action)), frames)])
        page += [f'{second.name} minus {first.name} by action, in mm, with its interval:',
                 Table(cells, heads=2)]
    return [*page, Notes(caveats(first, second, pairs))]


def rows(first: Setting, second: Setting, pairs: Pairs, found: Difference,
         frames: Sequence[int]) -> list[Row]:
    """Makes a row for each setting, its runs' spread, the difference, its interval, and the windows won."""
    means = [(setting, mean_over_actions(errors, pairs.action).mean(0), spread(errors, pairs.action))
             for setting, errors in ((first, pairs.first), (second, pairs.second))]
    lines = []
    for setting, mean, deviation in means:
        lines.append((setting.shown, mean))
        if deviation is not None:
            lines.append((f'{setting.name}, standard deviation of its runs', deviation))
    won = windows_won(pairs)
    lines += [(f'{second.name} minus {first.name}', found.mean),
              ('95% interval from', found.low), ('to', found.high),
              (f'windows in which {first.name} is better, %', 100 * won[0]),
              (f'windows in which {second.name} is better, %', 100 * won[1])]
    return [Row(name, [float(values[f]) for f in frames], rival=False) for name, values in lines]


def intervals(found: Difference, frames: Sequence[int]) -> list[str]:
    """Makes one cell for each frame: the difference and its interval."""
    return [f'{number(float(found.mean[f]))} [{number(float(found.low[f]))}, {number(float(found.high[f]))}]'
            for f in frames]


def sentences(first: str, second: str, labels: Sequence[int], low: Sequence[float],
              high: Sequence[float]) -> list[str]:
    """Says what can be said of the difference and what not, label by label."""
    better = [label for label, end in zip(labels, high, strict=True) if end < 0]
    worse = [label for label, end in zip(labels, low, strict=True) if end > 0]
    same = [label for label, one, other in zip(labels, low, high, strict=True) if one == other == 0]
    open_ = [label for label in labels if label not in (*better, *worse, *same)]

    def at(found: Sequence[int]) -> str:
        return f'At {", ".join(map(str, found))} ms'

    said = []
    if better:
        said.append(f'{at(better)} {second} is better than {first}: the interval lies below 0.')
    if worse:
        said.append(f'{at(worse)} {second} is worse than {first}: the interval lies above 0.')
    if open_:
        said.append(f'{at(open_)} nothing can be said of which is better: 0 is in the interval.')
    if same:
        said.append(f'{at(same)} both have the same errors.')
    return [' '.join(said)]


def caveats(first: Setting, second: Setting, pairs: Pairs) -> list[str]:
    """Says how the interval was made, and what it does not hold."""
    units = {action: len(np.unique(pairs.unit[pairs.action == k])) for k, action in enumerate(pairs.actions)}
    blocks = [action for action in pairs.actions if action not in pairs.whole]
    drawn = []
    if pairs.whole:
        drawn.append(f'recordings ({", ".join(f"{action} {units[action]}" for action in pairs.whole)})')
    if blocks:
        counts = ', '.join(f'{action} {units[action]}' for action in blocks)
        drawn.append(f'blocks of a recording ({counts}), of {BLOCK} windows\' lengths or more where they are '
                     'long enough, as the recordings are few')
    lines = [f'Interval: 2.5th to 97.5th percentile of {DRAWS} bootstrap draws. Windows overlap, so they are '
             f'not drawn one by one: drawn within each action are {" and ".join(drawn)}. Both settings get '
             'the same draws.',
             'It says how far the difference would move on other motion like this. It says nothing of other '
             'persons or datasets. Each label stands alone: of 20 labels without a difference one looks like '
             'one by chance.']
    single = [setting.name for setting in (first, second) if len(setting.runs) == 1]
    if single and first.runs != second.runs:
        lines.append(f'One training of {" and one of ".join(single)}: how far another seed would move the '
                     'difference is not in the interval.')
    if any(len(setting.runs) > 1 for setting in (first, second)):
        lines.append('The runs of a setting are drawn too, so the interval holds their spread, which two or '
                     'three runs show only roughly.')
    if sum(units.values()) < FEW_UNITS:
        lines.append(f'Only {sum(units.values())} recordings or blocks were there to draw from: the interval '
                     'is too narrow, so take a difference near its end for none.')
    if alone := [action for action, count in units.items() if count == 1]:
        lines.append(f'Of {", ".join(alone)} there is only one window, which stays as it is in every draw.')
    left = {len(errors.start) for setting in (first, second) for errors in setting.errors}
    if left != {pairs.first.shape[1]}:
        lines.append(f'The runs were tested on {" and ".join(map(str, sorted(left)))} windows; only the '
                     'shared ones are compared.')
    return lines

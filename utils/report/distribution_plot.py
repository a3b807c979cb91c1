"""Draws errors over windows. Needs matplotlib, which is optional."""
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from utils.common.figures import plain_drawing
from utils.common.files import whole_file
from utils.evaluate.distribution import PERCENTILES, of_actions, percentiles
from utils.evaluate.window_errors import WindowErrors
from utils.report.comparison import Run, combined, shared_frame, shown_name
from utils.report.comparison_plot import COLOURS, field_labels, label_times, plain

LINES = ('-', '--', ':')


@plain_drawing()
def draw_distribution(runs: Sequence[Run], errors: Sequence[WindowErrors], actions: Sequence[str],
                      path: Path) -> None:
    """Writes a PNG: percentiles over the horizon, and the share of windows up to each error."""
    whole, frame = combined(runs), shared_frame(runs)
    figure = Figure(figsize=(10, 4.6), layout='constrained')
    horizon, share = figure.subplots(1, 2)
    for k, (run, of_run) in enumerate(zip(runs, errors, strict=True)):
        colour, name = COLOURS[k % len(COLOURS)], shown_name(run, runs)
        for q, line, values in zip(PERCENTILES, LINES, percentiles(of_run, actions), strict=True):
            horizon.plot(whole.label_ms[: len(values)], values, color=colour, linestyle=line, linewidth=1.5,
                         label=f'{name}, {"median" if q == 50 else f"{q}th percentile"}')
        at_frame = np.sort(of_run.all_joints[of_actions(of_run, actions), frame])
        below = 100 * np.arange(1, len(at_frame) + 1) / len(at_frame)
        share.plot(at_frame, below, color=colour, linewidth=1.5)
    horizon.set_title('median, 90th and 99th percentile of the windows', loc='left', fontsize=10)
    horizon.set_ylabel('MPJPE in mm')
    horizon.set_ylim(bottom=0)
    label_times(horizon, runs, field_labels(runs))
    share.set_title(f'windows with at most this error at {whole.label_ms[frame]} ms', loc='left', fontsize=10)
    share.set(xlabel='MPJPE in mm', ylabel='% of windows', ylim=(0, 100))
    share.set_xlim(left=0)
    plain(share)
    figure.legend(loc='outside lower left', frameon=False, ncols=3, fontsize=8)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format='png', dpi=150)

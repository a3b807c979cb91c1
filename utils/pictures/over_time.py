"""How the error of predictions goes over a recording."""
from pathlib import Path

import numpy as np

from utils.common.figures import plain_drawing
from utils.common.files import whole_file


@plain_drawing()
def plot_errors(path: Path, title: str, times: np.ndarray,
                curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Draws a PNG of the errors of the prediction and of standing still over the recording.

    times: (W,) s of the last observed frame.
    curves: horizon, in words -> the two errors (W,), true mm.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.6 * len(curves)), layout='constrained')
    for number, (name, (predicted, still)) in enumerate(curves.items(), start=1):
        axes = figure.add_subplot(len(curves), 1, number)
        axes.plot(times, still, color='0.6', label='standing still')
        axes.plot(times, predicted, color='tab:blue', label='predicted')
        axes.set_ylim(0)
        axes.set_xlim(times.min(), max(times.max(), times.min() + 1e-3))
        axes.set_ylabel(f'error at {name} (mm)')
        axes.spines[['top', 'right']].set_visible(False)
        if number == 1:
            axes.set_title(title, loc='left')
            axes.legend(frameon=False, ncols=2, loc='lower right', bbox_to_anchor=(1, 1))
    axes.set_xlabel('time of the last observed frame (s)')
    with whole_file(path) as temporary, temporary.open('wb') as file:
        figure.savefig(file, format='png', dpi=100)

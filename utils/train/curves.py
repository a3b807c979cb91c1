"""Draws the curves of a run over its epochs, as curves.png and as events for tensorboard.

curves.png needs matplotlib and the events need tensorboard; a run goes on without either.
"""
import logging
import math
import time
from pathlib import Path
from typing import Any

from utils.common.checkpoint import best_entry
from utils.common.figures import MISSING, plain_drawing
from utils.common.files import whole_file

log = logging.getLogger('ksof')
DRAW_EVERY = 10.0  # seconds: epochs of a second each would spend most of their time on pictures
Epoch = dict[str, float]  # one entry of a run's history, as in history.csv
BLUE, ORANGE, GREEN, PURPLE, GREY = '#0072B2', '#D55E00', '#009E73', '#AA4499', '#666666'
# Key in the history, colour, style and width of the line, name.
# The lines differ in more than colour, for those who do not tell colours apart.
ERRORS = (('fused', ORANGE, '-', 1.2, 'training, fused'),
          ('temporal', GREEN, '--', 1.2, 'training, K-TCN'),
          ('spatial', PURPLE, ':', 1.6, 'training, S-GCN'),
          ('validation', BLUE, '-', 2.4, 'validation, fused'))


class Curves:
    """Keeps the curves of one run up to date after each epoch."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.events: Any = None
        self.written = 0  # number of epochs that the events hold
        self.drawn = -math.inf  # when curves.png was drawn last
        self.missing: set[str] = set()  # libraries that failed and are not tried again

    def update(self, history: list[Epoch], *, last: bool = False) -> None:
        """Adds new epochs to the events, and draws curves.png again if its last drawing was some time ago.

        last: whether this is the run's last epoch, after which it is drawn in any case.
        A library that is missing or a file that cannot be written is reported once, and training goes on.
        """
        kinds = [('tensorboard', 'events', self.write_events)]
        if last or time.monotonic() - self.drawn >= DRAW_EVERY:
            kinds.insert(0, ('matplotlib', 'curves.png', self.draw))
        for library, what, show in kinds:
            if library in self.missing:
                continue
            try:
                show(history)
            except ImportError:
                self.missing.add(library)
                if library == 'matplotlib':
                    log.info('no curves.png in this run: %s (pip install -r requirements-extra.txt)', MISSING)
            except (Exception, SystemExit) as error:  # whatever a library does: no curve is worth a run
                self.missing.add(library)
                first_line = f'{type(error).__name__}: {error}'.split('\n')[0]
                reason = getattr(error, 'strerror', None) or first_line[:200]
                log.warning('%s: no more %s in this run: %s', self.folder, what, reason)

    def draw(self, history: list[Epoch]) -> None:
        """Writes curves.png into the run folder."""
        self.drawn = time.monotonic()
        draw_curves(history, self.folder / 'curves.png')

    def write_events(self, history: list[Epoch]) -> None:
        """Writes tensorboard's scalars.

        The first call writes the whole history; tensorboard drops what an earlier start of the run wrote.
        """
        from torch.utils.tensorboard import SummaryWriter

        self.events = self.events or SummaryWriter(str(self.folder / 'events'), purge_step=1)
        for entry in history[self.written:]:
            for name, value in entry.items():
                if name != 'epoch':
                    self.events.add_scalar(name, value, int(entry['epoch']))
        self.events.flush()
        self.written = len(history)


@plain_drawing()
def draw_curves(history: list[Epoch], path: Path) -> None:
    """Draws errors, smoothness, loss weights and learning rate of a run over its epochs.

    The picture is a PNG of 900 x 620 pixels.
    Raises ImportError without matplotlib.
    """
    from matplotlib.figure import Figure

    epochs = [int(entry['epoch']) for entry in history]
    marker = 'o' if len(history) <= 12 else None  # a line of one point is invisible
    figure = Figure(figsize=(9, 6.2), layout='constrained')
    has_paths = 'temporal' in history[-1]  # a network of one's own has none
    grid = figure.add_gridspec(2, 2 + has_paths, height_ratios=(2, 1))

    def curve(axes: Any, key: str, **style: Any) -> None:
        axes.plot(epochs, [entry[key] for entry in history], marker=marker, markersize=4, **style)

    best = best_entry(history)
    assert best
    is_refit = bool(best.get('refit'))
    errors = figure.add_subplot(grid[0, :])
    for key, colour, line, width, name in shown_errors(history):
        shown = name if has_paths else name.removesuffix(', fused')
        trained_on = ', trained on' if is_refit and key == 'validation' else ''
        curve(errors, key, color=colour, linestyle=line, linewidth=width, label=shown + trained_on)
    word = 'kept' if is_refit else 'best'
    errors.plot(best['epoch'], best['validation'], marker='*', markersize=15, linestyle='none', color=BLUE,
                markeredgecolor='white',
                label=f'{word}: {best["validation"]:.2f} mm, epoch {best["epoch"]:.0f}')
    errors.set(ylabel='MPJPE over all predicted frames, mm')
    leave_out_start(errors, history)
    errors.legend(frameon=False, ncols=5, fontsize=9, loc='lower center', bbox_to_anchor=(0.5, 1),
                  columnspacing=1.2, handlelength=2.2)
    small = [figure.add_subplot(grid[1, column]) for column in range(2 + has_paths)]
    curve(small[0], 'jps', color=GREY)
    small[0].set(title='joint point smoothness', ylabel='mm / frame²')
    if has_paths:
        curve(small[1], 'a', color=PURPLE, linestyle=':', label='a (S-GCN)')
        curve(small[1], 'b', color=GREEN, linestyle='--', label='b (K-TCN)')
        small[1].set(title='loss weights')
        small[1].legend(frameon=False)
    curve(small[-1], 'lr', color=GREY)
    small[-1].set(title='learning rate', ylim=(0, 1.1 * max(entry['lr'] for entry in history) or 1))
    for axes in (errors, *small):
        over_epochs(axes, epochs[-1], ticks=10 if axes is errors else 5)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format='png', dpi=100)


def over_epochs(axes: Any, last: int, *, ticks: int) -> None:
    """Makes the horizontal axis one of whole epochs, up to the last one.

    ticks: so many at the most.
    """
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel('epoch')
    axes.set_xlim(0.5, max(last, 2) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=ticks, min_n_ticks=1))
    axes.grid(alpha=0.25)
    axes.spines[['top', 'right']].set_visible(False)


def shown_errors(history: list[Epoch]) -> list[tuple[str, str, str, float, str]]:
    """Returns those of ERRORS that the history has."""
    return [error for error in ERRORS if error[0] in history[-1]]


def leave_out_start(axes: Any, history: list[Epoch]) -> None:
    """Scales the axis to the errors after the first tenth of the epochs.

    The high errors before it would flatten the rest.
    """
    values = [[entry[key] for entry in history] for key, *_ in shown_errors(history)]
    floor = min(min(own) for own in values)
    top = max(max(own[len(own) // 10:]) for own in values)
    axes.set_ylim(0.9 * floor, 1.05 * top + 0.1)

"""Tables, sentences and picture of a network's errors under what it was not trained for."""
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from utils.common.figures import plain_drawing
from utils.common.files import whole_file
from utils.data.dataset import Dataset, label_frames
from utils.evaluate.results import BASELINES, NETWORK
from utils.evaluate.robustness import worse
from utils.report.tables import Block, Heading, Notes, Row, value_table

STYLES = {NETWORK: ('#0072B2', 'o'), BASELINES[0]: ('#D55E00', '|'), BASELINES[1]: ('#666666', 'x')}
MEANING = (
    'Noise on joints: each observed joint of each frame is moved at random, so far as a root mean square.',
    'Joints lost: so many joints of a window, drawn at random, stay where they are in the middle of the '
    'observed frames. Frames lost: so many observed frames, never the first, show the one before them.',
    'Body turned: about the vertical axis through the root. Body tilted: about the axis from side to side. '
    'Where the data\'s global rotation is removed, no training pose is turned.',
    'Body size: all lengths times this; errors are divided by it. Frame rate, half: every second frame, so '
    'motion is twice as fast for the network, and a label stands for twice its time; left out where '
    'an action\'s recordings are too short.',
    'Zero and constant velocity see the same spoilt poses. Errors are taken from the unspoilt future.')


class Measured(NamedTuple):
    """Errors under one condition: method -> MPJPE at every frame, mm."""

    kind: str
    level: str
    errors: dict[str, list[float]]

    @property
    def name(self) -> str:
        """The condition in words."""
        return f'{self.kind}, {self.level}' if self.level else self.kind


def robustness_blocks(name: str, dataset: Dataset, output_n: int, measured: Sequence[Measured], *,
                      windows: str) -> list[Block]:
    """Makes the page. windows: which were measured, in words."""
    skeleton, frames = dataset.skeleton, label_frames(dataset, output_n)
    labels, times = skeleton.label_ms(output_n), skeleton.true_ms(output_n)
    heads = [['label ms', *(str(labels[f]) for f in frames)],
             ['true ms', *(f'{times[f]:.0f}' for f in frames)]]
    page: list[Block] = [Heading(f'{name} on {dataset.title}, spoilt and moved'),
                         f'MPJPE in mm at the frame, mean of the actions; {windows}.']
    for method in STYLES:
        rows = [Row(one.name, [one.errors[method][f] for f in frames], rival=False) for one in measured]
        page += [f'{name if method == NETWORK else method.capitalize()}:', value_table(heads, rows)]
    return [*page, sentence(name, measured, frames, labels), Notes(MEANING)]


def sentence(name: str, measured: Sequence[Measured], frames: Sequence[int], labels: Sequence[int]) -> str:
    """Says where the network is worse than holding the last pose, at the shown labels."""
    found = []
    for one in measured:
        at = [str(labels[f]) for f in worse(one.errors[NETWORK], one.errors[BASELINES[0]]) if f in frames]
        if at:
            found.append(f'{one.name} ({", ".join(at)} ms)')
    return (f'{name} is worse than holding the last pose with {"; ".join(found)}.' if found
            else f'{name} is nowhere worse than holding the last pose.')


@plain_drawing()
def draw_robustness(name: str, dataset: Dataset, output_n: int, measured: Sequence[Measured],
                    path: Path) -> None:
    """Writes a PNG of every condition's errors at the last shown label, on a logarithmic axis.

    Raises ImportError without matplotlib.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    frame = label_frames(dataset, output_n)[-1]
    figure = Figure(figsize=(8, 0.8 + 0.26 * len(measured)), layout='constrained')
    axes = figure.add_subplot()
    places = range(len(measured))
    for method, (colour, marker) in STYLES.items():
        axes.plot([one.errors[method][frame] for one in measured], places, marker, color=colour, markersize=7,
                  markeredgewidth=2, label=name if method == NETWORK else method)
    axes.set_yticks(places, [one.name for one in measured])
    axes.invert_yaxis()
    axes.set_xscale('log')
    for axis in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        axis(ScalarFormatter())
    axes.tick_params(axis='x', which='both', labelsize=8, length=4, pad=3)
    axes.set_xlabel(f'MPJPE in mm at {dataset.skeleton.label_ms(output_n)[frame]} ms ({dataset.title}), '
                    'logarithmic')
    axes.grid(alpha=0.25, which='both')
    axes.spines[['top', 'right']].set_visible(False)
    for k in range(1, len(measured)):
        if measured[k].kind != measured[k - 1].kind:
            axes.axhline(k - 0.5, color='#cccccc', linewidth=0.8)
    figure.legend(loc='outside upper right', frameon=False, ncols=3, fontsize=9)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format='png', dpi=130)

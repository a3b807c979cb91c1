"""Scenes of invented motion, and the check that nothing in a figure covers its words."""
from itertools import combinations

import numpy as np

from utils.data.lookup import DATASETS
from utils.data.synthetic.actions import make_motion
from utils.data.synthetic.body import CMU_BODY, H36M_BODY, THREEDPW_BODY, pose
from utils.pictures.scene import Scene

BODIES = {'cmu': CMU_BODY, 'h36m': H36M_BODY, '3dpw': THREEDPW_BODY}


def make_scene(name='cmu', input_n=10, output_n=10, *,
               title='CMU mocap: test/walking/walking_1.txt, frames 0 to 19', known=True):
    """A person who walks, with a prediction that is off by more and more."""
    dataset, rng = DATASETS[name], np.random.default_rng(0)
    motion = make_motion('walking', input_n + output_n, fps=1000 / dataset.skeleton.true_ms_per_frame,
                         rng=rng)
    poses = (1000 * pose(motion, BODIES[name])[1]).astype(np.float32)
    drift = rng.normal(0, 40, (1, poses.shape[1], 3)) * np.linspace(0.1, 1, output_n)[:, None, None]
    truth = poses[input_n:]
    predicted = (truth + drift
                 * np.isin(np.arange(poses.shape[1]), dataset.skeleton.predicted)[:, None]).astype(np.float32)
    return Scene('walking_000007', title, dataset, poses[:input_n], predicted, truth if known else None)


def assert_readable(figure):
    """Every word lies inside the figure, and no two lie over each other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    # Ticks outside of their axis are kept but not drawn.
    ticks = {label for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)
             for tick in [*axis.majorTicks, *axis.minorTicks]
             if not axis.get_view_interval().min() - 1e-9 <= tick.get_loc() <= axis.get_view_interval().max()
             + 1e-9
             for label in (tick.label1, tick.label2)}
    words = [word for word in figure.findobj(Text) if word.get_visible() and word.get_text().strip()
             and word not in ticks
             and all(axes.axison for axes in [word.axes] if axes is not None)]
    boxes = [(word.get_text(), word.get_window_extent(canvas.get_renderer())) for word in words]
    width, height = canvas.get_width_height()
    for text, box in boxes:
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
        assert inside, f'{text!r} leaves the picture'
    for (one, a), (other, b) in combinations(boxes, 2):
        apart = a.x1 <= b.x0 + 1 or b.x1 <= a.x0 + 1 or a.y1 <= b.y0 + 1 or b.y1 <= a.y0 + 1
        assert apart, f'{one!r} lies over {other!r}'
    return {text for text, _ in boxes}

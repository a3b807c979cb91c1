"""Pictures of a window: film strip, error over time, error of each joint. They need matplotlib, and import it here."""
from functools import partial
from operator import mul
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from utils.common.files import whole_file
from utils.pictures.scene import CENTRE, LEFT, RIGHT, Scene, bones, project, side

# Okabe and Ito's blue and vermilion, which everybody tells apart, and a tint of each: the truth is wide and pale, the
# prediction thin and dark, so that the two differ in more than colour. The far side is drawn first.
DARK = {RIGHT: '#D55E00', CENTRE: '#333333', LEFT: '#0072B2'}
PALE = {RIGHT: '#F4C7A4', CENTRE: '#D0D0D0', LEFT: '#A8D0E8'}
GREY = '#666666'
TRUTH, PREDICTION = 7.0, 1.8  # line widths in points
WIDTH, DPI = 9.0, 150  # inches, and pixels an inch: sharp where a README shows it 900 pixels wide


def save(figure: Figure, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, format='png', dpi=DPI)


def draw_pose(axes: Axes, pose: np.ndarray, scene: Scene, colours: dict[str, str], width: float) -> None:
    """Add the bones of one pose (J, 3) to axes in mm."""
    flat = project(pose, scene.axes)[:, :2]
    for colour_of, colour in colours.items():
        lines = [[*flat[[joint, parent]], (np.nan, np.nan)] for joint, parent, its in bones(scene.skeleton) if its == colour_of]
        axes.plot(*np.concatenate(lines).T, color=colour, linewidth=width, solid_capstyle='round', solid_joinstyle='round')


def frame_of(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Lower left and upper right corner, mm, of what holds every pose of the scene, with a margin."""
    known = [scene.observed, scene.predicted] + ([] if scene.truth is None else [scene.truth])
    flat = project(np.concatenate(known), scene.axes)[..., :2].reshape(-1, 2)
    return flat.min(0) - 60, flat.max(0) + 60


def pose_axes(figure: Figure, place: Any, corners: tuple[np.ndarray, np.ndarray]) -> Axes:
    """Axes without a frame for poses: equal scales, the same in every panel."""
    axes = figure.add_subplot(place)
    axes.set(xlim=(corners[0][0], corners[1][0]), ylim=(corners[0][1], corners[1][1]), aspect='equal')
    axes.set_axis_off()
    return axes


def legend_of(scene: Scene) -> list[Line2D]:
    """What the colours and widths mean."""
    entries = [Line2D([], [], color=DARK[LEFT], linewidth=3, label='left'),
               Line2D([], [], color=DARK[RIGHT], linewidth=3, label='right'),
               Line2D([], [], color=DARK[CENTRE], linewidth=PREDICTION, label='thin, dark: prediction')]
    if scene.truth is not None:
        entries.append(Line2D([], [], color=PALE[CENTRE], linewidth=TRUTH, label='wide, pale: truth'))
    return entries


def labels_are_true(scene: Scene) -> bool:
    """Whether the field's labels are the times at which the frames were recorded."""
    return scene.label_ms == [round(time) for time in scene.true_ms]


def title_size(title: str, longest: int) -> float:
    """Font size of a title: less where it has more letters than fit."""
    return min(11.0, 11.0 * longest / len(title))


def strip(scene: Scene, path: Path) -> int:
    """Film strip: the last observed pose, then truth and prediction over each other at the table's labels.

    Below each panel its label, true time and MPJPE over all joints. Returns the number of panels.
    """
    corners = frame_of(scene)
    frames = scene.table_frames
    panels = 1 + len(frames)
    wide, high = corners[1] - corners[0]
    below = 0.09 + 0.19 * len(panel_text(scene, frames[0]))  # inches of text under the panels
    figure = Figure(figsize=(WIDTH, 0.68 + below + min(4.2, 0.94 * WIDTH / panels * high / wide)))
    margins = figure.subplotpars
    margins.update(left=0.01, right=0.99, wspace=0.03, bottom=below / figure.get_figheight(),
                   top=1 - 0.62 / figure.get_figheight())
    grid = figure.add_gridspec(1, panels)
    for column, frame in enumerate([None, *frames]):
        axes = pose_axes(figure, grid[column], corners)
        if frame is None:
            draw_pose(axes, scene.observed[-1], scene, DARK, PREDICTION)
            lines = ['observed', '0 ms']
        else:
            if scene.truth is not None:
                draw_pose(axes, scene.truth[frame], scene, PALE, TRUTH)
            draw_pose(axes, scene.predicted[frame], scene, DARK, PREDICTION)
            lines = panel_text(scene, frame)
        for row, line in enumerate(lines):
            figure.text((column + 0.5) / panels, (below - 0.16 - 0.19 * row) / figure.get_figheight(), line, fontsize=10,
                        fontweight='bold' if line.endswith(' mm') else 'normal', ha='center', va='center')
    figure.text(0.012, 1 - 0.16 / figure.get_figheight(), scene.title, fontsize=title_size(scene.title, 105),
                va='center')
    figure.legend(handles=legend_of(scene), loc='center left', ncols=4, frameon=False, fontsize=10, borderpad=0,
                  bbox_to_anchor=(0.006, 1 - 0.43 / figure.get_figheight()))
    save(figure, path)
    return panels


def panel_text(scene: Scene, frame: int) -> list[str]:
    """Lines below a panel: the field's label, the true time where it is another, the error."""
    label, true = f'{scene.label_ms[frame]} ms', f'true {scene.true_ms[frame]:.0f} ms'
    error = [] if scene.mpjpe is None else [f'{scene.mpjpe[frame]:.1f} mm']
    return [label, *error] if labels_are_true(scene) else [f'label {label}', true, *error]


def error_over_time(scene: Scene, path: Path) -> None:
    """MPJPE at each predicted frame, beside that of standing still, with the values at the table's labels.

    ValueError where the truth is unknown.
    """
    own, still = scene.mpjpe, scene.mpjpe_standing_still
    if own is None or still is None:
        raise ValueError('no truth to compare with')
    figure = Figure(figsize=(WIDTH, 4.0), layout='constrained')
    axes = figure.add_subplot()
    times = np.array([0, *scene.true_ms])
    axes.plot(times, [0, *still], color=GREY, linestyle='--', linewidth=1.6, zorder=3, label='standing still (zero velocity)')
    axes.plot(times, [0, *own], color=DARK[LEFT], linewidth=2.4, label='prediction')
    for frame in scene.table_frames:
        axes.plot(times[frame + 1], own[frame], 'o', color=DARK[LEFT], markersize=6)
        axes.annotate(f'{own[frame]:.1f}', (times[frame + 1], own[frame]), (0, -8), textcoords='offset points',
                      ha='left', va='top', fontsize=10, color=DARK[LEFT])
    axes.set(title=scene.title, xlabel='true time after the last observed frame, ms', ylabel='MPJPE, mm',
             xlim=(0, times[-1] * 1.06), ylim=(0, None))
    axes.title.set_fontsize(title_size(scene.title, 100))
    if not labels_are_true(scene):
        ratio = scene.skeleton.label_ms_per_frame / scene.skeleton.true_ms_per_frame
        top = axes.secondary_xaxis('top', functions=(partial(mul, ratio), partial(mul, 1 / ratio)))
        top.set_xticks([scene.label_ms[frame] for frame in scene.table_frames])
        top.set_xlabel('the field\'s label, ms')
    axes.legend(frameon=False, loc='upper left')
    axes.grid(alpha=0.25)
    axes.spines['right'].set_visible(False)
    save(figure, path)


def joint_errors(scene: Scene, path: Path) -> None:
    """Heat map of each predicted joint's error over time. ValueError where the truth is unknown."""
    if scene.errors is None:
        raise ValueError('no truth to compare with')
    joints = scene.skeleton.predicted
    values = scene.errors[:, list(joints)].T
    figure = Figure(figsize=(WIDTH, 1.3 + 0.21 * len(joints)), layout='constrained')
    axes = figure.add_subplot()
    image = axes.imshow(values, aspect='auto', cmap='cividis', vmin=0, interpolation='nearest')
    axes.set_title(scene.title, fontsize=title_size(scene.title, 100))
    names = [scene.skeleton.joints[joint] for joint in joints]
    axes.set_yticks(range(len(names)), names, fontsize=9)
    for tick, name in zip(axes.get_yticklabels(), names, strict=True):
        tick.set_color(DARK[side(name)])
    same = labels_are_true(scene)
    axes.set_xticks(scene.table_frames, [f'{scene.true_ms[frame]:.0f} ms' + ('' if same else f'\n({scene.label_ms[frame]})')
                                         for frame in scene.table_frames], fontsize=9)
    axes.set_xlabel('true time after the last observed frame' + ('' if same else ' (the field\'s label)'))
    bar = figure.colorbar(image, ax=axes, pad=0.015, aspect=30)
    bar.set_label('error of the joint, mm')
    bar.locator = MaxNLocator(6)
    save(figure, path)

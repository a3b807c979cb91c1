"""Draws a window as a film strip, its error over time and the error of each joint. Needs matplotlib."""
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox, blended_transform_factory

from utils.common.figures import plain_drawing
from utils.common.files import whole_file
from utils.pictures.scene import CENTRE, LEFT, RIGHT, Scene, bones, project, side

# Okabe and Ito's blue and vermilion, which everybody tells apart, and a pale tint of each.
# The truth is wide and pale, the prediction thin and dark, so that the two differ in more than colour.
# The sides are drawn in this order, so that the nearer one lies on top.
DARK = {RIGHT: '#D55E00', CENTRE: '#333333', LEFT: '#0072B2'}
PALE = {RIGHT: '#F4C7A4', CENTRE: '#D0D0D0', LEFT: '#A8D0E8'}
GREY = '#666666'
TRUTH, PREDICTION = 7.0, 1.8  # line widths in points
WIDTH, DPI = 9.0, 150  # inches, and pixels an inch: sharp where a README shows it 900 pixels wide


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG, whole or not at all."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, format='png', dpi=DPI)


def draw_pose(axes: Axes, pose: np.ndarray, scene: Scene, colours: dict[str, str], width: float) -> None:
    """Draws the bones of one pose.

    axes: with a scale in mm.
    pose: (J, 3) in mm.
    colours: side of the body -> colour, in the order of drawing.
    width: of the lines, in points.
    """
    flat = project(pose, scene.axes)[:, :2]
    for colour_of, colour in colours.items():
        lines = [[*flat[[joint, parent]], (np.nan, np.nan)]
                 for joint, parent, its in bones(scene.skeleton) if its == colour_of]
        axes.plot(*np.concatenate(lines).T, color=colour, linewidth=width, solid_capstyle='round',
                  solid_joinstyle='round')


def frame_of(scene: Scene, observed: np.ndarray, frames: Any = slice(None)) -> tuple[np.ndarray, np.ndarray]:
    """Finds the lower left and upper right corner of what is drawn, in mm, with a margin.

    observed: (T, J, 3) in mm, the observed poses that are drawn.
    frames: the predicted frames that are drawn.
    """
    drawn = [observed, scene.predicted[frames]] + ([] if scene.truth is None else [scene.truth[frames]])
    flat = project(np.concatenate(drawn), scene.axes)[..., :2].reshape(-1, 2)
    return flat.min(0) - 60, flat.max(0) + 60


def pose_axes(figure: Figure, place: tuple[float, float, float, float],
              corners: tuple[np.ndarray, np.ndarray]) -> Axes:
    """Adds axes for poses, without a frame around them; the scale is the same in every panel.

    place: left, bottom, width and height as shares of the figure.
    corners: lower left and upper right corner of what is drawn, in mm.
    """
    axes = figure.add_axes(place)
    axes.set(xlim=(corners[0][0], corners[1][0]), ylim=(corners[0][1], corners[1][1]), aspect='equal')
    axes.set_axis_off()
    return axes


def legend_of(scene: Scene) -> list[Line2D]:
    """Makes the entries of the legend: what the colours and widths mean."""
    entries = [Line2D([], [], color=DARK[LEFT], linewidth=3, label='left'),
               Line2D([], [], color=DARK[RIGHT], linewidth=3, label='right'),
               Line2D([], [], color=DARK[CENTRE], linewidth=PREDICTION, label='thin, dark: prediction')]
    if scene.truth is not None:
        entries.append(Line2D([], [], color=PALE[CENTRE], linewidth=TRUTH, label='wide, pale: truth'))
    return entries


def labels_are_true(scene: Scene) -> bool:
    """Says whether the field's labels are the times at which the frames were recorded."""
    return scene.label_ms == [round(time) for time in scene.true_ms]


def title_size(title: str, longest: int) -> float:
    """Returns the font size of a title in points: a smaller one where it has too many letters.

    longest: number of letters that fit at full size.
    """
    return min(11.0, 11.0 * longest / max(len(title), 1))


def keep_apart(groups: list[list[Text]], gap: float = 4.0) -> list[bool]:
    """Hides each group of texts that is too near to an earlier one in the list; returns which groups stay.

    groups: texts whose places are final.
    gap: the least distance, in points.
    """
    boxes: list[Bbox] = []  # of the groups that stay
    stay = []
    for group in groups:
        figures = [figure for text in group if (figure := text.get_figure(root=True)) is not None]
        own = [text.get_window_extent().padded(gap * figure.dpi / 72 / 2)
               for text, figure in zip(group, figures, strict=True)]
        stay.append(not any(box.overlaps(other) for box in own for other in boxes))
        for text in group:
            text.set_visible(stay[-1])
        boxes += own * stay[-1]
    return stay


@plain_drawing()
def strip(scene: Scene, path: Path) -> int:
    """Draws a film strip and returns its number of panels.

    The first panel shows the last observed pose.
    The others show truth and prediction over each other at the tables' labels.
    Below each stand its label, its true time and the MPJPE over all joints.
    """
    frames = scene.table_frames
    corners = frame_of(scene, scene.observed[-1:], frames)
    panels = 1 + len(frames)
    wide, high = corners[1] - corners[0]
    above, below = 0.62, 0.09 + 0.19 * len(panel_text(scene, frames[0]))  # inches of text
    # Inches of a panel. It is as high as its poses, so that no empty space opens around them.
    across = 0.98 * WIDTH / panels
    tall = min(4.2, across * high / wide)
    height = above + tall + below
    figure = Figure(figsize=(WIDTH, height))
    for column, frame in enumerate([None, *frames]):
        left = 0.01 + column * across / WIDTH
        axes = pose_axes(figure, (left, below / height, across / WIDTH, tall / height), corners)
        if frame is None:
            draw_pose(axes, scene.observed[-1], scene, DARK, PREDICTION)
            lines = ['observed', '0 ms']
        else:
            if scene.truth is not None:
                draw_pose(axes, scene.truth[frame], scene, PALE, TRUTH)
            draw_pose(axes, scene.predicted[frame], scene, DARK, PREDICTION)
            lines = panel_text(scene, frame)
        for row, line in enumerate(lines):
            figure.text(left + across / WIDTH / 2, (below - 0.16 - 0.19 * row) / height, line, fontsize=10,
                        ha='center', va='center', fontweight='bold' if line.endswith(' mm') else 'normal')
    figure.text(0.012, 1 - 0.16 / height, scene.title, fontsize=title_size(scene.title, 105), va='center')
    figure.legend(handles=legend_of(scene), loc='center left', ncols=4, frameon=False, fontsize=10,
                  borderpad=0, bbox_to_anchor=(0.006, 1 - 0.43 / height))
    save(figure, path)
    return panels


def panel_text(scene: Scene, frame: int) -> list[str]:
    """Returns the lines below a panel: the field's label, the true time if it differs, and the error."""
    label, true = f'{scene.label_ms[frame]} ms', f'true {scene.true_ms[frame]:.0f} ms'
    error = [] if scene.mpjpe is None else [f'{scene.mpjpe[frame]:.1f} mm']
    return [label, *error] if labels_are_true(scene) else [f'label {label}', true, *error]


@plain_drawing()
def error_over_time(scene: Scene, path: Path) -> None:
    """Draws the MPJPE at each predicted frame, beside that of zero velocity.

    The values at the tables' labels stand above the plot, where no line can cross them.

    Raises ValueError if the truth is unknown.
    """
    own, still = scene.mpjpe, scene.mpjpe_zero_velocity
    if own is None or still is None:
        raise ValueError('no truth to compare with')
    times = np.array([0, *scene.true_ms])
    rows = [('label, ms', 'black', [f'{label}' for label in scene.label_ms]),
            ('prediction', DARK[LEFT], [f'{error:.1f}' for error in own]),
            ('zero velocity', GREY, [f'{error:.1f}' for error in still])]
    # Inches: of the picture, of the text above the plot, and of the text beside it.
    height, above, left = 4.3, 0.5 + 0.2 * len(rows), 1.05
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((left / WIDTH, 0.55 / height, 0.98 - left / WIDTH, 1 - (0.55 + above) / height))
    axes.plot(times, [0, *still], color=GREY, linestyle='--', linewidth=1.6, zorder=3, label='zero velocity')
    axes.plot(times, [0, *own], color=DARK[LEFT], linewidth=2.4, label='prediction')
    axes.set(xlabel='true time after the last observed frame, ms', ylabel='MPJPE, mm',
             xlim=(0, times[-1] * 1.06))
    axes.set_ylim(0, 1.05 * max(own.max(), still.max()) or 1)
    axes.grid(alpha=0.25, axis='y')
    axes.spines[['right', 'top']].set_visible(False)
    figure.text(0.012, 1 - 0.18 / height, scene.title, fontsize=title_size(scene.title, 105), va='center')

    line_y = [1 - (0.46 + 0.2 * row) / height for row in range(len(rows))]
    for y, (name, colour, _) in zip(line_y, rows, strict=True):
        figure.text(0.012, y, name, color=colour, fontsize=10, va='center')
    frames = scene.table_frames[::-1]  # the last one is the most important
    # Texts stand at a time of the plot (x, in ms) and at a height in the figure (y, as a share).
    place = blended_transform_factory(axes.transData, figure.transFigure)
    columns = [[axes.text(times[frame + 1], y, values[frame], color=colour, fontsize=10, ha='center',
                          va='center', transform=place)
                for y, (_, colour, values) in zip(line_y, rows, strict=True)] for frame in frames]
    for frame, stays in zip(frames, keep_apart(columns), strict=True):
        if stays:
            axes.plot(times[frame + 1], own[frame], 'o', color=DARK[LEFT], markersize=6)
            axes.axvline(times[frame + 1], color=GREY, alpha=0.25, linewidth=0.8, zorder=0)
    save(figure, path)


@plain_drawing()
def joint_errors(scene: Scene, path: Path) -> None:
    """Draws a heat map of each predicted joint's error over time.

    The scale of colours is linear up to the median error and logarithmic beyond it.
    So a limb that is far off leaves the others enough colours.

    Raises ValueError if the truth is unknown.
    """
    if scene.errors is None:
        raise ValueError('no truth to compare with')
    joints = scene.skeleton.predicted
    values = scene.errors[:, list(joints)].T
    figure = Figure(figsize=(WIDTH, 1.3 + 0.21 * len(joints)), layout='constrained')
    axes = figure.add_subplot()
    scale = AsinhNorm(linear_width=max(float(np.median(values)), 1.0), vmin=0,
                      vmax=max(float(values.max()), 1.0))
    image = axes.imshow(values, aspect='auto', cmap='cividis', norm=scale, interpolation='nearest')
    axes.set_title(scene.title, fontsize=title_size(scene.title, 100))
    names = [scene.skeleton.joints[joint] for joint in joints]
    axes.set_yticks(range(len(names)), names, fontsize=9)
    for tick, name in zip(axes.get_yticklabels(), names, strict=True):
        tick.set_color(DARK[side(name)])
    same = labels_are_true(scene)
    axes.set_xticks(scene.table_frames,
                    [f'{scene.true_ms[frame]:.0f}' + ('' if same else f'\n({scene.label_ms[frame]})')
                     for frame in scene.table_frames], fontsize=9)
    axes.set_xlabel('true time after the last observed frame, ms' + ('' if same else ' (the field\'s label)'))
    bar = figure.colorbar(image, ax=axes, pad=0.015, aspect=30)
    ticks = scale_ticks(scale)
    bar.set_ticks(ticks, labels=[f'{tick:g}' for tick in ticks])
    bar.minorticks_off()
    bar.set_label('error of the joint, mm')
    FigureCanvasAgg(figure).draw()  # gives the labels their final places
    keep_apart([[label] for label in reversed(axes.get_xticklabels())])
    save(figure, path)


def scale_ticks(scale: AsinhNorm) -> list[float]:
    """Chooses round numbers that stand apart on the scale, with the largest value as the last."""
    ticks = [0.0]
    for number in (digit * 10.0 ** power for power in range(5) for digit in (1, 2, 5)):
        place = float(scale(number))
        if place - float(scale(ticks[-1])) > 0.07 and place < 0.95:
            ticks.append(number)
    return [*ticks, float(round(scale.vmax or 0))]

"""Pictures of a window: sides of the body, the turn towards the viewer, and what each figure says."""
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scenes import assert_readable, make_scene

pictures = pytest.importorskip('utils.pictures.stills', reason='matplotlib is not installed')
animation = pytest.importorskip('utils.pictures.animation', reason='matplotlib is not installed')

from utils.data.lookup import DATASETS  # noqa: E402
from utils.pictures.scene import CENTRE, LEFT, RIGHT, body_axes, bones, project, side  # noqa: E402
from utils.pictures.show import show  # noqa: E402

LENGTHS = {'cmu': 25, 'h36m': 25, '3dpw': 30}


@pytest.fixture
def figures(monkeypatch):
    """The figures that were written, in order."""
    kept = []
    save = pictures.save
    monkeypatch.setattr(pictures, 'save', lambda figure, path: (kept.append(figure), save(figure, path)))
    return kept


def test_words_over_each_other_and_outside_are_found():
    for places, problem in (((0.4, 0.45), 'lies over'), ((0.1, 0.97), 'leaves the picture'),
                            ((0.1, 0.7), None)):
        figure = pictures.Figure()
        for x in places:
            figure.text(x, 0.5, 'some words')
        if problem is None:
            assert assert_readable(figure) == {'some words'}
        else:
            with pytest.raises(AssertionError, match=problem):
                assert_readable(figure)


@pytest.mark.parametrize('name', DATASETS)
def test_every_joint_has_its_side(name):
    joints = DATASETS[name].skeleton.joints
    mirrored = {'Left': 'Right', 'left_': 'right_', 'LHip': 'RHip', 'LThumb': 'RThumb'}
    pairs = 0
    for joint in joints:
        for left, right in mirrored.items():
            if joint.startswith(left):
                assert side(joint) == LEFT and side(joint.replace(left, right)) == RIGHT
                assert joint.replace(left, right) in joints
                pairs += 1
    assert sum(side(joint) == CENTRE for joint in joints) == len(joints) - 2 * pairs
    assert {'cmu': 15, 'h36m': 13, '3dpw': 9}[name] == pairs
    assert len(bones(DATASETS[name].skeleton)) == len(joints) - 1


def test_words_that_begin_like_a_side_have_none():
    assert [side(joint) for joint in ('LowerBack', 'Root', 'RootSite', 'leftover', 'Lumbar')] == 5 * [CENTRE]


@pytest.mark.parametrize('name', DATASETS)
@pytest.mark.parametrize('up', [(0, 1, 0), (0, -1, 0), (1, 0, 0), (0, 0, -1), (0, 0, 1)])
def test_a_person_faces_the_same_way_however_they_were_recorded(name, up):
    scene = make_scene(name)
    upright, turned_by = np.array(up, dtype=float), 2.1
    one = np.roll(upright, 1)
    frame = np.stack([one, upright, np.cross(one, upright)])  # rows: where x, y and z go
    yaw = np.array([[np.cos(turned_by), 0, -np.sin(turned_by)], [0, 1, 0],
                    [np.sin(turned_by), 0, np.cos(turned_by)]])
    moved = scene.observed @ yaw @ frame
    assert np.linalg.det(body_axes(moved, scene.skeleton)) == pytest.approx(1)
    straight = project(scene.observed, body_axes(scene.observed, scene.skeleton))
    assert project(moved, body_axes(moved, scene.skeleton)) == pytest.approx(straight, abs=1e-2)


@pytest.mark.parametrize('name', DATASETS)
def test_the_viewer_sees_the_front(name):
    scene = make_scene(name)
    joints, last = scene.skeleton.joints, scene.observed[-1]
    left, right = (next(j for j, joint in enumerate(joints) if joint in names)
                   for names in (('LeftUpLeg', 'left_hip'), ('RightUpLeg', 'right_hip')))
    toes = [j for j, joint in enumerate(joints) if joint.endswith(('ToeBase', '_foot'))]
    ankles = [scene.skeleton.parents[j] for j in toes]
    seen = project(last, scene.axes, azimuth=0, elevation=0)
    assert seen[left, 0] > seen[right, 0]  # a face to face person's left is at one's right
    assert seen[[j for j, joint in enumerate(joints) if joint.lower() == 'head'][0], 1] > 300
    assert (seen[toes, 2] - seen[ankles, 2]).mean() > 30  # feet point towards the viewer
    from_above = project(last, scene.axes, azimuth=0, elevation=90)
    assert from_above[:, 1] == pytest.approx(-seen[:, 2], abs=1e-3)
    for azimuth in (0.0, 35.0, 200.0):  # a projection along a line: nothing is stretched
        turned = project(last, scene.axes, azimuth, 20.0)
        assert np.linalg.norm(turned, axis=-1) == pytest.approx(np.linalg.norm(last, axis=-1), rel=1e-4)


def test_colours_tell_left_from_right():
    scene = make_scene()
    figure = pictures.Figure()
    axes = figure.add_subplot()
    pictures.draw_pose(axes, scene.observed[-1], scene, pictures.DARK, 2)
    flat = project(scene.observed[-1], scene.axes)[:, :2]
    drawn = {line.get_color(): line.get_xydata() for line in axes.lines}
    assert len(drawn) == 3 and set(drawn) == set(pictures.DARK.values())
    for name, whose in (('LeftHand', LEFT), ('RightFoot', RIGHT), ('HeadSite', CENTRE)):
        place = flat[scene.skeleton.joints.index(name)]
        has = {its: bool(np.isclose(drawn[colour], place, atol=1e-6).all(1).any())
               for its, colour in pictures.DARK.items()}
        assert has == {its: its == whose for its in has}


@pytest.mark.parametrize('name', DATASETS)
@pytest.mark.parametrize('output_n', [3, 10, None])
def test_strip_shows_labels_times_and_errors(name, output_n, tmp_path, figures):
    scene = make_scene(name, output_n=output_n or LENGTHS[name],
                       title='CMU mocap: test/basketball_signal/basketball_signal_1.txt, frames 1352 to '
                             '1386, synthetic motion')
    panels = pictures.strip(scene, tmp_path / 'strip.png')
    shown = scene.table_frames
    assert panels == 1 + len(shown) == len(figures[0].axes)
    words = assert_readable(figures[0])
    distances = np.sqrt(((scene.predicted - scene.truth) ** 2).sum(-1)).mean(-1)
    expected = {f'{distances[f]:.1f} mm' for f in shown}
    assert expected <= words and scene.title in words
    prefix = 'label ' if name == 'cmu' else ''
    assert {f'{prefix}{scene.label_ms[f]} ms' for f in shown} <= words
    assert ({f'true {scene.true_ms[f]:.0f} ms' for f in shown} <= words) == (name == 'cmu')
    assert all(axes.get_aspect() == 1 for axes in figures[0].axes)
    assert len({(*axes.get_xlim(), *axes.get_ylim()) for axes in figures[0].axes}) == 1
    with Image.open(tmp_path / 'strip.png') as picture:
        assert picture.width == 1350 and 300 < picture.height < 900


def test_every_pose_lies_inside_its_panel(tmp_path, figures):
    scene = make_scene()
    pictures.strip(scene, tmp_path / 'strip.png')
    (left, right), (low, high) = figures[0].axes[0].get_xlim(), figures[0].axes[0].get_ylim()
    for axes in figures[0].axes:
        for line in axes.lines:
            x, y = line.get_xydata()[~np.isnan(line.get_xydata()).any(1)].T
            assert left < x.min() and x.max() < right and low < y.min() and y.max() < high


@pytest.mark.parametrize('name', DATASETS)
def test_error_over_time_has_the_errors(name, tmp_path, figures):
    scene = make_scene(name, output_n=LENGTHS[name])
    pictures.error_over_time(scene, tmp_path / 'error.png')
    assert_readable(figures[0])
    lines = {line.get_label(): line.get_xydata() for line in figures[0].axes[0].lines}
    own, still = lines['prediction'], lines['zero velocity']
    assert own[1:, 0] == pytest.approx(scene.true_ms)
    assert own[1:, 1] == pytest.approx(np.sqrt(((scene.predicted - scene.truth) ** 2).sum(-1)).mean(-1))
    assert still[1:, 1] == pytest.approx(np.sqrt(((scene.observed[-1:] - scene.truth) ** 2).sum(-1)).mean(-1))


@pytest.mark.parametrize('name', DATASETS)
def test_heat_map_has_the_predicted_joints(name, tmp_path, figures):
    scene = make_scene(name, output_n=LENGTHS[name])
    pictures.joint_errors(scene, tmp_path / 'joints.png')
    assert_readable(figures[0])
    axes, skeleton = figures[0].axes[0], scene.skeleton
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [skeleton.joints[j] for j in skeleton.predicted]
    values = np.asarray(axes.images[0].get_array())
    for row, joint in enumerate(skeleton.predicted):
        assert values[row] == pytest.approx(np.sqrt(((scene.predicted - scene.truth)[:, joint] ** 2).sum(-1)))


@pytest.mark.parametrize('name', ['cmu', '3dpw'])
def test_gif_has_every_frame_at_its_speed(name, tmp_path):
    scene = make_scene(name, 2, 4)
    frames = list(animation.draw_frames(scene, fps=8))
    assert len(frames) == 6 and {frame.shape for frame in frames} == {frames[0].shape}
    assert frames[0].shape[1] == 900 and frames[0].shape[0] % 2 == 0
    animation.write_gif(frames, tmp_path / 'motion.gif', fps=8)
    with Image.open(tmp_path / 'motion.gif') as gif:
        assert gif.n_frames == 6 and gif.size == frames[0].shape[1::-1] and gif.info['loop'] == 0
        durations = []
        for k, frame in enumerate(frames):
            gif.seek(k)
            durations.append(gif.info['duration'])
            difference = np.abs(np.asarray(gif.convert('RGB')).astype(int) - frame)
            # 64 colours stand in for all.
            assert difference.mean() < 1 and (difference.max(-1) > 60).mean() < 1e-3
        assert np.array(durations[:-1]) == pytest.approx(125, abs=10) and durations[-1] == 1200


def test_panels_change_over_at_the_last_observed_frame():
    scene = make_scene('cmu', 4, 6)
    for k in range(10):
        observed, dark = animation.panel_pose(scene, 'observed', k)
        assert (observed == scene.observed[min(k, 3)]).all() and dark == (k < 4)
        for panel, future in (('predicted', scene.predicted), ('truth', scene.truth)):
            shown, dark = animation.panel_pose(scene, panel, k)
            assert (shown == (scene.observed[k] if k < 4 else future[k - 4])).all() and dark == (k >= 4)


def test_animation_says_when_and_how_far_off(monkeypatch):
    scene, seen = make_scene('cmu', 4, 6), []
    timeline = animation.timeline
    monkeypatch.setattr(animation, 'timeline', lambda figure, *rest: (timeline(figure, *rest),
                                                                      seen.append(assert_readable(figure))))
    list(animation.draw_frames(scene, fps=10))
    assert [next(w for w in words if w.startswith(('-', '+', '0')) and w in whens) for words, whens in
            zip(seen, [{'-50 ms'}, {'-33 ms'}, {'-17 ms'}, {'0 ms'}, {'+17 ms'}, {'+33 ms'}, {'+50 ms'},
                       {'+67 ms'}, {'+83 ms'},
                 {'+100 ms'}],
                strict=True)]
    assert all('6 times slower' in words for words in seen)
    assert f'predicted, off by {scene.mpjpe[2]:.1f} mm' in seen[6] and 'predicted' in seen[2]


@pytest.mark.skipif(not shutil.which('ffprobe'), reason='ffmpeg is not installed')
def test_mp4_has_every_frame(tmp_path):
    scene = make_scene('cmu', 4, 6)
    frames = list(animation.draw_frames(scene, fps=10))
    animation.write_mp4(frames, tmp_path / 'motion.mp4', fps=10)
    said = subprocess.run(['ffprobe', '-v', 'error', '-count_frames', '-show_streams', '-of', 'json',
                           tmp_path / 'motion.mp4'],
                          capture_output=True, check=True)
    stream, = json.loads(said.stdout)['streams']
    assert (int(stream['nb_read_frames']), stream['codec_name'], stream['pix_fmt']) == (10, 'h264', 'yuv420p')
    assert (stream['height'], stream['width']) == frames[0].shape[:2] and stream['r_frame_rate'] == '10/1'


def test_without_ffmpeg_there_is_a_gif_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, 'which', lambda name: None)
    monkeypatch.setitem(sys.modules, 'imageio_ffmpeg', None)
    written = show([make_scene('cmu', 2, 3)], tmp_path / 'made', ['motion'], fps=10)
    assert [path.name for path in written] == ['walking_000007_motion.gif']
    assert sorted(path.name for path in (tmp_path / 'made').iterdir()) == ['walking_000007_motion.gif']


def test_a_future_nobody_knows_is_drawn_without_errors(tmp_path, figures):
    scene = make_scene(known=False)
    written = show([scene], tmp_path, ['strip', 'error', 'joints', 'viewer'], fps=10)
    assert [path.name for path in written] == ['walking_000007_strip.png', 'viewer.html']
    words = assert_readable(figures[0])
    assert not any(word.endswith(' mm') for word in words) and not any('truth' in word for word in words)
    assert next(animation.draw_frames(scene, fps=10)).shape[1] == 900


def test_mp4_needs_no_ffmpeg_of_the_system(tmp_path, monkeypatch):
    bundled = pytest.importorskip('imageio_ffmpeg', reason='imageio-ffmpeg is not installed')
    monkeypatch.setattr(shutil, 'which', lambda name: None)
    frames = [np.full((64, 96, 3), shade, np.uint8) for shade in range(0, 200, 20)]
    animation.write_mp4(frames, tmp_path / 'motion.mp4', fps=5)
    assert bundled.count_frames_and_secs(str(tmp_path / 'motion.mp4')) == (10, pytest.approx(2, abs=0.2))


def pixels_of_lines(figure):
    """Places, a pixel or less apart, of every line and spine that is drawn."""
    places = []
    for axes in figure.axes:
        spines = [spine.get_transform().transform_path(spine.get_path()).vertices
                  for spine in axes.spines.values()
                  if spine.get_visible()]
        for ends in [line.get_transform().transform(line.get_xydata()) for line in axes.lines] + spines:
            for a, b in zip(ends[:-1], ends[1:], strict=True):
                places.append(a + np.linspace(0, 1, 2 + int(np.hypot(*(b - a))))[:, None] * (b - a))
    return np.concatenate(places)


@pytest.mark.parametrize(('name', 'output_n', 'share'),
                         [('cmu', 25, 0.03), ('cmu', 10, 1), ('3dpw', 30, 1), ('h36m', 50, 0.3)])
def test_values_of_the_error_lie_on_no_line(name, output_n, share, tmp_path, figures):
    scene = make_scene(name, output_n=output_n)
    scene = replace(scene, predicted=scene.truth + np.float32(share) * (scene.predicted - scene.truth))
    pictures.error_over_time(scene, tmp_path / 'error.png')
    words = assert_readable(figures[0])
    values = [word for word in figures[0].axes[0].texts if word.get_visible()]
    assert len(values) >= 3 * 4 and f'{scene.mpjpe[scene.table_frames[-1]]:.1f}' in words
    lines = pixels_of_lines(figures[0])
    for word in values:
        box = word.get_window_extent()
        inside = (lines > [box.x0, box.y0]).all(1) & (lines < [box.x1, box.y1]).all(1)
        assert not inside.any(), word.get_text()


@pytest.mark.parametrize('name', DATASETS)
def test_time_ticks_never_touch(name, monkeypatch):
    scene, seen = make_scene(name, output_n=30), []
    timeline = animation.timeline
    monkeypatch.setattr(animation, 'timeline',
                        lambda figure, *rest: (timeline(figure, *rest), seen.append(figure)))
    animation.draw_frame(scene, 12, fps=10)
    ticks = [text for text in seen[0].axes[-1].texts if text.get_visible()]
    assert f'{scene.true_ms[-1]:.0f} ms' in {tick.get_text() for tick in ticks} and len(ticks) >= 5
    boxes = sorted((tick.get_window_extent() for tick in ticks), key=lambda box: box.x0)
    assert all(right.x0 - left.x1 > 4 for left, right in zip(boxes[:-1], boxes[1:], strict=True))  # pixels


def test_one_failing_limb_leaves_the_other_joints_readable(tmp_path, figures):
    scene = make_scene(output_n=25)
    joints, error = scene.skeleton.joints, np.zeros_like(scene.predicted)
    error[..., 0] = 20 + 40 * (np.arange(len(joints)) % 2)  # 20 mm and 60 mm
    error[:, [j for j, joint in enumerate(joints) if joint.startswith('RightHand')], 0] = 900
    pictures.joint_errors(replace(scene, predicted=scene.truth + error), tmp_path / 'joints.png')
    assert_readable(figures[0])
    image = figures[0].axes[0].images[0]
    near, far, failing = (np.array(image.cmap(image.norm(value)))[:3] for value in (20, 60, 900))
    grey = [0.2126, 0.7152, 0.0722]
    assert abs(far @ grey - near @ grey) > 0.1 and abs(failing @ grey - far @ grey) > 0.3
    ticks = [float(label.get_text()) for label in figures[0].axes[1].get_yticklabels()]
    assert {0, 20, 900} <= set(ticks) and ticks == sorted(ticks)


def test_a_strip_has_one_gap_around_crouching_figures(tmp_path, figures):
    scene = make_scene(output_n=10)
    crouching = {part: getattr(scene, part) * np.float32([1.3, 0.4, 1])
                 for part in ('observed', 'predicted', 'truth')}
    crouching['observed'][:5] = scene.observed[:5]  # who stood before
    scene = replace(scene, **crouching)
    pictures.strip(scene, tmp_path / 'strip.png')
    shown = np.concatenate([scene.observed[-1:], scene.predicted[scene.table_frames],
                            scene.truth[scene.table_frames]])
    heights = project(shown, scene.axes)[..., 1]
    for axes in figures[0].axes:
        assert axes.get_ylim() == pytest.approx((heights.min() - 60, heights.max() + 60), abs=1e-2)
        box, (left, right), (low, high) = axes.get_position(original=True), axes.get_xlim(), axes.get_ylim()
        width, height = figures[0].get_size_inches()
        shape = (high - low) / (right - left)
        assert box.height * height / (box.width * width) == pytest.approx(shape, rel=1e-3)


def test_names_and_settings_of_a_user_do_not_end_drawing(tmp_path, figures):
    from matplotlib import rc_context

    title = 'CMU mocap: cost$ of \\frac{1 $100, a_b^c'
    scene = make_scene(output_n=3, title=title)
    with rc_context({'text.usetex': True, 'figure.facecolor': 'red',
                     'axes.prop_cycle': "cycler('color', ['red'])"}):
        for draw in (pictures.strip, pictures.error_over_time, pictures.joint_errors):
            draw(scene, tmp_path / 'picture.png')
            with Image.open(tmp_path / 'picture.png') as picture:
                assert picture.convert('RGB').getpixel((2, 2)) == (255, 255, 255)
        assert animation.draw_frame(scene, 11, fps=10)[2, 2].tolist() == [255, 255, 255]
    for figure in figures:
        assert title in [text.get_text() for text in figure.findobj(pictures.Text)]


def test_a_backend_that_does_not_exist_does_not_end_drawing():
    """In a process of its own: a backend is chosen at import."""
    done = subprocess.run([sys.executable, '-c', 'from utils.common.figures import import_matplotlib; '
                                                 'import_matplotlib()'],
                          env=os.environ | {'MPLBACKEND': 'garbage'}, cwd=Path(__file__).parents[2],
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, '')

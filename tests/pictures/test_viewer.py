"""The page that turns and scrubs skeletons: what it holds, and that it works in a browser."""
import json
import re
from dataclasses import replace

import browser
import numpy as np
import pytest
from scenes import make_scene

from utils.data.lookup import DATASETS
from utils.pictures.scene import bones, project
from utils.pictures.viewer import page


def content_of(text):
    """The JSON that a page holds."""
    return json.loads(re.search(r'<script type="application/json" id="content">(.*?)</script>', text,
                                re.DOTALL)[1])


@pytest.mark.parametrize('name', DATASETS)
def test_page_holds_the_poses_exactly(name):
    scene = make_scene(name, 5, 7)
    held, = content_of(page([scene]))['scenes']
    for part in ('observed', 'predicted', 'truth'):
        poses = np.array(held[part])
        drawn = getattr(scene, part)
        assert poses.shape == drawn.shape and (poses.astype(np.float32) == drawn).all()
    step = scene.skeleton.true_ms_per_frame
    assert held['times'] == pytest.approx([k * step for k in range(-4, 8)], abs=0.01)
    assert held['labels'] == scene.skeleton.label_ms(7)
    distances = np.sqrt(((scene.predicted - scene.truth) ** 2).sum(-1)).mean(-1)
    assert held['errors'] == pytest.approx(distances, abs=1e-3)
    still = np.sqrt(((scene.observed[-1:] - scene.truth) ** 2).sum(-1)).mean(-1)
    assert held['still'] == pytest.approx(still, abs=1e-3)
    assert [(joint, parent)
            for joint, parent, _ in held['bones']] == list(enumerate(scene.skeleton.parents))[1:]


def test_page_needs_no_network():
    text = page([make_scene()])
    assert 'http' not in text and '//' not in re.sub(r'// .*', '', text)
    assert not re.search(r'\b(src|import|fetch|XMLHttpRequest|WebSocket|url)\b', text)
    assert re.findall(r'href="([^"]*)"', text) == ['data:,']


def test_a_title_cannot_break_out():
    title = '</script><script>alert(1)</script> & "more"'
    text = page([make_scene(title=title)])
    assert '<script>alert' not in text and content_of(text)['scenes'][0]['title'] == title


def test_an_unknown_future_has_no_errors():
    held, = content_of(page([make_scene(known=False)]))['scenes']
    assert held['truth'] is None and held['errors'] is None


@pytest.fixture(scope='module')
def opened(tmp_path_factory):
    """A browser that shows three scenes: one of CMU, one of 3DPW, one without a truth."""
    if not browser.CHROMIUM or not browser.DRIVER:
        pytest.skip('chromium and chromedriver are not installed')
    named = {'run': 'cmu_short', 'model': 'KSOF, epoch 23'}
    scenes = [replace(make_scene(), **named, window=604),
              replace(make_scene('3dpw', title='3DPW: someone'), **named, window=7),
              replace(make_scene(), truth=None, title='CMU mocap: own')]
    path = tmp_path_factory.mktemp('page') / 'viewer.html'
    path.write_text(page(scenes))
    with browser.open_browser() as page_in:
        page_in.call('/url', {'url': path.as_uri()})
        page_in.settle()
        yield page_in, scenes


@pytest.fixture
def view(opened):
    """The browser and its scenes, the page as it is when opened.

    No test may leave a message in the console.
    """
    page_in, scenes = opened
    page_in.screen(1000, 850)
    yield page_in, scenes
    assert page_in.messages() == []


def time_shown(page_in):
    return page_in.run('return document.getElementById("time").textContent')


def to_the_end(page_in):
    page_in.keys('#frame', browser.END)


def test_browser_reports_what_is_wrong(opened):
    page_in, _ = opened
    page_in.run('console.error("wrong")')
    assert ['wrong' in message['message'] for message in page_in.messages()] == [True]


def test_slider_moves_the_pose(view):
    page_in, scenes = view
    pictures = {page_in.picture('#body')}
    assert time_shown(page_in) == '0 ms, observed'
    for k, label in enumerate(scenes[0].label_ms):
        page_in.keys('#frame', browser.RIGHT)
        true, error = scenes[0].true_ms[k], scenes[0].mpjpe[k]
        assert time_shown(page_in) == f'+{true:.0f} ms (label {label}), error {error:.1f} mm'
        pictures.add(page_in.picture('#body'))
    assert len(pictures) == 11
    page_in.keys('#frame', browser.RIGHT)  # there is no more
    assert time_shown(page_in).startswith('+167 ms') and page_in.picture('#body') in pictures
    page_in.keys('#frame', browser.HOME)
    assert time_shown(page_in) == '-150 ms, observed'


def test_dragging_turns_and_the_button_turns_back(view):
    page_in, _ = view
    before = page_in.picture('#body')
    page_in.drag('#body', 120, 30)
    turned = page_in.picture('#body')
    assert turned != before and time_shown(page_in) == '0 ms, observed'
    page_in.click('#reset')
    assert page_in.picture('#body') == before
    seen = {before}
    for angle in (0, 90, -90, 180):
        page_in.click(f'[data-view="{angle}"]')
        seen.add(page_in.picture('#body'))
    assert len(seen) == 5


RECORD_BONES = '''
    const canvas = CanvasRenderingContext2D.prototype, {moveTo, lineTo} = canvas, drawn = [];
    let from;
    canvas.moveTo = function (x, y) { from = [x, y]; moveTo.call(this, x, y); };
    canvas.lineTo = function (x, y) {
      if (this.canvas.id === 'body' && this.lineWidth > 3)
        drawn.push([this.strokeStyle, this.lineWidth, ...from, x, y]);
      lineTo.call(this, x, y);
    };
    [view.azimuth, view.elevation] = arguments;
    draw();
    Object.assign(canvas, {moveTo, lineTo});
    return drawn;'''


@pytest.mark.parametrize(('azimuth', 'elevation'), [(35, 8), (0, 0), (-110, 60)])
def test_bones_are_drawn_where_they_are_in_their_colour(view, azimuth, elevation):
    page_in, scenes = view
    to_the_end(page_in)
    drawn = page_in.run(RECORD_BONES, azimuth, elevation)
    scene, inks = scenes[0], page_in.run('return [ink.thin, ink.wide]')
    expected = []
    for pose, colours in ((scene.truth[-1], inks[1]), (scene.predicted[-1], inks[0])):
        flat = project(pose, scene.axes, azimuth, elevation)[:, :2] * [1, -1]
        expected += [(colours[side].lower(), *flat[joint], *flat[parent])
                     for joint, parent, side in bones(scene.skeleton)]
    assert len(drawn) == len(expected) == 74
    ends, wanted = (np.array([row[-4:] for row in rows]).reshape(-1, 2, 2) for rows in (drawn, expected))
    scale = np.linalg.norm(np.ptp(ends, axis=(0, 1))) / np.linalg.norm(np.ptp(wanted, axis=(0, 1)))
    moved = wanted * scale + (ends.min((0, 1)) - wanted.min((0, 1)) * scale)
    for (colour, *_), place in zip(expected, moved, strict=True):
        near = np.abs(ends - place).max((1, 2)) < 0.2  # pixels
        assert colour in {row[0] for row, is_near in zip(drawn, near, strict=True) if is_near}
    assert {row[0]: row[1] for row in drawn} == {colour.lower(): width
                                                 for colours, width in zip(inks, (3.5, 12), strict=True)
                                                 for colour in colours.values()}


def test_play_goes_through_the_frames_and_stops(view):
    page_in, _ = view
    page_in.click('#play')
    page_in.call('/execute/async', {'script': '''
        const done = arguments[0], seen = new Set(), clock = setInterval(() => {
          seen.add(document.getElementById('frame').value);
          if (seen.size >= 3) { clearInterval(clock); done(); }
        }, 20);''', 'args': []})
    assert page_in.run('return document.getElementById("play").textContent') == 'Pause'
    page_in.click('#play')
    stopped = time_shown(page_in)
    page_in.settle()
    assert page_in.run('return document.getElementById("play").textContent') == 'Play'
    assert time_shown(page_in) == stopped


def test_truth_beside_the_prediction_and_other_windows(view):
    page_in, scenes = view
    to_the_end(page_in)
    over = page_in.picture('#body')
    page_in.click('#beside')
    assert page_in.picture('#body') != over
    titles = page_in.run('return [...document.getElementById("scene").options].map(o => o.text)')
    assert titles == [f'window {scene.window}: {scene.title}' for scene in scenes[:2]] + [scenes[2].title]
    for k, known in ((1, True), (2, False)):
        page_in.run(f'const s = document.getElementById("scene"); s.value = {k}; s.dispatchEvent(new '
                    'Event("change"));')
        page_in.settle()
        to_the_end(page_in)
        end = f'error {scenes[k].mpjpe[-1]:.1f} mm' if known else 'predicted'
        assert time_shown(page_in).endswith(end)
        shown = page_in.run('return [...document.querySelectorAll(".truth")].'
                            'map(e => e.offsetParent !== null)')
        assert shown == [known] * len(shown)


PLACE = """const e = document.querySelector(arguments[0]).getBoundingClientRect();
           return {left: e.left, top: e.top, right: e.right, bottom: e.bottom}"""
JOINT = """const r = document.getElementById('body').getBoundingClientRect();
           const [x, y] = shown.find(s => s[2] === arguments[0]); return [r.left + 1 + x, r.top + 1 + y]"""


def test_run_window_and_model_are_named(view):
    page_in, scenes = view
    said = page_in.run('return document.querySelector("main").innerText')
    assert 'run cmu_short: KSOF, epoch 23' in said and f'window 604: {scenes[0].title}' in said


def test_a_view_from_the_right_is_the_left_one_mirrored(view):
    page_in, _ = view
    joints = []
    for side in (90, -90):
        page_in.click(f'[data-view="{side}"]')
        joints.append(np.array(page_in.run('return shown.map(s => [s[0] - body.clientWidth / 2, '
                                           's[1], s[2]])')))
    assert joints[0] * [-1, 1, 1] == pytest.approx(joints[1], abs=1e-6) and np.ptp(joints[0][:, 0]) > 50


@pytest.mark.parametrize('clicked', ['#reset', '[data-view="0"]', '#beside', '#frame', '#play'])
def test_keys_work_after_a_click(view, clicked):
    page_in, _ = view
    page_in.click(clicked)
    if clicked == '#play':
        page_in.click(clicked)
    page_in.run('show(3)')
    checked = page_in.run('return document.getElementById("beside").checked')
    for key, frame in ((browser.RIGHT, 4), (browser.LEFT, 3), (browser.END, 19), (browser.HOME, 0)):
        page_in.press(key)
        assert page_in.run('return frame') == frame
    page_in.press(' ')
    assert page_in.run('return [playing, document.getElementById("beside").checked]') == [True, checked]
    page_in.press(' ')
    assert page_in.run('return playing') is False


@pytest.mark.parametrize('colours', ['light', 'dark'])
def test_swatches_are_the_drawn_colours_on_light_and_dark(view, colours):
    page_in, _ = view
    page_in.screen(1000, 850, colours=colours)
    to_the_end(page_in)
    drawn = {(stroke, width) for stroke, width, *_ in page_in.run(RECORD_BONES, 35, 8)}
    swatches = page_in.run("""return [...document.querySelectorAll('.key')].map(e => {
        const s = getComputedStyle(e, '::before'); return [s.backgroundColor, parseFloat(s.height)]; })""")
    of = {f'rgb({int(c[1:3], 16)}, {int(c[3:5], 16)}, {int(c[5:], 16)})': (c, width) for c, width in drawn}
    assert len(swatches) == 4 and all(of[colour][1] == width for colour, width in swatches)
    paper = page_in.run('return getComputedStyle(document.body).backgroundColor')
    background = np.array([int(number) for number in re.findall(r'\d+', paper)])
    assert (background.max() < 60) == (colours == 'dark')
    inks = page_in.run('return ink')
    # What is to be seen stands out from the paper.
    for colour in (*inks['thin'].values(), inks['text'], inks['quiet']):
        assert np.abs(np.array([int(colour[k: k + 2], 16) for k in (1, 3, 5)]) - background).mean() > 60


def test_pointing_at_a_joint_tells_its_name_and_error(view):
    page_in, scenes = view
    scene, joints = scenes[0], scenes[0].skeleton.joints
    to_the_end(page_in)
    for name in ('LeftHand', 'RightLeg'):
        joint = joints.index(name)
        page_in.point(*page_in.run(JOINT, joint))
        expected = np.linalg.norm(scene.predicted[-1, joint] - scene.truth[-1, joint])
        shown = page_in.run('return document.getElementById("tip").textContent')
        assert shown == f'{name}: error {expected:.1f} mm'
    page_in.point(5, 5)
    assert page_in.run('return document.getElementById("tip").hidden')


def test_chart_has_the_curves_of_prediction_and_zero_velocity(view):
    page_in, scenes = view
    drawn = page_in.run("""
        const canvas = CanvasRenderingContext2D.prototype, {lineTo, fillText} = canvas;
        const lines = [], words = [];
        canvas.lineTo = function (x, y) {
          if (this.canvas.id === 'chart') lines.push([this.getLineDash().length > 0, this.lineWidth, x, y]);
          lineTo.call(this, x, y);
        };
        canvas.fillText = function (text, x, y) {
          if (this.canvas.id === 'chart') words.push(text);
          fillText.call(this, text, x, y);
        };
        draw(); Object.assign(canvas, {lineTo, fillText}); return [lines, words];""")
    lines, words = drawn
    assert {'prediction', 'zero velocity'} <= set(words)
    floor = max(y for *_, y in lines)
    for dashed, errors in ((True, scenes[0].mpjpe_zero_velocity), (False, scenes[0].mpjpe)):
        heights = np.array([floor - y for dashes, width, _, y in lines
                            if dashes == dashed and width > 1.5])[:-1]
        assert heights / heights[-1] == pytest.approx(errors / errors[-1], abs=0.01)
    assert max(scenes[0].mpjpe_zero_velocity) > max(scenes[0].mpjpe)


@pytest.mark.parametrize(('width', 'height'), [(390, 664), (844, 390), (1280, 800)])
def test_play_is_above_the_fold_and_everything_in_reach(view, width, height):
    page_in, _ = view
    page_in.screen(width, height, phone=width < 1000)
    assert page_in.run('return document.documentElement.scrollWidth <= innerWidth && innerWidth') == width
    for selector in ('#play', '#frame'):
        place = page_in.run(PLACE, selector)
        assert place['top'] >= 0 and place['bottom'] <= height
    page_in.run('document.getElementById("chart").scrollIntoView({block: "end"})')
    assert page_in.run(PLACE, '#chart')['bottom'] <= height + 1


@pytest.mark.parametrize(('width', 'height'), [(390, 664), (844, 390)])
def test_fingers_turn_pinch_move_and_scroll(view, width, height):
    page_in, _ = view
    page_in.screen(width, height, phone=True)
    seen = 'return [view.azimuth, view.elevation, view.zoom, view.x, view.y, scrollY, visualViewport.scale]'
    at = page_in.run(PLACE, '#body')
    x, y = (at['left'] + at['right']) / 2, (at['top'] + at['bottom']) / 2
    steps = range(0, 61, 10)
    page_in.touch([(x + k, y) for k in steps])
    azimuth, *rest = page_in.run(seen)
    assert azimuth < 34 and rest == [8, 1, 0, 0, 0, 1]  # one finger sideways turns
    page_in.touch([(x - 40 - k / 2, y) for k in steps], [(x + 40 + k / 2, y) for k in steps])
    turned, _, zoom, *rest = page_in.run(seen)
    assert zoom == pytest.approx(140 / 80, rel=0.05) and turned == azimuth
    assert rest == pytest.approx([0, 0, 0, 1], abs=1)
    page_in.touch([(x - 40 + k / 2, y + k) for k in steps], [(x + 40 + k / 2, y + k) for k in steps])
    turned, _, same, *moved = page_in.run(seen)
    assert (turned, same) == pytest.approx((azimuth, zoom), rel=0.05)
    assert moved == pytest.approx([30, 60, 0, 1], abs=3)  # two fingers move the figure, and the page stays
    page_in.touch([(x, y + 60 - 2 * k) for k in steps])
    after = page_in.run(seen)
    # Upwards, the page scrolls.
    assert after[5] > 20 and after[:5] == pytest.approx([turned, 8, same, *moved[:2]], abs=6)

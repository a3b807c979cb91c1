"""A headless Chromium for tests, driven by its own driver over the WebDriver protocol, with Python alone."""
import base64
import json
import shutil
import subprocess
import urllib.request
from contextlib import contextmanager

CHROMIUM, DRIVER = shutil.which('chromium') or shutil.which('google-chrome'), shutil.which('chromedriver')
RIGHT, LEFT, END, HOME = '\ue014', '\ue012', '\ue010', '\ue011'  # keys
ARGUMENTS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
             '--disable-background-networking', '--disable-component-update', '--disable-sync',
             '--window-size=1000,1000']


class Browser:
    """One session; `call` is one command of the protocol."""

    def __init__(self, port):
        self.base = f'http://127.0.0.1:{port}'
        self.path = ''
        options = {'binary': CHROMIUM, 'args': ARGUMENTS}
        wanted = {'goog:chromeOptions': options, 'goog:loggingPrefs': {'browser': 'ALL'}}
        session = self.call('/session', {'capabilities': {'alwaysMatch': wanted}})
        self.path = f'/session/{session["sessionId"]}'

    def call(self, path, content=None, method='POST'):
        data = None if method != 'POST' else json.dumps(content or {}).encode()
        request = urllib.request.Request(self.base + self.path + path, data,
                                         {'Content-Type': 'application/json'}, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return json.load(answer)['value']

    def run(self, script, *arguments):
        return self.call('/execute/sync', {'script': script, 'args': arguments})

    def settle(self):
        """Wait until what was asked for is drawn: two animation frames."""
        self.call('/execute/async', {'script': 'const done = arguments[0]; requestAnimationFrame(() => '
                                               'requestAnimationFrame(() => done()));', 'args': []})

    def find(self, selector):
        return next(iter(self.call('/element', {'using': 'css selector', 'value': selector}).values()))

    def click(self, selector):
        self.call(f'/element/{self.find(selector)}/click')
        self.settle()

    def keys(self, selector, text):
        self.call(f'/element/{self.find(selector)}/value', {'text': text})
        self.settle()

    def drag(self, selector, x, y):
        origin = {'element-6066-11e4-a52e-4f735466cecf': self.find(selector)}
        moves = [{'type': 'pointerMove', 'duration': 0, 'origin': origin, 'x': 0, 'y': 0},
                 {'type': 'pointerDown', 'button': 0},
                 {'type': 'pointerMove', 'duration': 50, 'origin': origin, 'x': x, 'y': y},
                 {'type': 'pointerUp', 'button': 0}]
        self.call('/actions', {'actions': [{'type': 'pointer', 'id': 'mouse', 'actions': moves}]})
        self.settle()

    def picture(self, selector):
        """What a canvas shows, as text that differs where the picture does."""
        return self.run(f'return document.querySelector("{selector}").toDataURL()')

    def cdp(self, command, **parameters):
        """A command of Chromium's own protocol."""
        return self.call('/goog/cdp/execute', {'cmd': command, 'params': parameters})

    def screen(self, width, height, *, phone=False, colours='light'):
        """Show the page on a screen of this size, opened anew; a phone is touched and has no mouse."""
        self.cdp('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1,
                 mobile=phone)
        self.cdp('Emulation.setTouchEmulationEnabled', enabled=phone)
        self.cdp('Emulation.setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': colours}])
        self.call('/refresh')
        self.run('scrollTo(0, 0)')
        self.settle()

    def touch(self, *paths):
        """Move fingers along these paths, [(x, y), ...] of equal length, in the page's pixels."""
        for kind, points in (('touchStart', [path[0] for path in paths]),
                             *(('touchMove', list(step))
                               for step in zip(*(path[1:] for path in paths), strict=True)),
                             ('touchEnd', [])):
            self.cdp('Input.dispatchTouchEvent', type=kind,
                     touchPoints=[{'x': x, 'y': y, 'id': k} for k, (x, y) in enumerate(points)])
            self.settle()

    def press(self, key):
        """Press a key wherever the focus is."""
        self.call('/actions', {'actions': [{'type': 'key', 'id': 'keys', 'actions': [
            {'type': 'keyDown', 'value': key}, {'type': 'keyUp', 'value': key}]}]})
        self.settle()

    def point(self, x, y):
        """Put the mouse at a place of the page."""
        self.call('/actions', {'actions': [{'type': 'pointer', 'id': 'mouse', 'actions': [
            {'type': 'pointerMove', 'duration': 0, 'origin': 'viewport', 'x': round(x), 'y': round(y)}]}]})
        self.settle()

    def messages(self):
        """The console's messages since the last call."""
        return self.call('/se/log', {'type': 'browser'})

    def screenshot(self):
        return base64.b64decode(self.call('/screenshot', method='GET'))


@contextmanager
def open_browser():
    """A browser that is gone when the block ends."""
    driver = subprocess.Popen([DRIVER, '--port=0'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True)
    try:
        line = next(line for line in driver.stdout if 'started successfully on port' in line)
        browser = Browser(int(line.rstrip('.\n').split()[-1]))
        try:
            yield browser
        finally:
            browser.call('', method='DELETE')
    finally:
        driver.terminate()
        driver.wait(timeout=20)

"""Every leaf of a checkpoint, with every wrong value: one line, or the result of the untouched file.

Each try is a process of its own, so that a crash in native code is seen and not suffered.
`pytest -m long -s tests/commands/test_tampering.py` tries 2,000 and prints what became of them.
"""
import copy
import os
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from contextlib import suppress

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from main_cmu_3d import DEFAULTS
from tests.conftest import TINY
from utils.common.checkpoint import BEST, LAST
from utils.data.cmu import DATASET
from utils.run import main

WORDS = [*TINY, '--average', '0.9', '--error_weighting', '1', '--no_test', '--without', 'sgcn',
         '--input_n', '4', '--output_n', '5', '--dct_n', '3']
ACTIONS = {'--is_load': ['--is_load', '--epoch', '3'], '--init': ['--init', LAST, '--epoch', '1']}
MAX_SECONDS, MAX_MEMORY = 10, 2**30  # of the processor, and bytes, for one try


def deep(levels):
    nest = []
    for _ in range(levels):
        nest = [nest]
    return nest


def endless():
    nest = []
    nest.append(nest)
    return nest


def of_tensor(change):
    """A wrong value that is made of the leaf's own tensor; there is none of what is no tensor."""
    return lambda old, _: change(old) if isinstance(old, torch.Tensor) else NotImplemented


def of_floating(change):
    return of_tensor(lambda old: change(old) if old.is_floating_point() else NotImplemented)


def filled(value):
    return of_floating(lambda old: torch.full_like(old, value))


WRONG = {
    **{repr(value)[:12]: lambda old, _, value=value: copy.deepcopy(value) for value in (
        None, True, -1, 1.5, 1000, float('nan'), float('inf'), 1e300, 10**400, 'text',
        '\x1b[2J', [], {}, {'epoch': {}}, {1: None}, (0.5, 'x'))},
    'a number of 5,000 digits': lambda old, _: 10**5000,  # more than Python turns into text
    'a deep list': lambda old, _: deep(500),
    'an endless list': lambda old, _: endless(),
    'in a list': lambda old, _: [old],
    'one number': lambda old, _: torch.zeros(1),
    'no number': lambda old, _: torch.zeros(0),
    'another type': of_tensor(lambda old: old.double() if old.is_floating_point() else old.float()),
    'a complex one': of_tensor(lambda old: old.to(torch.complex64)),
    'another shape': of_tensor(lambda old: old[None]),
    'stride 0': of_tensor(lambda old: old.flatten()[:1].expand(old.numel() or 1).view(old.shape)
                          if old.numel() > 1 else NotImplemented),
    'by columns': of_tensor(lambda old: old.mT.contiguous().mT if old.dim() > 1 and min(old.shape) > 1
                            else NotImplemented),
    'negated in place': of_floating(torch._neg_view), 'a parameter': of_floating(torch.nn.Parameter),
    'all NaN': filled(float('nan')), 'all infinite': filled(float('inf')), 'all 3e38': filled(3e38),
    'another leaf': lambda old, others: next((other for other in others if other is not old and isinstance(
        old, torch.Tensor) and other.shape == old.shape and other.dtype == old.dtype), NotImplemented),
    'missing': None, 'one more': None, 'reversed': None,
}


def leaves(tree, path=()):
    """Paths to everything in a tree of dictionaries and lists, containers included."""
    if not isinstance(tree, dict | list | tuple):
        return
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield (*path, key)
        yield from leaves(value, (*path, key))


def tensors(tree):
    if isinstance(tree, torch.Tensor):
        yield tree
    for value in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ():
        yield from tensors(value)


def tampered(state, path, kind, action):
    """A copy with one leaf changed; None where that kind of change is none to this leaf."""
    state = {name: copy.deepcopy(part) for name, part in state.items()}  # best is a record of its own
    holder = state
    for key in path[:-1]:
        holder = holder[key]
    if isinstance(holder, tuple):
        return None
    old = holder[path[-1]]
    if kind == 'missing':
        del holder[path[-1]]
    elif kind == 'one more':
        if not isinstance(old, dict | list):
            return None
        old.update({'more': torch.zeros(1)}) if isinstance(old, dict) else old.append(0)
    elif kind == 'reversed':
        if not isinstance(old, dict | list):
            return None
        holder[path[-1]] = dict(reversed(old.items())) if isinstance(old, dict) else old[::-1]
    else:
        # --init reads the weights alone: what a moment holds could be one.
        new = WRONG[kind](old, list(tensors(state['model'] if action == '--init' else state)))
        if new is NotImplemented:
            return None
        holder[path[-1]] = new
    return state


class Tries:
    """What became of each try; kept in a folder with a run of two epochs on very little motion."""

    def __init__(self, folder, data):
        self.folder, self.words = folder, ['--data_dir', str(data), *WORDS]
        self.ended, self.memory, self.seconds = Counter(), 0, 0.0
        assert main(DATASET, DEFAULTS, [*self.words, '--epoch', '2', '--exp', str(folder / 'good')]) == 0
        self.state = torch.load(folder / 'good' / LAST, weights_only=True)
        self.parts = {name: [path for path in leaves(self.state) if path[0] == name] for name in self.state}
        self.expected = {action: self.run(self.state, action)[2] for action in ACTIONS}

    def run(self, state, action):
        """Runs a command on a checkpoint: its wait status, what it said, and its last weights."""
        run, said = self.folder / 'run', self.folder / 'said'
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir()
        torch.save(state, run / LAST)
        shutil.copy(self.folder / 'good' / BEST, run / BEST)
        new = self.folder / 'run.new'
        shutil.rmtree(new, ignore_errors=True)
        words = [str(run / word) if word == LAST else word for word in ACTIONS[action]]
        words = [*self.words, *words, '--exp', str(new if action == '--init' else run)]
        if not (child := os.fork()):
            self.child(words, said)
        pid = 0
        deadline = time.monotonic() + 30 * MAX_SECONDS
        while not pid and time.monotonic() < deadline:
            time.sleep(0.005)
            pid, status, used = os.wait4(child, os.WNOHANG)
        if not pid:
            os.kill(child, signal.SIGKILL)
            pid, status, used = os.wait4(child, 0)
        self.memory = max(self.memory, 1024 * used.ru_maxrss)
        self.seconds = max(self.seconds, used.ru_utime + used.ru_stime)
        last = (new if action == '--init' else run) / LAST
        after = torch.load(last, weights_only=True)['model'] if status == 0 else {}
        return status, said.read_text(), after

    @staticmethod
    def child(words, said):
        code = 99
        try:
            with said.open('w') as file:
                sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = file
                os.dup2(file.fileno(), 2)
                with suppress(BaseException):
                    try:
                        code = main(DATASET, DEFAULTS, words)
                    except BaseException:
                        traceback.print_exc()
        finally:
            os._exit(code)

    def judge(self, part, at, kind, action):
        paths = self.parts[part]
        path = paths[at % len(paths)]
        state = tampered(self.state, path, kind, action)
        assume(state is not None)  # a draw that changes nothing does not count
        status, said, after = self.run(state, action)
        what = f'{".".join(map(str, path))}, {kind}, {action}: {said[-2000:]}'
        if os.WIFSIGNALED(status):
            self.ended['signals'] += 1
        elif 'Traceback' in said:
            self.ended['tracebacks'] += 1
        elif os.waitstatus_to_exitcode(status):
            self.ended['refused in one line'] += 1
        else:
            self.ended['same result'] += 1
        assert not os.WIFSIGNALED(status) and 'Traceback' not in said, what
        assert self.memory < MAX_MEMORY and self.seconds < MAX_SECONDS, what
        errors = [line for line in said.split('\n') if line.startswith('error: ')]
        if code := os.waitstatus_to_exitcode(status):
            assert code in (1, 2) and len(errors) == 1 and len(errors[0]) < 1000, what
        else:
            assert not errors and after.keys() == self.expected[action].keys(), what
            assert all(torch.equal(value, after[name]) for name, value in self.expected[action].items()), what


@pytest.fixture(scope='module')
def tries(tmp_path_factory, tiny):
    return Tries(tmp_path_factory.mktemp('tampered'), tiny)


def examples(tries, count, **more):
    parts = [part for part, paths in tries.parts.items() if paths]
    how = settings(max_examples=count, database=None, deadline=None,
                   suppress_health_check=list(HealthCheck), **more)
    return how, given(st.sampled_from(parts), st.integers(0, 10**6), st.sampled_from(list(WRONG)),
                      st.sampled_from(['--is_load', '--is_load', '--init']))


def test_the_run_itself_goes_on(tries):
    assert all(tries.expected.values()) and not tries.ended


def first_moments(state):
    return state['optimizer']['state'][0]


def of_group(name, value):
    return lambda state: state['optimizer']['param_groups'][0].update({name: value})


# What once crashed, hung or went on with wrong numbers, and what the line says of it.
KNOWN = {
    'moments of one number': (lambda state: [moments.update(exp_avg=torch.zeros(1), exp_avg_sq=torch.zeros(1))
                                             for moments in state['optimizer']['state'].values()], 'exp_avg'),
    'moments of stride 0': (lambda state: first_moments(state).update(
        exp_avg=torch.zeros(1).expand(first_moments(state)['exp_avg'].shape)), 'exp_avg: is no plain tensor'),
    'permuted ids': (lambda state: state['optimizer']['param_groups'][0]['params'].reverse(), 'params.0'),
    'a negative beta': (of_group('betas', (-1.0, 0.999)), 'betas.0: -1.0'),
    'amsgrad of NaN': (of_group('amsgrad', float('nan')), 'amsgrad: nan'),
    'a best that is no record': (lambda state: state.update(best={'epoch': {}}), 'best'),
    'no seconds': (lambda state: state['history'][0].update(seconds=None), 'history.0.seconds: None'),
    'True steps': (lambda state: state['progress'].update(step=True), 'progress.step: True'),
    'a tensor as option': (lambda state: state['options'].update(seed=torch.zeros(3)), 'seed'),
    'an endless list as option': (lambda state: state['options'].update(exp=endless()), 'exp'),
    'no finite weight': (lambda state: next(iter(state['model'].values())).fill_(float('nan')), 'not finite'),
    'a network of gigabytes': (lambda state: state['options'].update(d_model=700), 'model.'),
}


@pytest.mark.parametrize('kind', KNOWN)
def test_what_once_crashed_is_refused_in_one_line(tries, kind):
    state = copy.deepcopy(tries.state)
    change, said = KNOWN[kind]
    change(state)
    status, line, _ = tries.run(state, '--is_load')
    errors = [one for one in line.split('\n') if one.startswith('error: ')]
    assert os.waitstatus_to_exitcode(status) == 2 and 'Traceback' not in line, line
    assert len(errors) == 1 and said in errors[0] and str(tries.folder / 'run' / LAST) in errors[0], line


def test_one_changed_leaf(tries):
    how, made = examples(tries, 18, derandomize=True)
    how(made(tries.judge))()


@pytest.mark.long
def test_two_thousand_changed_leaves(tries):
    tries.ended.clear()
    how, made = examples(tries, 2000)
    try:
        how(made(tries.judge))()
    finally:
        print(dict(tries.ended), f'{tries.memory / 2**20:.0f} MB, {tries.seconds:.1f} s')

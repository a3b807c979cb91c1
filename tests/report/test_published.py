"""published.csv: what every row must say, and the rows against the sources they were taken from."""
import csv
from collections import defaultdict

import pytest

from utils.data.lookup import DATASETS
from utils.report.page import markdown
from utils.report.published import EPOCHS, TABLE, published_rows

S4, S6 = (80, 160, 320, 400), (80, 160, 320, 400, 560, 1000)
SIX = ('basketball', 'jumping', 'running', 'soccer', 'walking', 'washwindow')
# Models of which the sources do not say how many frames they predict.
HORIZON_UNKNOWN = {'LTD', 'MSR-GCN', 'DMGNN', 'HRI', 'siMLPe', 'MotionMixer', 'CIST-GCN', 'SPGSN'}
# (dataset, method, frames, epoch, protocol, part of the source): labels, errors as the source prints them.
AS_PUBLISHED = {
    ('cmu', 'GGMotion', '10', 'test', 'all', 'inkcat520/GGMotion'): (S4, '7.15 13.19 27.03 34.75'),
    ('cmu', 'GGMotion', '25', 'test', 'all', 'inkcat520/GGMotion'): (
        S6, '7.96 15.05 29.42 36.80 50.28 78.63'),
    ('cmu', 'GGMotion reproduced', '10', 'test', 'all', 'ChrysisAndreou/ggmotion-dq'): (
        S4, '7.215 13.345 27.403 35.331'),
    ('h36m', 'AuxFormer', '10', 'test', 'all', 'MediaBrain-SJTU/AuxFormer'): (S4, '9.5 20.6 43.4 54.1'),
    ('h36m', 'EqMotion', '10', 'test', 'all', 'MediaBrain-SJTU/EqMotion'): (S4, '9.1 20.1 43.7 55.0'),
    ('h36m', 'EqMotion', '25', 'test', 'all', 'MediaBrain-SJTU/EqMotion'): ((560, 1000), '73.4 106.9'),
    ('h36m', 'SPGSN', 'unknown', 'validation', 'all', 'MediaBrain-SJTU/SPGSN'): (
        S6, '10.4 22.3 47.0 58.2 77.4 109.6'),
    ('h36m', 'GGMotion', '10', 'test', '256', 'epoch 14'): (S4, '8.99 20.49 44.46 55.65'),
    ('h36m', 'GGMotion', '25', 'test', '256', 'epoch 6'): ((560, 1000), '76.15 109.33'),
    ('h36m', 'LuKAN', '25', 'unknown', '256', 'LuKAN'): (S6, '9.4 21.5 46.2 57.2 75.7 109.3'),
    ('h36m', 'PGBIG + pUAL', '25', 'validation', 'UnPOSed', 'NimaFathi/posepred'): (
        S6, '9.6 21.7 46.0 57.1 75.9 109.5'),
    ('h36m', 'PGBIG in UnPOSed', '25', 'validation', 'UnPOSed', 'NimaFathi/posepred'):
        (S6, '10.3 22.6 46.6 57.5 76.3 110.0'),
    ('3dpw', 'GGMotion', '12', 'test', 'all', 'epoch 11 of 31'): ((100, 200, 400), '11.95 26.26 53.81'),
    ('3dpw', 'GGMotion', '30', 'test', 'all', 'epoch 2 of 10'):
        ((100, 200, 400, 600, 800, 1000), '14.45 32.43 63.76 81.47 93.87 103.01'),
}


def lines():
    with TABLE.open(newline='') as file:
        return list(csv.DictReader(file))


def test_every_line_says_what_it_is():
    seen = set()
    for line in lines():
        dataset = DATASETS[line['dataset']]
        assert line['protocol'] in ('all', '256', '8', 'UnPOSed') and line['epoch'] in EPOCHS, line
        assert line['source'].strip() and line['method'].strip(), line
        assert line['output_n'].isdigit() or line['output_n'] == 'unknown', line
        alone = '+' not in line['label_ms']
        assert line['output_n'] != 'unknown' or not alone or line['method'] in HORIZON_UNKNOWN, line
        labels = [int(label) for label in line['label_ms'].split('+')]
        assert set(labels) <= set(dataset.skeleton.label_ms(30)) and 0 < float(line['mpjpe_mm']) < 200, line
        assert line['action'] == 'avg' or set(line['action'].split('+')) <= set(dataset.actions), line
        key = tuple(line[name] for name in line if name not in ('mpjpe_mm', 'source'))
        assert key not in seen, line
        seen.add(key)


@pytest.mark.parametrize('row', AS_PUBLISHED, ids=' '.join)
def test_rows_are_as_their_sources_print_them(row):
    dataset, method, frames, epoch, protocol, source = row
    labels, errors = AS_PUBLISHED[row]
    own = [line for line in lines()
           if (line['dataset'], line['method'], line['output_n'], line['epoch'], line['protocol'])
           == (dataset, method, frames, epoch, protocol) and line['action'] == 'avg']
    found = {int(line['label_ms']): float(line['mpjpe_mm']) for line in own}
    for label, text in zip(labels, errors.split(), strict=True):
        assert found[label] == pytest.approx(float(text), abs=0.51 * 10 ** -len(text.split('.')[1])), label
    assert any(source in line['source'] for line in own)


def test_no_row_of_eqmotion_or_spgsn_passes_for_256_windows():
    assert {line['protocol'] for line in lines() if line['method'] in ('EqMotion', 'SPGSN')} == {'all'}


def test_the_last_epoch_stands_beside_the_best_test_epoch_over_the_same_six_actions():
    rows, left_out = published_rows('cmu', list(SIX), whole_set=False)
    found = {(row.method, row.epoch): [f'{row.errors[label]:.2f}' for label in S6 if label in row.errors]
             for row in rows}
    assert found['GGMotion, 10 out', 'test'] == ['8.39', '15.37', '30.81', '39.24']
    assert found['GGMotion, 10 out', 'last'] == ['8.48', '15.75', '32.45', '41.23']
    assert found['GGMotion, 25 out', 'test'] == ['9.37', '17.57', '33.41', '41.21', '54.70', '79.99']
    assert found['GGMotion, 25 out', 'last'] == ['9.18', '17.32', '33.41', '41.33', '55.36', '80.48']
    assert found['GGMotion reproduced, 10 out', 'test'] == ['8.47', '15.56', '31.28', '39.97']
    for others in (SIX[:5], DATASETS['cmu'].actions):
        rows, _ = published_rows('cmu', list(others), whole_set=len(others) == 8)
        assert 'last' not in {row.epoch for row in rows}, 'published over these six actions alone'


def test_means_over_labels_agree_with_the_table_they_were_printed_in():
    """MotionDEQ's table gives PGBIG 33.54, which PGBIG's own errors give too.

    So the labels are inferred rightly.
    """
    rows, _ = published_rows('cmu', list(DATASETS['cmu'].actions), whole_set=True)
    by_method = defaultdict(list)
    for row in rows:
        by_method[row.method].append(row)
    labels = (80, 160, 320, 400, 1000)
    pgbig = by_method['PGBIG, 25 out'][0].errors
    assert sum(pgbig[label] for label in labels) / 5 == pytest.approx(33.54, abs=0.02)
    assert by_method['MotionDEQ'][0].means == {labels: 32.42}
    assert by_method['EqMotion'][0].means == {labels: 32.61}


def test_pages_mark_how_epochs_were_chosen():
    from test_report import made_up

    page = markdown(made_up(output_n=25))
    names = [line.split('|')[1].strip() for line in page.splitlines() if line.startswith('| ')]
    assert {'GGMotion, 10 out (t)', 'MSR-GCN (?)'} <= set(names)
    assert not any(name.startswith('MotionDEQ') for name in names)
    assert 'The mark says how the epoch was chosen: (t) the best on the test set, (?) not said.' in page
    assert 'mean of 80, 160, 320, 400, 1000 ms alone: MotionDEQ (?) 32.42' in page
    six = markdown(made_up(SIX))
    assert '(t) the best on the test set, (l) the last.' in six and '(?)' not in six
    rows = [line for line in six.splitlines() if line.startswith('| GGMotion, 10 out')]
    first, second = (six.splitlines().index(row) for row in rows)
    assert '(t)' in rows[0] and '(l)' in rows[1] and second == first + 1

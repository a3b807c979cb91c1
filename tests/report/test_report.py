"""The written tables and the published rows beside them."""
import csv
import json
from collections import Counter
from dataclasses import replace

import pytest

from tests.conftest import numbers
from utils.common.errors import InputError
from utils.common.files import write_text
from utils.data.cmu import ACTIONS, DATASET
from utils.evaluate.results import (
    BASELINES,
    NETWORK,
    PREDICTED,
    Results,
    json_dict,
    over_actions,
    read_results,
)
from utils.report import page
from utils.report.page import markdown, write_all
from utils.report.published import TABLE, published_rows


def made_up(actions=ACTIONS, output_n=10, protocol='all'):
    """Results in which frame f of action i has error 10 i + f."""
    table = {action: [10.0 * i + f for f in range(output_n)] for i, action in enumerate(actions)}
    table['avg'] = [sum(table[action][f] for action in actions) / len(actions) for f in range(output_n)]
    return Results(DATASET, {action: 5 for action in actions}, protocol, 10, output_n, 7, 'validation',
                   {name: table for name in (NETWORK, PREDICTED, *BASELINES)})


def cells(text, name):
    """The numbers of one table row."""
    line = next(line for line in text.split('\n') if line.startswith(f'| {name} '))
    return [cell.strip() for cell in line.split('|')[2:-1]]


def published(method, action, label):
    with TABLE.open(newline='') as file:
        return next(float(row['mpjpe_mm']) for row in csv.DictReader(file)
                    if (row['dataset'], row['method'], row['action'], row['label_ms']) ==
                    ('cmu', method, action, str(label)))


def test_a_short_run_shows_the_first_four_labels_and_a_long_one_all_six():
    assert cells(markdown(made_up()), 'label ms') == ['80', '160', '320', '400']
    long = markdown(made_up(output_n=25))
    assert cells(long, 'label ms') == ['80', '160', '320', '400', '560', '1000']
    assert cells(long, 'true ms') == ['33', '67', '133', '167', '233', '417']


def test_frames_and_averages_of_the_summary():
    text = markdown(made_up())
    # mean of 10 i over 8 actions is 35, frames 1 3 7 9
    assert cells(text, 'KSOF') == ['36.00', '38.00', '42.00', '44.00']
    assert cells(text, 'KSOF, 7 actions (without running)') == ['35.29', '37.29', '41.29', '43.29']
    assert cells(text, 'KSOF, true mm (x 0.806)')[0] == f'{36 * DATASET.skeleton.mm_scale_to_true:.2f}'


def test_published_rows_are_averaged_over_the_actions_of_the_run():
    some = ('walking', 'jumping')
    text = markdown(made_up(some))
    expected = sum(published('KSOF-released', action, 80) for action in some) / 2
    assert cells(text, 'KSOF-released, 10 out (t)')[0] == f'{expected:.2f}'
    assert 'mean of 2 of 8 actions' in text and '(without running)' not in text
    assert 'Not shown, as only an average over all 8 actions is published: LTD, MSR-GCN' in text
    assert cells(markdown(made_up()), 'MSR-GCN (?)')[0] == f'{published("MSR-GCN", "avg", 80):.2f}'


def test_rows_of_another_protocol_are_marked_and_come_last():
    text = markdown(made_up(protocol='256'))
    assert cells(text, 'KSOF-released, 10 out (t) [other protocol: all windows]')
    h36m, _ = published_rows('h36m', ['walking', 'eating', 'smoking', 'discussion'], whole_set=False)
    assert Counter(row.protocol for row in h36m) == {'all': 2, '256': 2}
    assert all(len(row.errors) >= 4 for row in h36m)


def test_the_three_files(tmp_path):
    results = made_up(('walking',), protocol='8')
    shown = write_all(results, tmp_path)
    assert (tmp_path / 'results.md').read_text() == markdown(results)
    assert numbers(shown) == numbers(markdown(results))
    row = (tmp_path / 'test_8_eval.csv').read_text().splitlines()[1]
    assert row.startswith('walking,0.0000,1.0000,2.0000')
    content = json_dict(results)
    assert content['missing_actions'] == [action for action in ACTIONS if action != 'walking']
    assert content['true_ms'][:2] == pytest.approx([16.67, 33.33]) and content['label_ms'][:2] == [40, 80]
    assert content['protocol'] == '8' and content['windows'] == {'walking': 5}
    assert sorted(path.name for path in tmp_path.iterdir()) == ['results.json', 'results.md',
                                                                'test_8_eval.csv']


def test_synthetic_motion_is_called_that_once_and_compares_with_nothing_published():
    text = markdown(replace(made_up(), sample=True))
    assert text.startswith('## KSOF on synthetic motion in the layout of CMU mocap')
    assert text.count('synthetic') == 1
    assert 'PGBIG' in markdown(made_up()) and 'PGBIG' not in text and 'ublished rows' not in text
    assert 'synthetic' not in markdown(made_up())


def moving():
    """Made-up results of all methods with made-up motion.

    Every table is as in `made_up`, each with numbers of its own.
    """
    results = made_up()
    table = results.methods['KSOF']

    def times(factor):
        return {action: [factor * error for error in errors] for action, errors in table.items()}

    names = (NETWORK, *BASELINES)
    motion = {measure: {name: times(10 * k + j)
                        for j, name in enumerate((*names, 'truth') if k == 2 else names)}
              for k, measure in enumerate(('acceleration error', 'bone-length error', 'acceleration'))}
    return replace(results, methods={name: times(1) for name in (NETWORK, PREDICTED, *BASELINES)},
                   motion=motion,
                   parameters=1_234_567)


def test_the_table_of_motion():
    text = markdown(moving())
    assert 'selected on validation; 1.23 M parameters.' in text
    expected = [36, 38, 42, 44]  # as in the summary above
    for name, factor in (('acceleration error: KSOF', 0), ('acceleration error: constant velocity', 2),
                         ('bone-length error: KSOF', 10), ('bone-length error: zero velocity', 11)):
        assert cells(text, name) == [f'{factor * error:.2f}' for error in expected]
    assert ('25 predicted joints in mm per frame squared (frames are 16.7 ms apart), '
            'length error of 25 bones in mm:' in text)
    means = [f'{name} {39.5 * factor:.2f} ({35 * factor:.2f})'  # of frames 0 to 9, and of frame 0
             for name, factor in ((NETWORK, 20), (BASELINES[0], 21), (BASELINES[1], 22), ('truth', 23))]
    assert f'where they join the observed ones: {", ".join(means)}.' in text
    assert 'acceleration' not in markdown(made_up()) and 'parameters' not in markdown(made_up())


def test_results_are_read_as_they_were_written_and_older_ones_without_motion(tmp_path):
    file, results = tmp_path / 'results.json', moving()
    write_all(results, tmp_path)
    assert read_results(file) == results
    older = {key: value for key, value in json.loads(file.read_text()).items()
             if key not in ('motion', 'parameters')}
    file.write_text(json.dumps(older))
    assert read_results(file) == replace(results, motion={}, parameters=0)


@pytest.mark.parametrize('spoil, said', [
    (lambda motion: motion['acceleration']['truth']['avg'].pop(), 'expected a list of 10'),
    (lambda motion: motion['bone-length error']['KSOF'].pop('walking'), 'is not a results.json'),
    (lambda motion: motion['acceleration error'].update(KSOF={'avg': 'fast'}), 'is not a results.json'),
    (lambda motion: motion.update({'acceleration error': [1, 2]}), 'is not a results.json')])
def test_spoilt_motion_is_refused(tmp_path, spoil, said):
    content = json_dict(moving())
    spoil(content['motion'])
    (tmp_path / 'results.json').write_text(json.dumps(content))
    with pytest.raises(InputError, match=said):
        read_results(tmp_path / 'results.json')


def test_motion_over_some_actions_is_averaged_over_them():
    # the first and the fourth: errors 0 + f and 30 + f
    some = over_actions(moving(), ('basketball', 'jumping'))
    assert list(some.motion['acceleration']['truth']) == ['basketball', 'jumping', 'avg']
    assert some.motion['acceleration']['truth']['avg'] == [23 * (15.0 + f) for f in range(10)]


@pytest.mark.parametrize('files_written', [0, 1, 2])
def test_files_agree_whenever_an_evaluation_is_killed(files_written, tmp_path, monkeypatch):
    write_all(made_up(), tmp_path)
    (tmp_path / '.results.md-x.unfinished').write_text('left by a killed evaluation')
    written = []

    def killed(path, text):
        if len(written) == files_written:
            raise KeyboardInterrupt
        written.append(path)
        write_text(path, text)

    monkeypatch.setattr(page, 'write_text', killed)
    with pytest.raises(KeyboardInterrupt):
        write_all(replace(made_up(), epoch=8), tmp_path)
    content = read_results(tmp_path / 'results.json')
    assert content.epoch == (8 if files_written else 7)
    there = {path.name for path in tmp_path.iterdir()}
    assert there == {'results.json', *(['test_all_eval.csv'] if files_written == 2 else [])}
    monkeypatch.undo()
    write_all(replace(made_up(), epoch=8), tmp_path)
    assert (tmp_path / 'results.md').read_text() == markdown(read_results(tmp_path / 'results.json'))


def test_tables_of_another_checkpoint_do_not_stay(tmp_path):
    of = {digest: replace(made_up(), checkpoint={'path': 'x', 'sha256': digest}) for digest in ('1', '2')}
    write_all(of['1'], tmp_path)
    write_all(replace(of['1'], protocol='8'), tmp_path)
    tables = {path.name for path in tmp_path.glob('test_*')}
    assert tables == {'test_all_eval.csv', 'test_8_eval.csv'}, 'of the same checkpoint'
    write_all(replace(of['2'], protocol='256'), tmp_path)
    assert [path.name for path in tmp_path.glob('test_*')] == ['test_256_eval.csv']


def test_errors_that_are_not_finite_are_not_written(tmp_path):
    write_all(made_up(), tmp_path)
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    spoilt = made_up()
    spoilt.methods[NETWORK]['avg'][0] = float('nan')
    with pytest.raises(InputError, match='not finite'):
        write_all(spoilt, tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before

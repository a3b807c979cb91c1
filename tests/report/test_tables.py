"""Tables for the terminal: width, marks, names and heads that go on; and what both writers escape."""
import re

import pytest

from utils.report.tables import Heading, Notes, Row, Table, markdown, terminal, value_table


def test_the_lowest_rival_of_each_column_is_marked():
    rows = [Row('a', [3.0, 2.0, None]), Row('b', [1.004, 4.0, 5.0]), Row('c', [1.0, None, None]),
            Row('of another kind', [0.5, 0.5, 0.5], rival=False)]
    lines = terminal([value_table([['label ms', '80', '160', '320']], rows)], 80).splitlines()
    assert [line.split() for line in lines[2:5]] == [['a', '3.00', '2.00*', '-'],
                                                     ['b', '1.00*', '4.00', '5.00'],
                                                     ['c', '1.00*', '-', '-']]
    assert '*' not in lines[5] and lines[6] == '* lowest error of those that compare'
    assert len({line.index('.') for line in lines[2:5]}) == 1, 'decimal points stand below each other'


@pytest.mark.parametrize('columns', [40, 80, 110])
def test_a_page_stays_within_its_columns(columns):
    values = [100.25 + k for k in range(25)]
    heads = [['label ms', *(str(40 * k) for k in range(1, 26))]]
    names = ['PGBIG, 25 out (t) [other protocol: all windows]',
             'a_run_with_a_very_long_name_in10_out25_dct15_gcn4_d16', 'b']
    wide = value_table(heads, [Row(name, values) for name in names])
    by_run = Table([['action', *names], ['walking', *['12.34'] * 3]], best=frozenset({(1, 2)}))
    text = terminal([Heading('A title ' * 12), 'Words ' * 60, wide, by_run, Notes(['A note ' * 30])], columns)
    assert all(len(line) <= columns for line in text.splitlines())
    shown = [f'{value:.2f}' for value in values] * 3 + ['12.34'] * 3
    assert sorted(re.findall(r'\d+\.\d\d', text)) == sorted(shown)


def test_names_from_files_neither_move_the_cursor_nor_break_a_table():
    table = Table([['run', 'mm'], ['a|b<i>\x1b[31m', '1.00']])
    assert '\x1b' not in terminal([table], 80) + markdown([table])
    assert markdown([table]).splitlines()[2].startswith('| a\\|b&lt;i>\\x1b[31m |')

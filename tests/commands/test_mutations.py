"""The tests of the tests: changes of meaning, one by one, must each make a test fail."""
import subprocess
import sys

import mutate
import pytest
from mutations import CHANGES

from tests.conftest import PROJECT


def test_every_change_has_its_text_once_and_breaks_a_rule_of_its_own():
    assert list(mutate.misplaced()) == []
    rules = [(file, rule) for file, changes in CHANGES.items() for rule, *_ in changes]
    assert len(rules) == len(set(rules)) >= 100
    assert all(old != new for changes in CHANGES.values() for _, old, new in changes)
    tests = {test.partition('::')[0] for file in CHANGES for test in mutate.tests_of(file)}
    assert all((PROJECT / test).is_file() for test in tests)


@pytest.mark.long
def test_at_most_two_changes_in_a_hundred_are_not_noticed():
    """Hours on a busy core; in pieces: python tests/mutate.py --results FILE."""
    done = subprocess.run([sys.executable, 'tests/mutate.py'], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

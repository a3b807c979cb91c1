"""Files that are no checkpoint of this project are called what they are."""
import argparse
from pathlib import Path

import pytest
import torch

from utils.common import checkpoint
from utils.common.errors import InputError


def old_form(path: Path) -> None:
    torch.save({'model': {}}, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize('make, said', [
    (lambda path: torch.save({'model': {}, 'args': argparse.Namespace(lr=1)}, path),
     "another project's, not opened"),
    (old_form, "another project's checkpoint, or one of torch before 1.6"),
    (lambda path: path.write_text('<html>not found</html>'), 'is a web page'),
    (lambda path: path.write_text(''), 'is empty'),
    (lambda path: torch.save({'state_dict': {}}, path), 'is not a checkpoint of this project'),
])
def test_another_file_is_called_what_it_is(tmp_path, make, said):
    path = tmp_path / 'other.pth.tar'
    make(path)
    with pytest.raises(InputError) as error:
        checkpoint.load(path)
    message = str(error.value)
    assert message.startswith(f'{path}: is not a ') and said in message
    assert 'weights_only' not in message and '\\x1b' not in message and len(message) < 300

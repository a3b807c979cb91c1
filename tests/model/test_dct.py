import numpy as np
import pytest
import torch
from scipy.fft import dct as scipy_dct

from model.dct import dct_matrix, decode, decoding_matrix, encode, encoding_matrix


def test_matrix_is_orthonormal():
    matrix = dct_matrix(35, 35)
    assert torch.allclose(matrix @ matrix.T, torch.eye(35), atol=1e-6)


@pytest.mark.parametrize('input_n, output_n, dct_n', [(10, 25, 35), (10, 25, 15), (10, 10, 1)])
def test_encoding_is_the_dct_of_the_padded_window(input_n, output_n, dct_n):
    observed = torch.randn(3, input_n, 6)
    padded = np.concatenate([observed.numpy(), np.repeat(observed[:, -1:].numpy(), output_n, axis=1)], axis=1)
    expected = scipy_dct(padded, axis=1, norm='ortho')[:, :dct_n].transpose(0, 2, 1)
    assert np.allclose(encode(observed, encoding_matrix(input_n, output_n, dct_n)).numpy(), expected,
                       atol=1e-5)


def test_round_trip_of_all_coefficients_is_the_padded_future():
    observed = 1000 * torch.randn(2, 10, 6)
    future = decode(encode(observed, encoding_matrix(10, 25, 35)), decoding_matrix(10, 25, 35))
    assert torch.allclose(future, observed[:, -1:].expand(-1, 25, -1), atol=0.01)


@pytest.mark.parametrize('coefficients', [0, 36])
def test_impossible_number_of_coefficients_is_refused(coefficients):
    with pytest.raises(ValueError, match='choose 1 to 35'):
        dct_matrix(35, coefficients)

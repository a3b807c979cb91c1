"""The discrete cosine transform along time, which makes the S-GCN's input (Mao et al., ICCV 2019)."""
import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor


def dct_matrix(frames: int, coefficients: int) -> Tensor:
    """Returns the first rows of the orthonormal DCT-II, (K, T).

    frames: samples T.
    coefficients: rows K. ValueError unless 1 <= K <= T.
    """
    if not 1 <= coefficients <= frames:
        raise ValueError(f'{coefficients} DCT coefficients of {frames} frames: choose 1 to {frames}')
    basis = dct(np.eye(frames), axis=0, norm='ortho')[:coefficients]
    return torch.from_numpy(basis).float()


def encoding_matrix(input_n: int, output_n: int, coefficients: int) -> Tensor:
    """Returns the (K, T_in) matrix from observed frames to the window's DCT coefficients.

    The window's future repeats the last observed pose. Such padding is linear, so the matrix holds it: the
    last observed frame has the weight of every future one.
    """
    basis = dct_matrix(input_n + output_n, coefficients)
    return torch.cat([basis[:, : input_n - 1], basis[:, input_n - 1 :].sum(1, keepdim=True)], dim=1)


def decoding_matrix(input_n: int, output_n: int, coefficients: int) -> Tensor:
    """Returns the (K, T_out) matrix from a window's DCT coefficients to its future frames."""
    return dct_matrix(input_n + output_n, coefficients)[:, input_n:].contiguous()


def encode(observed: Tensor, matrix: Tensor) -> Tensor:
    """Encodes observed poses (B, T_in, N) in mm: -> DCT coefficients (B, N, K).

    matrix: (K, T_in), of `encoding_matrix`.
    """
    return observed.transpose(1, 2) @ matrix.T  # (B, N, T_in) (T_in, K)


def decode(coefficients: Tensor, matrix: Tensor) -> Tensor:
    """Decodes DCT coefficients (B, N, K): -> frames (B, T_out, N) in mm.

    matrix: (K, T_out), of `decoding_matrix`.
    """
    return (coefficients @ matrix).transpose(1, 2)

"""The discrete cosine transform along time: how a window becomes the S-GCN's input (KSOF section 3; Mao et al., ICCV 2019)."""
import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor


def dct_matrix(frames: int, coefficients: int) -> Tensor:
    """The first `coefficients` rows of the orthonormal DCT-II of `frames` samples, (K, T). ValueError unless 1 <= K <= T."""
    if not 1 <= coefficients <= frames:
        raise ValueError(f'{coefficients} DCT coefficients of {frames} frames: choose 1 to {frames}')
    basis = dct(np.eye(frames), axis=0, norm='ortho')[:coefficients]
    return torch.from_numpy(basis).float()


def encoding_matrix(input_n: int, output_n: int, coefficients: int) -> Tensor:
    """(K, T_in) matrix from observed frames to DCT coefficients of the window whose future repeats the last pose.

    Padding is linear, so it is folded into the matrix: the last observed frame carries the weight of every future one.
    """
    basis = dct_matrix(input_n + output_n, coefficients)
    return torch.cat([basis[:, : input_n - 1], basis[:, input_n - 1 :].sum(1, keepdim=True)], dim=1)


def decoding_matrix(input_n: int, output_n: int, coefficients: int) -> Tensor:
    """(K, T_out) matrix from DCT coefficients of the whole window to its future frames (the inverse transform)."""
    return dct_matrix(input_n + output_n, coefficients)[:, input_n:].contiguous()


def encode(observed: Tensor, matrix: Tensor) -> Tensor:
    """Observed poses (B, T_in, N) in mm and an encoding matrix (K, T_in) -> DCT coefficients (B, N, K)."""
    return observed.transpose(1, 2) @ matrix.T  # (B, N, T_in) (T_in, K)


def decode(coefficients: Tensor, matrix: Tensor) -> Tensor:
    """DCT coefficients (B, N, K) and a decoding matrix (K, T_out) -> frames (B, T_out, N) in mm."""
    return (coefficients @ matrix).transpose(1, 2)

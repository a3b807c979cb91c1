"""KSOF: K-TCN and S-GCN side by side, joined by SOF (Ding, Qu, Tang, Pattern Recognition 161, 2025).

B windows, T_in observed and T_out predicted frames, N coordinates, K DCT coefficients. Poses are
root-centred, mm.
"""
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.dct import decode, decoding_matrix, encode, encoding_matrix
from model.ktcn import KTCN
from model.sgcn import SGCN
from model.sof import SOF, FrameGate

KTCN_WIDTH_PER_D_MODEL = 16


class Prediction(NamedTuple):
    """Predicted poses in mm, each (B, T_out, N): the fused one, and each path's own."""

    fused: Tensor
    temporal: Tensor
    spatial: Tensor


class KSOF(nn.Module):
    """Predicts poses by two paths and their fusion.

    node_n, input_n, output_n, dct_n: N, T_in, T_out, K.
    num_gcn: the S-GCN has 2 x num_gcn + 5 stages.
    d_model: width; d_model x dct_n features a node in the S-GCN, 16 x d_model channels in the K-TCN.
    tcn_axis: see `KTCN`. topk: see `SOF`. norm, wiring: see `SGCN`.
    ktcn, sgcn, gates, fusion, fusion_residual: False leaves out a path, the gates, SOF, or the sum of the
        paths that SOF corrects. With one path alone there is nothing to fuse: its prediction is the fused
        one.
    """

    encoding: Tensor
    decoding: Tensor

    def __init__(self, *, node_n: int, input_n: int, output_n: int, dct_n: int, num_gcn: int, d_model: int,
                 dropout: float, tcn_axis: str = 'time', topk: str = 'signed', norm: str = 'batch',
                 wiring: str = 'released', ktcn: bool = True, sgcn: bool = True, gates: bool = True,
                 fusion: bool = True, fusion_residual: bool = True):
        super().__init__()
        self.register_buffer('encoding', encoding_matrix(input_n, output_n, dct_n), persistent=False)
        self.register_buffer('decoding', decoding_matrix(input_n, output_n, dct_n), persistent=False)
        self.ktcn = KTCN(node_n=node_n, input_n=input_n, output_n=output_n, dropout=dropout, axis=tcn_axis,
                         width=KTCN_WIDTH_PER_D_MODEL * d_model) if ktcn else None
        self.sgcn = SGCN(node_n=node_n, dct_n=dct_n, num_gcn=num_gcn, width=d_model * dct_n, dropout=dropout,
                         norm=norm, wiring=wiring) if sgcn else None
        both = ktcn and sgcn
        # One gate for both paths, as released.
        self.gate = FrameGate(output_n) if gates and both else nn.Identity()
        self.fusion = SOF(node_n=node_n, topk=topk) if fusion and both else None
        self.fusion_residual = fusion_residual

    def forward(self, observed: Tensor, coefficients: Tensor | None = None) -> Prediction:
        """Observed poses (B, T_in, N) -> three predictions (B, T_out, N).

        coefficients: the same windows' DCT coefficients (B, N, K) where the loader has them; encoded here
            otherwise.
        """
        if coefficients is None:
            coefficients = encode(observed, self.encoding)
        last = observed[:, -1:]
        held = last.expand(-1, self.decoding.shape[1], -1)
        temporal = held if self.ktcn is None else self.ktcn(observed)
        spatial = held if self.sgcn is None else last + decode(self.sgcn(coefficients), self.decoding)
        fused = last + self.fuse(temporal - last, spatial - last)
        return Prediction(fused, temporal, spatial)

    def fuse(self, temporal: Tensor, spatial: Tensor) -> Tensor:
        """Two displacements from the last pose (B, T_out, N) -> one: their gated sum, corrected by SOF.

        An untrained network gives their mean, as gates start at one half and the correction at zero.
        """
        gated = self.gate(torch.cat([temporal, spatial]))  # (2 B, T_out, N)
        temporal, spatial = gated.unflatten(0, (2, temporal.shape[0])).unbind()  # chunk(2) cannot be exported
        if self.fusion is None:
            return temporal + spatial
        correction = self.fusion(temporal, spatial)
        return temporal + spatial + correction if self.fusion_residual else correction

"""KSOF: K-TCN and S-GCN side by side, joined by SOF (Ding, Qu, Tang, Pattern Recognition 161, 2025, figure 2)."""
from typing import NamedTuple

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
    """The network. All sizes are plain numbers: see opt.py for what they mean.

    gates, fusion_residual, norm: as the paper has them; otherwise the paths are fused as they are, their sum is not part of the
    fusion, and the S-GCN's norms are layer norms.
    """

    encoding: Tensor
    decoding: Tensor

    def __init__(self, *, node_n: int, input_n: int, output_n: int, dct_n: int, num_gcn: int, d_model: int,
                 dropout: float, tcn_axis: str = 'time', topk: str = 'in_place', gates: bool = True,
                 fusion_residual: bool = True, norm: str = 'batch'):
        super().__init__()
        self.register_buffer('encoding', encoding_matrix(input_n, output_n, dct_n), persistent=False)
        self.register_buffer('decoding', decoding_matrix(input_n, output_n, dct_n), persistent=False)
        self.ktcn = KTCN(node_n=node_n, input_n=input_n, output_n=output_n, width=KTCN_WIDTH_PER_D_MODEL * d_model,
                         dropout=dropout, axis=tcn_axis)
        self.sgcn = SGCN(node_n=node_n, dct_n=dct_n, num_gcn=num_gcn, width=d_model * dct_n, dropout=dropout, norm=norm)
        self.temporal_gate = FrameGate(output_n) if gates else nn.Identity()
        self.spatial_gate = FrameGate(output_n) if gates else nn.Identity()
        self.fusion_residual = fusion_residual
        self.fusion = SOF(node_n=node_n, topk=topk)

    def forward(self, observed: Tensor, coefficients: Tensor | None = None) -> Prediction:
        """Observed root-centred poses (B, T_in, N) in mm -> three predictions (B, T_out, N) in mm.

        coefficients: the same window's DCT coefficients (B, N, K) where the loader has them; encoded here otherwise.
        """
        if coefficients is None:
            coefficients = encode(observed, self.encoding)
        last = observed[:, -1:]
        temporal = self.ktcn(observed)
        spatial = last + decode(self.sgcn(coefficients), self.decoding)
        fused = last + self.fuse(temporal - last, spatial - last)
        return Prediction(fused, temporal, spatial)

    def fuse(self, temporal: Tensor, spatial: Tensor) -> Tensor:
        """Two displacements from the last pose (B, T_out, N) -> one: their gated sum, at first their mean, corrected."""
        temporal, spatial = self.temporal_gate(temporal), self.spatial_gate(spatial)
        correction = self.fusion(temporal, spatial)
        return temporal + spatial + correction if self.fusion_residual else correction

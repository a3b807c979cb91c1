"""KSOF once more in plain numpy, in evaluation, from docs/design.md's words.

It shares nothing with model/ but the weights' names.

weights: name -> array, as a checkpoint has them. Poses (B, T, N) in mm.
"""
import numpy as np
from scipy.fft import dct, idct
from scipy.special import erf


def predict(weights, observed, *, output_n, dct_n, num_gcn, tcn_axis='time', topk='signed', norm='batch',
            wiring='released', ktcn=True, sgcn=True, gates=True, fusion=True, fusion_residual=True):
    """Returns the fused prediction and those of K-TCN and S-GCN, (B, T_out, N) each."""
    last = observed[:, -1:]
    still = np.zeros((len(observed), output_n, observed.shape[2]))
    temporal = spatial = still
    if ktcn:
        temporal = k_tcn(below(weights, 'ktcn.'), observed, tcn_axis)
    if sgcn:
        spatial = s_gcn(below(weights, 'sgcn.'), observed, output_n, dct_n, num_gcn, norm, wiring)
    first, second = temporal, spatial
    if gates and ktcn and sgcn:  # one squeeze-and-excitation for both paths
        first, second = (path * frame_gates(below(weights, 'gate.'), path)[:, :, None]
                         for path in (temporal, spatial))
    fused = first + second
    if fusion and ktcn and sgcn:
        correction = sof(below(weights, 'fusion.'), first, second, topk)
        fused = fused + correction if fusion_residual else correction
    return last + fused, last + temporal, last + spatial


def below(weights, prefix):
    return {name[len(prefix):]: values for name, values in weights.items() if name.startswith(prefix)}


def leaky(x):
    return np.where(x > 0, x, 0.01 * x)


def convolve(x, kernel, bias, dilation=1, before=0, after=0):
    """Cross-correlation along the last axis of (B, C, L), zeros put before and after."""
    padded = np.concatenate([np.zeros((*x.shape[:2], before)), x, np.zeros((*x.shape[:2], after))], axis=2)
    length = padded.shape[2] - dilation * (kernel.shape[2] - 1)
    taps = [np.einsum('oc,bcl->bol', kernel[:, :, tap], padded[:, :, tap * dilation: tap * dilation + length])
            for tap in range(kernel.shape[2])]
    return sum(taps) + bias[:, None]


def k_tcn(weights, observed, axis):
    """Displacements (B, T_out, N) that the predicted velocities add up to."""
    velocity = np.zeros_like(observed)
    velocity[:, 1:] = observed[:, 1:] - observed[:, :-1]
    x = velocity.swapaxes(1, 2) if axis == 'time' else velocity
    x = convolve(x, weights['embedding.weight'], weights['embedding.bias'])
    for block, dilation in enumerate((1, 2, 4, 8)):
        y = x
        for place in (0, 3):
            name = f'blocks.{block}.body.{place}.conv.'
            direction = weights[name + 'parametrizations.weight.original1']
            length = np.sqrt((direction**2).sum((1, 2), keepdims=True))
            kernel = weights[name + 'parametrizations.weight.original0'] * direction / length
            assert kernel.shape[2] == 2
            y = np.maximum(convolve(y, kernel, weights[name + 'bias'], dilation, before=dilation), 0)
        x = np.maximum(x + y, 0)
    if axis == 'time':
        x = x @ weights['future.weight'].T + weights['future.bias']
    x = convolve(x, weights['projection.weight'], weights['projection.bias'])
    return np.cumsum(x.swapaxes(1, 2) if axis == 'time' else x, axis=1)


def s_gcn(weights, observed, output_n, dct_n, num_gcn, norm, wiring):
    """Displacements (B, T_out, N) whose transform the network makes of that of the held window."""
    window = np.concatenate([observed, np.repeat(observed[:, -1:], output_n, axis=1)], axis=1)
    x = dct(window, axis=1, norm='ortho')[:, :dct_n].swapaxes(1, 2)  # (B, N, K)

    def graph(x, name):
        features = x @ weights[name + 'linear.weight'].T + weights[name + 'linear.bias']
        return weights[name + 'adjacency'] @ features

    def stage(x, name):
        x = graph(x, name + 'conv.')
        scale, shift = (weights[name + f'norm.{which}'] for which in ('weight', 'bias'))
        if norm == 'layer':
            mean, variance = x.mean(2, keepdims=True), x.var(2, keepdims=True)
        else:
            mean, variance, scale, shift = (values.reshape(x.shape[1:]) for values in (
                weights[name + 'norm.running_mean'], weights[name + 'norm.running_var'], scale, shift))
        return leaky((x - mean) / np.sqrt(variance + 1e-5) * scale + shift)

    sides = num_gcn + 1 if wiring == 'released' else num_gcn
    between = 1 if wiring == 'released' else 3
    blocks = [f'{part}.{i}.' for part, count in (('down', sides), ('middle', between), ('up', sides))
              for i in range(count)]
    assert len(blocks) + 2 == 2 * num_gcn + 5
    outputs = [stage(x, 'first.')]
    for number, name in enumerate(blocks, start=2):
        x = outputs[-1]
        if name.startswith('up'):  # the nearest block down first: of 13 stages 8 takes 6, 9 takes 5, ...
            x = x + outputs[2 * num_gcn + 5 - number]
        outputs.append(x + stage(stage(x, name + 'body.0.'), name + 'body.1.'))
    x = outputs[-1] + outputs[0] if wiring == 'released' else outputs[-1]
    changes = np.zeros_like(window)
    changes[:, :dct_n] = graph(x, 'last.').swapaxes(1, 2)
    return idct(changes, axis=1, norm='ortho')[:, -output_n:]


def frame_gates(weights, displacement):
    """(B, T) gates in (0, 1) of a path's frames."""
    size = np.abs(displacement).mean(2)
    size = (size - weights['norm.running_mean']) / np.sqrt(weights['norm.running_var'] + 1e-5)
    return 1 / (1 + np.exp(-leaky(size @ weights['squeeze.weight'].T) @ weights['excite.weight'].T))


def strongest_half(x, how):
    """TOP-K of (B, C, T) over the channels of each frame, k = C / 2 rounded down."""
    if how == 'off':
        return x
    order = np.argsort(np.abs(x) if how == 'magnitude' else x, axis=1)[:, ::-1][:, : x.shape[1] // 2]
    values = np.take_along_axis(x, order, axis=1)
    if how == 'packed':
        return values
    kept = np.zeros_like(x)
    np.put_along_axis(kept, order, values, axis=1)
    return kept


def sof(weights, temporal, spatial, topk):
    """Correction (B, T_out, N) in mm."""
    both = np.concatenate([temporal, spatial], axis=2).swapaxes(1, 2) / 50
    features, x = [convolve(both, weights['skip.weight'], weights['skip.bias'])], both
    for number, kernel in enumerate((7, 5, 3)):
        name = f'stages.{number}.1.'
        assert weights[name + 'weight'].shape[2] == kernel
        half = kernel // 2
        x = convolve(np.maximum(x, 0), weights[name + 'weight'], weights[name + 'bias'], 1, half, half)
        features.append(strongest_half(x, 'signed' if topk == 'inside' else topk))
        if topk == 'inside':
            x = features[-1]
    x = np.concatenate(features, axis=1).swapaxes(1, 2) @ weights['mlp.0.weight'].T + weights['mlp.0.bias']
    x = x * (1 + erf(x / np.sqrt(2))) / 2  # GELU
    return 50 * (x @ weights['mlp.2.weight'].T + weights['mlp.2.bias'])

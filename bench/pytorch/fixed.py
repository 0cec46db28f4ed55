"""The fixed weights and images that `penumbra bench step --fixed true` computes too (layers/fixed_values.h), with torch alone.

Nothing is read from a file: splitmix64 over the FNV-1a hash of a tensor's name gives every value.
"""
import math

import torch
import torch.nn.functional as F

_GAMMA, _MIX1, _MIX2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def _signed(word):
    return word - (1 << 64) if word >> 63 else word


def _shift(z, bits):  # logical shift right of 64-bit words kept as int64
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def fill(name, shape):
    """float32 in [-1, 1), element i from state + (i + 1) * gamma."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = ((state ^ byte) * 0x100000001B3) % (1 << 64)
    z = torch.arange(1, math.prod(shape) + 1, dtype=torch.int64) * _signed(_GAMMA) + _signed(state)
    z = (z ^ _shift(z, 30)) * _signed(_MIX1)
    z = (z ^ _shift(z, 27)) * _signed(_MIX2)
    z = z ^ _shift(z, 31)
    return (_shift(z, 40).double() * 2.0**-24 * 2 - 1).float().reshape(shape)


def fill_state(module, prefix):
    """Weights of variance 1/fan_in, norms near the identity: activations and logits stay moderate in every layer."""
    with torch.no_grad():
        for name, entry in module.state_dict().items():
            if not entry.is_floating_point():
                entry.zero_()
                continue
            value = fill(prefix + name, tuple(entry.shape))
            if entry.dim() >= 2:
                value *= math.sqrt(3 / (entry.numel() / entry.shape[0]))
            elif name.endswith("running_var"):
                value = 1 + 0.5 * value
            elif name.endswith("running_mean") or name.endswith("bias"):
                value *= 0.1
            else:
                value = 0.75 + 0.25 * value
            entry.copy_(value)


def images(number, batch, side):
    """(batch,3,side,side): smooth noise of about unit variance, another for each number."""
    noise = fill("bench.x%d" % number, (batch, 3, side, side))
    return 6 * F.avg_pool2d(F.pad(2 * noise, (4, 4, 4, 4), mode="reflect"), 9, 1)


def labels(classifier, x):
    """What the classifier says of every other image, and the class after it for the others: half of them are right."""
    with torch.no_grad():
        predicted = classifier.eval()(x)[0].argmax(1)
    return (predicted + torch.arange(len(predicted), device=predicted.device) % 2) % classifier.fc.out_features

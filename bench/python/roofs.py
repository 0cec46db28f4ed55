#!/usr/bin/env python3
"""The counts of docs/performance.md: operations and least memory traffic of FIX and CA steps on ResNet-50, per kind of kernel,
and the rate at which a machine of given ceilings could do them at most.

    bench/python/roofs.py [--batch 72] [--element 2] [--tflops 790] [--tbytes 3.0]

Traffic counts each input read and each output written once per kernel. A kernel takes the longer of its operations at --tflops
and its traffic at --tbytes; a step is the sum of its kernels (nothing overlaps).
"""
import argparse
import collections

Conv = collections.namedtuple("Conv", "kind c h k r stride p relu residual shares")
KINDS = ["stem 7x7", "1x1 reduce", "3x3", "1x1 expand", "projection"]


def resnet50():
    """shares: on the way back another gradient of the same map is added (a block's input has two readers)."""
    convs = [Conv("stem 7x7", 3, 224, 64, 7, 2, 112, True, False, False)]
    c, h = 64, 56
    for stage, (blocks, planes) in enumerate([(3, 64), (4, 128), (6, 256), (3, 512)]):
        for block in range(blocks):
            stride = 2 if block == 0 and stage else 1
            p = h // stride
            convs.append(Conv("1x1 reduce", c, h, planes, 1, 1, h, True, False, True))
            convs.append(Conv("3x3", planes, h, planes, 3, stride, p, True, False, False))
            if block == 0:
                convs.append(Conv("projection", c, h, 4 * planes, 1, stride, p, False, False, False))
            convs.append(Conv("1x1 expand", planes, p, 4 * planes, 1, 1, p, True, True, False))
            c, h = 4 * planes, p
    return convs


class Count:
    def __init__(self, a):
        self.a = a
        self.rows = collections.OrderedDict()

    def add(self, kind, direction, times, flops, elements, bits=0, fixed=0):
        """Per image, `times` times a step; `fixed`: elements read once a batch (weights)."""
        a = self.a
        traffic = elements * a.element + bits / 8 + fixed * a.element / a.batch
        seconds = max(flops / (a.tflops * 1e12), traffic / (a.tbytes * 1e12))
        row = self.rows.setdefault((kind, direction), [0, 0, 0, 0])
        for i, v in enumerate((flops, traffic, seconds, 1)):
            row[i] += times * v

    def show(self, title):
        a = self.a
        print("### %s" % title)
        print("| kernels | direction | launches | GFLOP/image | MB/image | us/image at most this fast | bound by |")
        print("| --- | --- | ---: | ---: | ---: | ---: | --- |")
        total = [0, 0, 0, 0]
        for (kind, direction), row in self.rows.items():
            total = [t + v for t, v in zip(total, row)]
            bound = "operations" if row[0] / (a.tflops * 1e12) > row[1] / (a.tbytes * 1e12) else "memory"
            print("| %s | %s | %d | %.2f | %.1f | %.1f | %s |" % (
                kind, direction, row[3], row[0] / 1e9, row[1] / 1e6, row[2] * 1e6, bound))
        print("| all | | %d | %.2f | %.1f | %.1f | %.0f images/s |" % (
            total[3], total[0] / 1e9, total[1] / 1e6, total[2] * 1e6, 1 / total[2]))
        print()


def sizes(conv):
    x, y = conv.h**2 * conv.c, conv.p**2 * conv.k
    return x, y, conv.k * conv.c * conv.r**2, 2 * y * conv.c * conv.r**2


def fix(a, fused_stem=True):
    """Clean, masked in, masked out: forward with bias, residual and ReLU in the convolution; two data gradients."""
    count = Count(a)
    for kind in KINDS:
        for conv in (c for c in resnet50() if c.kind == kind):
            x, y, w, flops = sizes(conv)
            residual = y if conv.residual else 0
            count.add(kind, "forward", 1, flops, x + y + residual, 0, w)
            count.add(kind, "forward", 2, flops, x + y + residual, y if conv.relu else 0, w)
    for kind in KINDS:
        for conv in (c for c in resnet50() if c.kind == kind):
            x, y, w, flops = sizes(conv)
            if kind == "stem 7x7" and fused_stem:
                # One transposed convolution of the difference, product with x and sums over 4x4 in it (win f).
                count.add(kind, "mask gradient", 1, flops, 2 * y + x + 56**2, y, w)
            else:
                count.add(kind, "data gradient", 2, flops, y + x + (x if conv.shares else 0), x, w)
    pool_in, pool_out = 112**2 * 64, 56**2 * 64
    count.add("max pool", "forward", 3, 0, pool_in + pool_out, pool_out * 4)
    count.add("max pool", "backward", 2, 0, pool_in + pool_out, pool_out * 4 + pool_in)
    return count


def ca(a, update):
    """Clean: forward, both gradients. Masked in, masked out: forward in training; with `update` both gradients (win e: the
    masked-in one serves masker and classifier), masked out one data gradient more for the entropy."""
    count = Count(a)
    data, weight = (4, 3) if update else (3, 1)
    for kind in KINDS:
        for conv in (c for c in resnet50() if c.kind == kind):
            x, y, w, flops = sizes(conv)
            count.add(kind, "forward", 3, flops, x + y, 0, w)
            # The clean images need no gradient of themselves: one stem data gradient less.
            count.add(kind, "data gradient", data - (1 + update if kind == "stem 7x7" else 0), flops,
                      y + x + (x if conv.shares else 0), 0, w)
            count.add(kind, "weight gradient", weight, flops, x + y, 0, w)
            # Statistics read y; then y is read, the residual too, and the result written with a bit for each ReLU.
            count.add("norm + residual + ReLU", "forward", 3, 0, 3 * y + (y if conv.residual else 0), y if conv.relu else 0)
            # Sums over dy and x, then dx from both.
            count.add("norm + residual + ReLU", "backward", data, 0, 5 * y, 2 * y if conv.relu else 0)
    pool_in, pool_out = 112**2 * 64, 56**2 * 64
    count.add("max pool", "forward", 3, 0, pool_in + pool_out, pool_out * 4)
    count.add("max pool", "backward", data, 0, pool_in + pool_out, pool_out * 4)
    weights = sum(sizes(c)[2] for c in resnet50()) + 2048 * 1000
    # SGD with momentum in float32: weight, velocity and gradient read, two written, and the 16-bit copy.
    count.add("SGD", "update", 1 + update, 0, 0, 0, (5 * 4 / a.element + (1 if a.element < 4 else 0)) * weights)
    return count


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--batch", type=int, default=72)
    p.add_argument("--element", type=int, default=2, help="bytes of an activation")
    p.add_argument("--tflops", type=float, default=790)
    p.add_argument("--tbytes", type=float, default=3.0)
    a = p.parse_args()
    fix(a).show("FIX step")
    both = []
    for update in (True, False):
        count = ca(a, update)
        count.show("CA step, classifier %s from the masked images" % ("also learns" if update else "does not learn"))
        both.append(sum(row[2] for row in count.rows.values()))
    print("CA, mean of both kinds of step: %.0f images/s" % (2 / sum(both)))


if __name__ == "__main__":
    main()

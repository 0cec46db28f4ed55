#!/usr/bin/env python3
"""What each rounding to 16 bit costs a FIX step: relative L2 error of the mask and of the mask's gradient.

    bench/pytorch/rounding.py [--arch resnet50] [--input_size 224] [--batch 8] [--type bf16]

The step of steps.py in float32, in which chosen values are rounded to the type and back: weights of the folded classifier,
results inside of its blocks, the sums that blocks hand on, images, gradients. So it says how far from float32 any program is
that keeps these values in 16 bit, whatever its arithmetic.
"""
import argparse
import types

import torch
import torch.nn.functional as F

import fixed
from networks import Masker, ResNet
from steps import Tuned

KINDS = ("weights", "inside", "sums", "images", "gradients")


class Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, to, gradient_to):
        ctx.gradient_to = gradient_to
        return x.to(to).float() if to else x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient.to(ctx.gradient_to).float() if ctx.gradient_to else gradient, None, None


class RoundedFix(Tuned):
    """The tuned FIX step in float32 with the `kinds` of values rounded to `type`."""

    def __init__(self, classifier, masker, type_, kinds):
        super().__init__("fix", classifier, masker, "fp32", torch.device("cpu"), "none", torch.channels_last)
        self.rounds_to, self.kinds = type_, kinds
        self.scale = 1024.0 if type_ is torch.float16 else 1.0  # of losses, as in fp16 everywhere

    def rounded(self, x, kind):
        return Rounded.apply(x, self.rounds_to if kind in self.kinds else None,
                             self.rounds_to if "gradients" in self.kinds else None)

    def prepare(self):
        super().prepare()
        network, rounded = self.classifier, self.rounded
        if "weights" in self.kinds:
            for module in network.modules():
                if hasattr(module, "weight"):
                    module.weight.data = module.weight.data.to(self.rounds_to).float()

        def block(self, x):
            # Where sums are not rounded, what a block's convolutions read is.
            y = read = x if "sums" in kinds else rounded(x, "inside")
            for i in range(1, self.count + 1):
                y = getattr(self, "conv%d" % i)(y)
                if i < self.count:
                    y = rounded(F.relu(y), "inside")
            shortcut = x if self.downsample is None else rounded(self.downsample(read), "inside")
            return rounded(F.relu(y + shortcut), "sums")

        def whole(self, x):
            x = F.max_pool2d(rounded(F.relu(self.conv1(rounded(x, "images"))), "inside"), 3, 2, 1)
            taps = [x]
            for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
                x = stage(x)
                taps.append(x)
            return self.fc(x.mean((2, 3))), taps

        kinds = self.kinds
        for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
            for one in stage:
                one.forward = types.MethodType(block, one)
        network.forward = types.MethodType(whole, network)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--arch", default="resnet50", choices=list(ResNet.DEPTHS))
    p.add_argument("--width", type=float, default=1.0)
    p.add_argument("--input_size", type=int, default=224)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--type", default="bf16", choices=["bf16", "fp16"])
    a = p.parse_args()
    torch.set_flush_denormal(True)
    type_ = {"bf16": torch.bfloat16, "fp16": torch.float16}[a.type]

    def step(kinds):
        classifier = ResNet(a.arch, width=a.width)
        masker = Masker(classifier.tap_widths, [3, 4])
        fixed.fill_state(classifier, "resnet.")
        fixed.fill_state(masker, "masker.")
        x = fixed.images(0, a.batch, a.input_size).contiguous(memory_format=torch.channels_last)
        labels = fixed.labels(classifier, x)
        steps = RoundedFix(classifier, masker, type_, kinds)
        steps.prepare()
        steps.step(x, labels, False)
        # At the masker's resolution: a quarter of the image's sides.
        return steps.mask, 16 * F.avg_pool2d(steps.gradient, 4)

    exact = step(())
    print("| rounded to %s | mask gradient | mask |\n| --- | ---: | ---: |" % a.type)
    sums_kept = tuple(k for k in KINDS if k != "sums")
    for name, kinds in [(k, (k,)) for k in KINDS] + [("all", KINDS), ("all but sums", sums_kept)]:
        mask, gradient = (((found - true).norm() / true.norm()).item() for found, true in zip(step(kinds), exact))
        print("| %s | %.1e | %.1e |" % (name, gradient, mask), flush=True)


main()

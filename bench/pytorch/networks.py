"""Our own ResNet and masker in PyTorch, with the names of the published weights."""
import torch
import torch.nn as nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, width_in, planes, stride, bottleneck):
        super().__init__()
        out = planes * (4 if bottleneck else 1)
        sizes = [(1, 1), (3, stride), (1, 1)] if bottleneck else [(3, stride), (3, 1)]
        widths = [width_in] + [planes] * (len(sizes) - 1) + [out]
        self.count = len(sizes)
        for i, (size, step) in enumerate(sizes):
            conv = nn.Conv2d(widths[i], widths[i + 1], size, step, size // 2, bias=False)
            setattr(self, "conv%d" % (i + 1), conv)
            setattr(self, "bn%d" % (i + 1), nn.BatchNorm2d(widths[i + 1]))
        self.downsample = None
        if stride != 1 or width_in != out:
            self.downsample = nn.Sequential(nn.Conv2d(width_in, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, "bn%d" % i)(getattr(self, "conv%d" % i)(y))
            if i < self.count:
                y = F.relu(y, inplace=True)
        y += x if self.downsample is None else self.downsample(x)
        return F.relu(y, inplace=True)


class ResNet(nn.Module):
    DEPTHS = {"resnet18": ([2, 2, 2, 2], False), "resnet34": ([3, 4, 6, 3], False), "resnet50": ([3, 4, 6, 3], True),
              "resnet101": ([3, 4, 23, 3], True), "resnet152": ([3, 8, 36, 3], True)}

    def __init__(self, arch="resnet50", classes=1000, width=1.0):
        super().__init__()
        blocks, bottleneck = self.DEPTHS[arch]
        channels = int(64 * width)
        self.tap_widths = [channels]
        self.conv1, self.bn1 = nn.Conv2d(3, channels, 7, 2, 3, bias=False), nn.BatchNorm2d(channels)
        for stage, count in enumerate(blocks):
            planes, layers = int(64 * width) << stage, []
            for i in range(count):
                layers.append(Block(channels, planes, 2 if stage and not i else 1, bottleneck))
                channels = planes * (4 if bottleneck else 1)
            setattr(self, "layer%d" % (stage + 1), nn.Sequential(*layers))
            self.tap_widths.append(channels)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        """Logits and the five taps."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1)
        taps = [x]
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            taps.append(x)
        return self.fc(x.mean((2, 3))), taps


class Masker(nn.Module):
    def __init__(self, tap_widths, use_layers):
        super().__init__()
        self.use_layers = use_layers
        total = 0
        for layer in use_layers:
            if layer > 0 or len(use_layers) == 1:
                reduce = nn.Sequential(nn.Conv2d(tap_widths[layer], 64, 1, bias=False), nn.BatchNorm2d(64))
                setattr(self, "conv1x1_%d" % layer, reduce)
            total += 64 if layer > 0 or len(use_layers) == 1 else tap_widths[layer]
        self.final = nn.Sequential(nn.Conv2d(total, 1, 3, 1, 1))

    def forward(self, taps, size):
        maps = []
        for layer in self.use_layers:
            x = taps[layer].float()
            if hasattr(self, "conv1x1_%d" % layer):
                x = F.relu(getattr(self, "conv1x1_%d" % layer)(x), inplace=True)
            if x.shape[-2:] != taps[0].shape[-2:]:
                x = F.interpolate(x, taps[0].shape[-2:], mode="bilinear", align_corners=False)
            maps.append(x)
        return F.interpolate(torch.sigmoid(self.final(torch.cat(maps, 1)).float()), size, mode="nearest")


def folded(classifier):
    """The classifier in evaluation mode with its norms in the convolutions, as convolutions with bias, frozen."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval
    import copy
    out = copy.deepcopy(classifier).eval()
    out.conv1, out.bn1 = fuse_conv_bn_eval(out.conv1, out.bn1), nn.Identity()
    for stage in (out.layer1, out.layer2, out.layer3, out.layer4):
        for block in stage:
            for i in range(1, block.count + 1):
                conv, norm = "conv%d" % i, "bn%d" % i
                setattr(block, conv, fuse_conv_bn_eval(getattr(block, conv), getattr(block, norm)))
                setattr(block, norm, nn.Identity())
            if block.downsample is not None:
                block.downsample = nn.Sequential(fuse_conv_bn_eval(*block.downsample), nn.Identity())
    return out.requires_grad_(False)

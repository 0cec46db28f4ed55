#!/usr/bin/env python3
"""Training crops per second of PyTorch's DataLoader, measured as `penumbra bench loader` measures ours.

    loader.py FOLDER_OR_JSON [--workers 2] [--batch 32] [--steps 3] [--limit 0] [--input_size 224]

Each image is read and decoded by Pillow, cropped at random (area 8 to 100%, aspect 3/4 to 4/3), resized by Pillow's bilinear
filter, flipped with probability 1/2, and normalised. With torchvision by its transforms, otherwise the same by Pillow and
torch alone. Prints one JSON line.
"""
import argparse
import json
import math
import os
import random
import resource
import statistics
import sys
import time

import PIL
import torch
from PIL import Image

try:
    import torchvision
    from torchvision import transforms
except ImportError:
    torchvision = None

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


class Plain:
    """What torchvision's RandomResizedCrop, RandomHorizontalFlip, ToTensor and Normalize do together."""

    def __init__(self, size):
        self.size = size
        self.factor = torch.tensor([1 / (255 * s) for s in STD]).view(3, 1, 1)
        self.offset = torch.tensor([m / s for m, s in zip(MEAN, STD)]).view(3, 1, 1)

    def box(self, width, height):
        for _ in range(10):
            area = width * height * random.uniform(0.08, 1)
            ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                x, y = random.randint(0, width - w), random.randint(0, height - h)
                return x, y, x + w, y + h
        side = min(width, height)
        return (width - side) // 2, (height - side) // 2, (width + side) // 2, (height + side) // 2

    def __call__(self, image):
        image = image.crop(self.box(*image.size)).resize((self.size, self.size), Image.BILINEAR)
        if random.random() < 0.5:
            image = image.transpose(Image.FLIP_LEFT_RIGHT)
        pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(self.size, self.size, 3)
        return pixels.permute(2, 0, 1).contiguous().float().mul_(self.factor).sub_(self.offset)


class Images(torch.utils.data.Dataset):
    def __init__(self, paths, size):
        self.paths = paths
        self.transform = Plain(size) if torchvision is None else transforms.Compose([
            transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip(), transforms.ToTensor(),
            transforms.Normalize(MEAN, STD)])

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        with open(self.paths[i], "rb") as f:
            return self.transform(Image.open(f).convert("RGB")), 0


def find(source):
    if os.path.isdir(source):
        return sorted(os.path.join(folder, name) for folder, _, names in os.walk(source) for name in names
                      if name.lower().endswith(ENDINGS))
    with open(source) as f:
        whole = json.load(f)
    root = whole.get("root", "")
    return [os.path.join(root, path) for path, _ in whole["samples"]]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("path")
    p.add_argument("--workers", type=int, default=2)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--steps", type=int, default=3, help="timed passes, after one that warms up")
    p.add_argument("--limit", type=int, default=0)
    p.add_argument("--input_size", type=int, default=224)
    a = p.parse_args()
    torch.set_num_threads(1)  # of the main process, which only receives
    paths = find(a.path)
    if a.limit:
        paths = paths[:a.limit]
    if not paths:
        sys.exit("error: no images in " + a.path)
    loader = torch.utils.data.DataLoader(Images(paths, a.input_size), batch_size=a.batch, shuffle=True,
                                         num_workers=a.workers, persistent_workers=a.workers > 0)
    passes = []
    for i in range(1 + a.steps):
        start, count = time.perf_counter(), 0
        for images, _ in loader:
            count += len(images)
        if i:
            passes.append(count / (time.perf_counter() - start))
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * 1024
    print(json.dumps({
        "bench": "pytorch loader", "path": a.path, "images": len(paths), "workers": a.workers, "batch": a.batch,
        "input_size": a.input_size, "images_per_s": statistics.median(passes), "min_images_per_s": min(passes),
        "max_images_per_s": max(passes), "passes": passes, "peak_bytes": peak,
        "transforms": "torchvision" if torchvision else "Pillow alone",
        "versions": {"torch": torch.__version__, "torchvision": torchvision and torchvision.__version__,
                     "Pillow": PIL.__version__, "python": sys.version.split()[0]},
    }))


if __name__ == "__main__":
    main()

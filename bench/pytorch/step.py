#!/usr/bin/env python3
"""One training step or inference in PyTorch, measured as `penumbra bench step` measures ours. Needs torch alone.

    step.py --mode fix|ca|infer --variant eager|tuned [--precision fp32] [--device cpu] [--batch 8] [--steps 3] ...

Prints one JSON line. --gradient FILE: also the mask of the first step and the gradient of the loss with respect to it, at the
resolution that the masker draws it at, as safetensors. The first step of every program sees the same weights and images (fixed.py).
"""
import argparse
import json
import os
import statistics
import struct
import sys
import time

import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fixed  # noqa: E402
from networks import Masker, ResNet  # noqa: E402
from steps import Eager, Tuned  # noqa: E402

INPUT_SETS = 3  # batches of images that take turns


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--mode", choices=["fix", "ca", "infer"], default="fix")
    p.add_argument("--variant", choices=["eager", "tuned"], default="tuned")
    p.add_argument("--precision", choices=["fp32", "tf32", "bf16", "fp16"], default="fp32")
    p.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    p.add_argument("--compiled", choices=["auto", "none", "compile", "script"], default="auto",
                   help="tuned: how the classifier is compiled; auto: what was fastest (see bench/README.md)")
    p.add_argument("--layout", choices=["last", "first"], default="last", help="tuned: channels last or first")
    p.add_argument("--arch", choices=sorted(ResNet.DEPTHS), default="resnet50")
    p.add_argument("--width", type=float, default=1)
    p.add_argument("--classes", type=int, default=1000)
    p.add_argument("--input_size", type=int, default=224)
    p.add_argument("--masker_use_layers", default="3,4")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--steps", type=int, default=3)
    p.add_argument("--warmup", type=int, default=1)
    p.add_argument("--threads", type=int, default=0, help="0: one for each core")
    p.add_argument("--gradient", metavar="FILE")
    return p.parse_args()


def as_drawn(size, mask, gradient):
    """A mask and its gradient at the image's size (n,1,S,S) as the masker drew them, where nearest repeats each value s x s times:
    the gradient with respect to such a value is the sum over its pixels."""
    first_tap = -(-size // 4)
    s = size // first_tap if size % first_tap == 0 else 1
    blocks = gradient.double().reshape(len(gradient), 1, size // s, s, size // s, s)
    return {"mask": mask[:, :, ::s, ::s], "gradient": blocks.sum((3, 5))}


def write_safetensors(path, tensors):
    header, blob = {}, b""
    for name, t in tensors.items():
        raw = t.detach().float().cpu().contiguous().reshape(-1).tolist()
        data = struct.pack("<%df" % len(raw), *raw)
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [len(blob), len(blob) + len(data)]}
        blob += data
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + blob)


def peak_resident(reset=False):
    """Largest resident memory since the last reset (or the start, where the system knows no reset)."""
    if reset:
        try:
            with open("/proc/self/clear_refs", "w") as f:
                f.write("5")
        except OSError:
            pass
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM:"))


def choose_compiled(a):
    if a.compiled != "auto" or a.variant != "tuned":
        return a.compiled if a.compiled != "auto" else "none"
    if a.mode == "ca" and a.device == "cpu":
        return "none"  # a compiled backward computes gradients that this step does not ask for
    if hasattr(torch, "compile"):
        return "compile"
    return "script" if a.mode == "infer" and a.precision == "fp32" and a.device == "cpu" else "none"


def main():
    a = arguments()
    # Denormals cost a processor dearly. The reference does not flush them; ours and the tuned program do.
    torch.set_flush_denormal(a.variant == "tuned")
    # Debian's PyTorch starts with one thread.
    torch.set_num_threads(a.threads or len(os.sched_getaffinity(0)))
    device = torch.device(a.device)
    cuda = device.type == "cuda"
    if cuda and not torch.cuda.is_available():
        sys.exit("error: this PyTorch sees no GPU")
    def allow_tf32(allowed):
        for library in (torch.backends.cudnn, torch.backends.cuda.matmul):
            library.allow_tf32 = allowed

    if cuda:
        torch.backends.cudnn.benchmark = True
        allow_tf32(False)  # labels are the same in all programs
    start_bytes = peak_resident()

    classifier, use = ResNet(a.arch, a.classes, a.width), [int(t) for t in a.masker_use_layers.split(",")]
    masker = Masker(classifier.tap_widths, use)
    fixed.fill_state(classifier, "resnet.")
    fixed.fill_state(masker, "masker.")
    classifier.to(device)
    masker.to(device)
    layout = torch.channels_last if a.variant == "tuned" and a.layout == "last" else torch.contiguous_format
    batches = []
    for i in range(INPUT_SETS):
        x = fixed.images(i, a.batch, a.input_size).to(device)
        batches.append((x.contiguous(memory_format=layout), fixed.labels(classifier, x)))
    if cuda:
        allow_tf32(a.precision != "fp32")
    compiled = choose_compiled(a)
    if a.variant == "eager":
        steps = Eager(a.mode, classifier, masker, a.precision, device)
    else:
        steps = Tuned(a.mode, classifier, masker, a.precision, device, compiled, layout)
    steps.prepare()
    peak_resident(reset=True)
    if cuda:
        torch.cuda.reset_peak_memory_stats()

    kinds = {"fix": ["step"], "ca": ["update", "skip"], "infer": ["forward"]}[a.mode]
    seconds, turn = {k: [] for k in kinds}, 0
    log = None
    for round_ in range(-a.warmup, a.steps):
        for kind in kinds:
            x, labels = batches[turn % INPUT_SETS]
            if cuda:
                torch.cuda.synchronize()
            start = time.perf_counter()
            if a.mode == "infer":
                mask, logits = steps.infer(x)
            else:
                log = steps.step(x, labels, kind == "update")
            if cuda:
                torch.cuda.synchronize()
            if round_ >= 0:
                seconds[kind].append(time.perf_counter() - start)
            if turn == 0 and a.gradient:
                found = {"mask": mask, "logits": logits} if a.mode == "infer" else \
                    as_drawn(a.input_size, steps.mask, steps.gradient)
                write_safetensors(a.gradient, found)
            turn += 1
    medians = [statistics.median(s) for s in seconds.values()]
    median = sum(medians) / len(medians)
    peak = torch.cuda.max_memory_allocated() if cuda else peak_resident()
    print(json.dumps({
        "bench": "pytorch step", "mode": a.mode, "variant": a.variant, "precision": a.precision, "arch": a.arch,
        "width": a.width, "input_size": a.input_size, "batch": a.batch, "steps": a.steps, "warmup": a.warmup,
        "compiled": compiled, "layout": "channels last" if layout is torch.channels_last else "channels first",
        "images_per_s": a.batch / median, "median_s": median,
        "kinds": {k: {"median_s": statistics.median(s), "min_s": min(s), "max_s": max(s), "seconds": s}
                  for k, s in seconds.items()},
        "peak_bytes": peak, "start_bytes": start_bytes, "labels": [int(l) for l in batches[0][1]], "log": log,
        "device": torch.cuda.get_device_name() if cuda else "cpu", "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "python": sys.version.split()[0],
                     "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version() if cuda else None},
    }))


main()

#!/usr/bin/env python3
"""Speed of `penumbra wsol` against a loop over images and thresholds that calls OpenCV for each, as wsolevaluation does.

    /usr/bin/python3 bench/python/wsol_loop.py [--maps 100] [--thresholds 1000] [--metric v1] [--only-ours]

Needs numpy and OpenCV for Python (Debian: python3-opencv). Writes random maps and their metadata to a temporary folder, has
both programs judge the same files, prints both times and their ratio, and fails if the results differ.
"""
import argparse
import json
import os
import resource
import subprocess
import tempfile
import time

import cv2
import numpy as np

SIDE = 224


def random_map(rng):
    """A soft mask: a few blobs, an edge, and a little noise, from 0 to 1."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    out = 0.05 * rng.random((SIDE, SIDE))
    for _ in range(rng.integers(2, 7)):
        cy, cx, sy, sx = rng.uniform(0, SIDE, 2).tolist() + rng.uniform(8, 60, 2).tolist()
        out += rng.uniform(0.3, 1) * np.exp(-((y - cy) / sy) ** 2 - ((x - cx) / sx) ** 2)
    coarse = rng.random((14, 14)).astype(np.float32)
    out += 0.4 * cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    out -= out.min()
    return (out / out.max()).astype(np.float32)


def write_data(folder, count, rng):
    """Maps, and metadata in the layout of wsolevaluation."""
    maps, meta = os.path.join(folder, "maps"), os.path.join(folder, "metadata", "ILSVRC", "val")
    os.makedirs(os.path.join(maps, "val"))
    os.makedirs(meta)
    ids, truth = [], {}
    with open(meta + "/image_ids.txt", "w") as f, open(meta + "/class_labels.txt", "w") as g, \
            open(meta + "/image_sizes.txt", "w") as h, open(meta + "/localization.txt", "w") as k:
        for i in range(count):
            name = f"val/{i:05d}.JPEG"
            ids.append(name)
            np.save(os.path.join(maps, name + ".npy"), random_map(rng))
            width, height = rng.integers(200, 600, 2).tolist()
            f.write(f"{name}\n")
            g.write(f"{name},{i % 1000}\n")
            h.write(f"{name},{width},{height}\n")
            truth[name] = []
            for _ in range(rng.integers(1, 3)):
                x0, y0 = int(rng.integers(0, width // 2)), int(rng.integers(0, height // 2))
                x1, y1 = int(rng.integers(x0, width)), int(rng.integers(y0, height))
                k.write(f"{name},{x0},{y0},{x1},{y1}\n")
                truth[name].append([int(x0 * SIDE / width), int(y0 * SIDE / height),
                                    int(x1 * SIDE / width), int(y1 * SIDE / height)])
    return maps, os.path.join(folder, "metadata"), ids, truth


def iou_with_best(boxes, truth):
    """For each box its best IoU with any true one; corners are inclusive."""
    a, b = boxes[:, None, :], truth[None, :, :]
    w = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0]) + 1
    h = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1]) + 1
    common = np.maximum(w, 0) * np.maximum(h, 0)
    area = lambda v: (v[..., 2] - v[..., 0] + 1) * (v[..., 3] - v[..., 1] + 1)  # noqa: E731
    return (common / (area(a) + area(b) - common)).max(axis=1)


def judge(maps, ids, truth, thresholds, metric):
    """The loop: one call of findContours for each map and threshold."""
    levels = [50] if metric == "v1" else [30, 50, 70]
    correct = {level: np.zeros(len(thresholds)) for level in levels}
    for name in ids:
        score = np.load(os.path.join(maps, name + ".npy")).astype(np.float64)
        if np.isnan(score).any() or (score > 1).any() or (score < 0).any():
            raise ValueError(name)
        image = np.expand_dims((score * 255).astype(np.uint8), 2)
        boxes, counts = [], []
        for t in thresholds:
            _, binary = cv2.threshold(image, int(t * np.max(image)), 255, cv2.THRESH_BINARY)
            contours = cv2.findContours(binary, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[-2]
            if len(contours) == 0:
                boxes.append([0, 0, 0, 0])
                counts.append(1)
                continue
            if metric == "v1":
                contours = [max(contours, key=cv2.contourArea)]
            for contour in contours:
                x, y, w, h = cv2.boundingRect(contour)
                boxes.append([x, y, min(x + w, SIDE - 1), min(y + h, SIDE - 1)])
            counts.append(len(contours))
        iou = iou_with_best(np.array(boxes), np.array(truth[name]))
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        best = np.maximum.reduceat(iou, starts)
        for level in levels:
            correct[level] += best >= level / 100
    return float(np.mean([(c * 100.0 / len(ids)).max() for c in correct.values()]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=int, default=100)
    parser.add_argument("--thresholds", type=int, default=1000)
    parser.add_argument("--metric", choices=["v1", "v2"], default="v1")
    parser.add_argument("--penumbra", default="build/penumbra")
    parser.add_argument("--only-ours", action="store_true")
    args = parser.parse_args()
    interval = 1 / args.thresholds
    with tempfile.TemporaryDirectory() as folder:
        maps, metadata, ids, truth = write_data(folder, args.maps, np.random.default_rng(1))
        command = [args.penumbra, "wsol", "--maps", maps, "--dataset", "ILSVRC", "--dataset_split", "val",
                   "--metadata_path", metadata, "--cam_curve_interval", repr(interval), "--bootstrap", "0", "-q",
                   "--output_base_path", os.path.join(folder, "out.json")]
        if args.metric == "v2":
            command.append("--box_v2_metric")
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_WAIT_POLICY": "passive"})
        ours = time.perf_counter() - start
        with open(os.path.join(folder, "out.json")) as f:
            result = json.load(f)["performance"]
        load = os.getloadavg()[0]
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        ours_cpu = used.ru_utime + used.ru_stime
        print(f"{args.maps} maps of {SIDE}x{SIDE}, {args.thresholds} thresholds, {args.metric}; load average {load:.1f}")
        print(f"penumbra wsol (whole process, {len(os.sched_getaffinity(0))} cores): {ours:.2f} s, of CPU time "
              f"{ours_cpu:.2f} s; result {result:.4f}")
        if args.only_ours:
            return
        start, start_cpu = time.perf_counter(), time.process_time()
        peer = judge(maps, ids, truth, list(np.arange(0, 1, interval)), args.metric)
        loop, loop_cpu = time.perf_counter() - start, time.process_time() - start_cpu
        print(f"loop with OpenCV {cv2.__version__}: {loop:.2f} s, of CPU time {loop_cpu:.2f} s; result {peer:.4f}")
        print(f"ratio: {loop / ours:.1f}, of CPU times {loop_cpu / ours_cpu:.1f}")
        if abs(peer - result) > 1e-9:
            raise SystemExit("the results differ")


if __name__ == "__main__":
    main()

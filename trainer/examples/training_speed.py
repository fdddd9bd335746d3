"""Training steps of this trainer and of PyTorch on the same processor, in turn: images a second and per CPU second, and their ratios.

    cargo build --release -p trainer --example training_speed
    python trainer/examples/training_speed.py [--rounds 5] [--batch 16] [--steps 6] [--threads 2]

Needs PyTorch. Both train all weights of EfficientNet-Lite0 with three classes on one batch, forward, backward and AdamW,
the first step not counted. Close everything else: what counts is the ratio, round by round.
"""

import argparse
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", pathlib.Path(__file__).parents[2] / "target"))
STAGES = [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320)]  # repeats, kernel, stride, expansion, channels


def network():
    from torch import nn

    class Conv(nn.Sequential):
        """Convolution with TensorFlow's "same" padding, batch norm, ReLU6."""

        def __init__(self, inputs, outputs, kernel, stride, size, groups=1, act=True):
            pad = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            layers = [nn.ZeroPad2d((pad // 2, pad - pad // 2) * 2)] if pad % 2 else []
            padding = 0 if pad % 2 else pad // 2
            layers.append(nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False))
            layers.append(nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01))
            super().__init__(*layers, *([nn.ReLU6(inplace=True)] if act else []))

    class Block(nn.Module):
        def __init__(self, inputs, outputs, kernel, stride, expansion, size):
            super().__init__()
            wide = inputs * expansion
            layers = [Conv(inputs, wide, 1, 1, size)] if expansion > 1 else []
            layers.append(Conv(wide, wide, kernel, stride, size, groups=wide))
            layers.append(Conv(wide, outputs, 1, 1, size, act=False))
            self.body, self.residual = nn.Sequential(*layers), stride == 1 and inputs == outputs

        def forward(self, x):
            return self.body(x) + x if self.residual else self.body(x)

    layers, size, inputs = [Conv(3, 32, 3, 2, 224)], 112, 32
    for repeats, kernel, stride, expansion, outputs in STAGES:
        for repeat in range(repeats):
            step = stride if repeat == 0 else 1
            layers.append(Block(inputs, outputs, kernel, step, expansion, size))
            size, inputs = math.ceil(size / step), outputs
    return nn.Sequential(*layers, Conv(inputs, 1280, 1, 1, size), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 3))


def pytorch(batch, steps, threads):
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    images, labels = torch.rand(batch, 3, 224, 224), torch.arange(batch) % 3
    for name in ("frozen", "batch"):
        model = network().train(name == "batch")
        optimizer, total, busy = torch.optim.AdamW(model.parameters(), 1e-4), 0.0, 0.0
        for step in range(steps + 1):
            start, before = time.perf_counter(), time.process_time()
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
            if step:
                total, busy = total + time.perf_counter() - start, busy + time.process_time() - before
        speed, per_cpu = batch * steps / total, batch * steps / busy
        print(f"training, {name} statistics, batch {batch}: {speed:.1f} images/s, {per_cpu:.2f} images per CPU second")


def speeds(command, environment):
    """By kind of statistics: images a second, and images per CPU second."""
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    lines = re.findall(r"training, (\w+) statistics.*?: ([\d.]+) images/s, ([\d.]+|NaN) images per CPU", done.stdout)
    return {name: (float(speed), float(per_cpu)) for name, speed, per_cpu in lines}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--batch", type=int, default=16)
    arguments.add_argument("--steps", type=int, default=6)
    arguments.add_argument("--threads", type=int, default=os.cpu_count())
    arguments.add_argument("--pytorch", action="store_true", help="PyTorch's part only, in this process")
    given = arguments.parse_args()
    if given.pytorch:
        return pytorch(given.batch, given.steps, given.threads)
    sizes = [str(given.batch), str(given.steps)]
    ours = [TARGET / "release" / "examples" / "training_speed", *sizes]
    theirs = [sys.executable, __file__, "--pytorch", "--batch", sizes[0], "--steps", sizes[1], "--threads", str(given.threads)]
    # Threads that wait do not spin: it would count as work.
    environment = os.environ | dict.fromkeys(("RAYON_NUM_THREADS", "OMP_NUM_THREADS"), str(given.threads))
    environment["OMP_WAIT_POLICY"] = "passive"
    ratios = {}
    for index in range(given.rounds):
        mine, other = speeds(ours, environment), speeds(theirs, environment)
        for name in mine:
            for what, a, b in zip(("images/s", "images per CPU second"), mine[name], other[name]):
                ratios.setdefault((name, what), []).append(a / b)
                print(f"round {index + 1}, {name} statistics: {a:.2f} and PyTorch {b:.2f} {what}", flush=True)
    for (name, what), values in ratios.items():
        spread = f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
        print(f"{name} statistics: {spread} times PyTorch's {what}, {given.threads} threads, {given.rounds} rounds")


if __name__ == "__main__":
    main()

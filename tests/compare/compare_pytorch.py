#!/usr/bin/env python3
"""Tokens a second of `sprat train` and of PyTorch: the 1m preset, the same batch, AdamW, interleaved in one run.

Both train on random tokens, with a loss at every position. PyTorch runs in a process of its own for each round, as
Sprat does, and is given its best: scaled_dot_product_attention, fused AdamW, and its intra-op threads.

    cargo build --release -p sprat-train --example speed
    python3 tests/compare/compare_pytorch.py [--rounds 5] [--seconds 10] [--threads 2]

needs torch. The last line is the ratio of the medians.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
VOCABULARY, WIDTH, LAYERS, HEADS, KV_HEADS, FEED_FORWARD = 1024, 128, 5, 4, 2, 256


def torch_speed(threads, sequences, length, seconds):
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    head = WIDTH // HEADS

    def matrix(rows, inputs):
        return torch.nn.Parameter(torch.randn(rows, inputs) * (0.6 / inputs**0.5))

    def norm():
        return torch.nn.Parameter(torch.ones(WIDTH))

    embedding = torch.nn.Parameter(torch.randn(VOCABULARY, WIDTH) * 0.02)
    layers = [
        (
            norm(),
            matrix((HEADS + 2 * KV_HEADS) * head, WIDTH),
            matrix(WIDTH, WIDTH),
            norm(),
            matrix(2 * FEED_FORWARD, WIDTH),
            matrix(WIDTH, FEED_FORWARD),
        )
        for _ in range(LAYERS)
    ]
    last_norm = norm()
    parameters = [embedding, last_norm, *(parameter for layer in layers for parameter in layer)]
    assert sum(parameter.numel() for parameter in parameters) == 869_760
    frequencies = 10_000.0 ** (-torch.arange(0, head, 2) / head)
    angles = torch.arange(length)[:, None] * frequencies
    angles = torch.cat([angles, angles], 1)
    cosines, sines = angles.cos(), angles.sin()

    def rotated(x):
        first, second = x.chunk(2, -1)
        return x * cosines + torch.cat([-second, first], -1) * sines

    def loss(tokens):
        x = F.embedding(tokens[:, :-1], embedding)
        count = len(tokens)
        for attention_norm, qkv, output, feed_forward_norm, gate_up, down in layers:
            mixed = F.linear(F.rms_norm(x, (WIDTH,), attention_norm, 1e-5), qkv)
            q, k, v = mixed.split([HEADS * head, KV_HEADS * head, KV_HEADS * head], -1)
            q = rotated(q.view(count, length, HEADS, head).transpose(1, 2))
            k = rotated(k.view(count, length, KV_HEADS, head).transpose(1, 2))
            v = v.view(count, length, KV_HEADS, head).transpose(1, 2)
            k, v = (part.repeat_interleave(HEADS // KV_HEADS, 1) for part in (k, v))
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + F.linear(mixed.transpose(1, 2).reshape(count, length, WIDTH), output)
            gate, up = F.linear(F.rms_norm(x, (WIDTH,), feed_forward_norm, 1e-5), gate_up).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, down)
        logits = F.linear(F.rms_norm(x, (WIDTH,), last_norm, 1e-5), embedding)
        return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())

    optimizer = torch.optim.AdamW(parameters, lr=0.004, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    tokens = torch.randint(VOCABULARY, (sequences, length + 1))

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss(tokens).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    for _ in range(2):
        step()
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        step()
        steps += 1
    return steps * sequences * length / (time.perf_counter() - start)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=10)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--sequences", type=int, default=64)
    options.add_argument("--length", type=int, default=96)
    options.add_argument("--torch-only", action="store_true", help="one round of PyTorch, for this script itself")
    options = options.parse_args()
    shape = [options.threads, options.sequences, options.length, options.seconds]
    if options.torch_only:
        print(torch_speed(*shape))
        return
    sprat = [str(ROOT / "target/release/examples/speed"), *map(str, shape)]
    torch = [sys.executable, __file__, "--torch-only"]
    for name in ("threads", "sequences", "length", "seconds"):
        torch += [f"--{name}", str(getattr(options, name))]
    speeds = {"sprat": [], "torch": []}
    for _ in range(options.rounds):
        for name, command in (("sprat", sprat), ("torch", torch)):
            speeds[name].append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
            print(f"{name} {speeds[name][-1]:.0f} tokens/s", flush=True)
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    print({name: f"{median:.0f} ({min(speeds[name]):.0f} to {max(speeds[name]):.0f})" for name, median in medians.items()})
    print(f"ratio {medians['sprat'] / medians['torch']:.2f}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Sprat beside llama.cpp on this machine: the same shapes, random weights, the same threads.

Both tools run one process at a time, in turn, several times over, so that whatever else the machine does meets both.
A measurement is llama-bench's: the speed of reading a prompt (pp) and of writing tokens (tg) from an empty context.
Sprat's own time for a written token includes choosing it (greedily); llama.cpp's does not, as in llama-bench.

    python3 -m venv venv && . venv/bin/activate
    CMAKE_ARGS=-DGGML_NATIVE=ON pip install --no-binary llama-cpp-python llama-cpp-python gguf numpy
    cargo build --release -p sprat-tools
    python tests/compare/compare_llama_cpp.py --json out.json
"""

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# hidden, layers, feed-forward, vocabulary, heads, heads of keys and values
SHAPES = {
    "stories15m": (288, 6, 768, 32000, 6, 6),
    "42m": (512, 8, 1376, 32000, 8, 8),
    "135m": (576, 30, 1536, 49152, 9, 3),
}
CONTEXT = 2048


def write_gguf(path, shape):
    """A Llama of this shape with random Q8_0 weights and no tokenizer; the embedding is the head."""
    import gguf
    import numpy as np

    hidden, layers, ffn, vocab, heads, kv_heads = shape
    random = np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_dimension_count(hidden // heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocab)
    writer.add_tokenizer_model("none")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)

    def matrix(name, rows, cols):
        weights = random.standard_normal((rows, cols), dtype=np.float32) / np.sqrt(np.float32(cols))
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quants.quantize(weights, kind), raw_dtype=kind)

    def norm(name):
        writer.add_tensor(name, np.ones(hidden, dtype=np.float32))

    kv = hidden // heads * kv_heads
    matrix("token_embd.weight", vocab, hidden)
    for layer in range(layers):
        at = f"blk.{layer}."
        norm(at + "attn_norm.weight")
        matrix(at + "attn_q.weight", hidden, hidden)
        matrix(at + "attn_k.weight", kv, hidden)
        matrix(at + "attn_v.weight", kv, hidden)
        matrix(at + "attn_output.weight", hidden, hidden)
        norm(at + "ffn_norm.weight")
        matrix(at + "ffn_gate.weight", ffn, hidden)
        matrix(at + "ffn_up.weight", ffn, hidden)
        matrix(at + "ffn_down.weight", hidden, ffn)
    norm("output_norm.weight")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def measure_llama(path, threads, tokens, repeats, mmap):
    """Runs in a process of its own: prints the median speeds as JSON."""
    import llama_cpp as llama

    # What llama.cpp says of itself is not what is measured.
    quiet = llama.llama_log_callback(lambda level, text, data: None)
    llama.llama_log_set(quiet, None)
    llama.llama_backend_init()
    model_params = llama.llama_model_default_params()
    model_params.use_mmap = mmap
    model = llama.llama_model_load_from_file(str(path).encode(), model_params)
    params = llama.llama_context_default_params()
    params.n_ctx = 2 * tokens
    params.n_threads = params.n_threads_batch = threads
    context = llama.llama_init_from_model(model, params)
    if not context:
        raise SystemExit(f"llama.cpp cannot use {path}")
    memory = llama.llama_get_memory(context)
    vocab = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
    text = (ctypes.c_int32 * tokens)(*[(7919 * i + 13) % vocab for i in range(tokens)])

    def feed(first, count):
        at = ctypes.cast(ctypes.byref(text, 4 * first), ctypes.POINTER(ctypes.c_int32))
        if llama.llama_decode(context, llama.llama_batch_get_one(at, count)) != 0:
            raise SystemExit("llama.cpp failed to decode")
        llama.llama_synchronize(context)

    def prefill():
        feed(0, tokens)

    def decode():
        for index in range(tokens):
            feed(index, 1)

    speeds = {}
    for name, work in (("prefill", prefill), ("decode", decode)):
        rates = []
        for repeat in range(repeats + 1):
            llama.llama_memory_clear(memory, True)
            begun = time.perf_counter()
            work()
            if repeat:  # the first warms up
                rates.append(tokens / (time.perf_counter() - begun))
        speeds[name] = statistics.median(rates)
    print(json.dumps(speeds))


def run_llama(path, threads, tokens, repeats, mmap):
    command = [sys.executable, __file__, "--worker", path, "--threads", str(threads)]
    command += ["--tokens", str(tokens), "--repeats", str(repeats)] + ([] if mmap else ["--no-mmap"])
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def run_sprat(program, name, threads, tokens, repeats, group):
    command = [program, "bench", "--shape", name, "--threads", str(threads), "--json"]
    command += ["--prompt-tokens", str(tokens), "--answer-tokens", str(tokens)]
    command += ["--rounds", str(repeats)] + (["--group", str(group)] if group else [])
    bench = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    runs = {run["phase"]: run for run in bench["runs"]}
    return {
        "prefill": runs["prefill"]["tokens_per_second"]["median"],
        "decode": runs["decode"]["tokens_per_second"]["median"],
        "memory": bench["memory"][0]["bytes_per_second"],
        "share_of_memory": runs["decode"]["share_of_memory"],
        "kernels": runs["decode"]["kernels"],
    }


def compare(options, directory):
    results = []
    for name in options.shapes:
        path = os.path.join(directory, f"{name}.gguf")
        write_gguf(path, SHAPES[name])
        for threads in options.threads:
            rounds = {"sprat": [], "llama.cpp": [], "llama.cpp, no mmap": []}
            for _ in range(options.rounds):
                sprat = run_sprat(options.sprat, name, threads, options.tokens, options.repeats, options.group)
                rounds["sprat"].append(sprat)
                for tool, mmap in (("llama.cpp", True), ("llama.cpp, no mmap", False)):
                    rounds[tool].append(run_llama(path, threads, options.tokens, options.repeats, mmap))
            median = lambda tool, key: statistics.median(run[key] for run in rounds[tool])
            best = lambda key: max(median(tool, key) for tool in rounds if tool != "sprat")
            result = {"shape": name, "threads": threads, "rounds": rounds}
            for phase in ("prefill", "decode"):
                ours, theirs = median("sprat", phase), best(phase)
                result[phase] = {"sprat": ours, "llama.cpp": theirs, "ratio": ours / theirs}
            result["share_of_memory"] = median("sprat", "share_of_memory")
            results.append(result)
            print(row(result), flush=True)
    return results


HEAD = (
    "| shape | threads | prefill: Sprat | llama.cpp | ratio | decode: Sprat | llama.cpp | ratio | of memory |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def row(result):
    cells = [result["shape"], result["threads"]]
    for phase in ("prefill", "decode"):
        numbers = result[phase]
        cells += [f"{numbers['sprat']:.0f}", f"{numbers['llama.cpp']:.0f}", f"{numbers['ratio']:.2f}"]
    cells.append(f"{100 * result['share_of_memory']:.0f} %")
    return "| " + " | ".join(map(str, cells)) + " |"


def main():
    root = Path(__file__).resolve().parents[2]
    target = Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sprat", default=str(target / "release/sprat"), help="the program to compare")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--tokens", type=int, default=64, help="of the prompt, and written")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each tool, in turn")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each process")
    parser.add_argument("--group", type=int, help="inputs that share a scale in Sprat's weights")
    parser.add_argument("--json", help="also write everything that was measured")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--no-mmap", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return measure_llama(
            options.worker, options.threads[0], options.tokens, options.repeats, not options.no_mmap
        )
    if not Path(options.sprat).exists():
        raise SystemExit(f"{options.sprat} is not there: build it with cargo build --release -p sprat-tools")
    print(HEAD, flush=True)
    with tempfile.TemporaryDirectory() as directory:
        results = compare(options, directory)
    if options.json:
        part = Path(options.json + ".part")
        part.write_text(json.dumps({"tokens": options.tokens, "results": results}, indent=2) + "\n")
        part.replace(options.json)


if __name__ == "__main__":
    main()

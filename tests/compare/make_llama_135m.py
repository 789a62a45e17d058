"""Writes a random Llama of 135 million parameters as a Hugging Face directory of bf16 shards, to convert and measure.

    python3 -m pip install numpy safetensors
    python3 tests/compare/make_llama_135m.py target/llama-135m [--untied]
    /usr/bin/time -v target/release/sprat pack target/llama-135m -o target/llama-135m.sprat

The shape is SmolLM-135M's: width 576, 30 layers, 9 heads of which 3 for keys and values, feed-forward 1536, vocabulary
49152, tied embeddings. With --untied the head is a matrix of its own. The weights are random, from a fixed seed.
"""

import argparse
import json
from pathlib import Path

import numpy as np

HIDDEN, LAYERS, HEADS, KV_HEADS, FFN, VOCAB = 576, 30, 9, 3, 1536, 49152
SHARD_BYTES = 100 << 20


def bf16(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Random numbers whose upper halves are kept."""
    if len(shape) == 1:
        values = 1 + random.normal(0, 0.1, shape)
    else:
        values = random.normal(0, 0.6 / np.sqrt(shape[-1]), shape)
    return (values.astype("<f4").view("<u4") >> 16).astype("<u2")


def write_shard(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """A safetensors file; written out because NumPy has no bf16."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "BF16", "shape": values.shape, "data_offsets": [at, at + values.nbytes]}
        at += values.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for values in tensors.values():
            values.tofile(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--untied", action="store_true")
    arguments = parser.parse_args()
    head = HIDDEN // HEADS
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCAB, "hidden_size": HIDDEN,
        "intermediate_size": FFN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": not arguments.untied,
        "torch_dtype": "bfloat16", "bos_token_id": 0, "eos_token_id": 0,
    }
    shapes = {"model.embed_tokens.weight": (VOCAB, HIDDEN)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        shapes |= {
            at + "input_layernorm.weight": (HIDDEN,),
            at + "self_attn.q_proj.weight": (HIDDEN, HIDDEN),
            at + "self_attn.k_proj.weight": (KV_HEADS * head, HIDDEN),
            at + "self_attn.v_proj.weight": (KV_HEADS * head, HIDDEN),
            at + "self_attn.o_proj.weight": (HIDDEN, HIDDEN),
            at + "post_attention_layernorm.weight": (HIDDEN,),
            at + "mlp.gate_proj.weight": (FFN, HIDDEN),
            at + "mlp.up_proj.weight": (FFN, HIDDEN),
            at + "mlp.down_proj.weight": (HIDDEN, FFN),
        }
    shapes["model.norm.weight"] = (HIDDEN,)
    if arguments.untied:
        shapes["lm_head.weight"] = (VOCAB, HIDDEN)

    shards, size = [[]], 0
    for name, shape in shapes.items():
        size += 2 * int(np.prod(shape))
        if size > SHARD_BYTES and shards[-1]:
            shards.append([])
            size = 2 * int(np.prod(shape))
        shards[-1].append(name)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    random, weight_map, total = np.random.default_rng(135), {}, 0
    for index, names in enumerate(shards, 1):
        file = f"model-{index:05}-of-{len(shards):05}.safetensors"
        tensors = {name: bf16(random, shapes[name]) for name in names}
        write_shard(arguments.folder / file, tensors)
        weight_map |= dict.fromkeys(names, file)
        total += sum(values.nbytes for values in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (arguments.folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))
    (arguments.folder / "config.json").write_text(json.dumps(config, indent=1))
    print(f"{arguments.folder}: {total} bytes of weights in {len(shards)} shards")


main()

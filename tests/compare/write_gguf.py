"""Writes a Hugging Face directory as a GGUF file, with the gguf package and the conventions of llama.cpp's conversion.

    python3 -m pip install gguf numpy safetensors
    python3 tests/compare/write_gguf.py MODEL_DIRECTORY OUT.gguf [--type F32|F16|BF16|Q8_0|Q4_0|...]

A test of tests/e2e converts every family of its reference models that the package knows an architecture for, and
compares the logits. Families without one (OPT, Galactica, GPT-Neo, BERT, RWKV 4, ...) are refused with exit code 3, and
so are settings that a GGUF file has no key for. Vocabularies are left out: the test feeds token ids.
"""

import argparse
import json
import math
import re
import sys
from pathlib import Path

import gguf
import numpy as np
from safetensors import safe_open

LLAMA_NAMES = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.dense": "attn_output",
    "self_attn.qkv_proj": "attn_qkv", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.gate_up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down",
}
OUTPUT_NORM_NAMES = LLAMA_NAMES | {
    "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
FALCON_NAMES = {
    "input_layernorm": "attn_norm", "ln_mlp": "attn_norm", "ln_attn": "attn_norm_2",
    "post_attention_layernorm": "ffn_norm", "self_attention.query_key_value": "attn_qkv",
    "self_attention.dense": "attn_output", "mlp.dense_h_to_4h": "ffn_up", "mlp.dense_4h_to_h": "ffn_down",
}
GPT2_NAMES = {
    "ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
}
GPTJ_NAMES = {
    "ln_1": "attn_norm", "attn.q_proj": "attn_q", "attn.k_proj": "attn_k", "attn.v_proj": "attn_v",
    "attn.out_proj": "attn_output", "mlp.fc_in": "ffn_up", "mlp.fc_out": "ffn_down",
}
NEOX_NAMES = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "attention.query_key_value": "attn_qkv", "attention.dense": "attn_output", "mlp.dense_h_to_4h": "ffn_up",
    "mlp.dense_4h_to_h": "ffn_down",
}
MPT_NAMES = {
    "norm_1": "attn_norm", "attn.Wqkv": "attn_qkv", "attn.out_proj": "attn_output", "norm_2": "ffn_norm",
    "ffn.up_proj": "ffn_up", "ffn.down_proj": "ffn_down",
}
OUTSIDE = {
    "embed_tokens": "token_embd", "wte": "token_embd", "word_embeddings": "token_embd", "embed_in": "token_embd",
    "wpe": "position_embd", "word_embeddings_layernorm": "token_embd_norm", "norm": "output_norm",
    "ln_f": "output_norm", "norm_f": "output_norm", "final_layernorm": "output_norm",
    "final_layer_norm": "output_norm", "lm_head": "output", "embed_out": "output",
}
# model_type: architecture, names within a layer.
FAMILIES = {
    "llama": ("llama", LLAMA_NAMES), "mistral": ("llama", LLAMA_NAMES), "smollm3": ("smollm3", LLAMA_NAMES),
    "qwen2": ("qwen2", LLAMA_NAMES), "qwen3": ("qwen3", LLAMA_NAMES), "phi3": ("phi3", LLAMA_NAMES),
    "phi": ("phi2", LLAMA_NAMES), "stablelm": ("stablelm", LLAMA_NAMES), "gemma": ("gemma", LLAMA_NAMES),
    "gemma3_text": ("gemma3", OUTPUT_NORM_NAMES), "olmo2": ("olmo2", OUTPUT_NORM_NAMES),
    "gpt2": ("gpt2", GPT2_NAMES), "gptj": ("gptj", GPTJ_NAMES), "gpt_neox": ("gptneox", NEOX_NAMES),
    "bloom": ("bloom", FALCON_NAMES), "falcon": ("falcon", FALCON_NAMES), "mpt": ("mpt", MPT_NAMES),
}
# Families whose rows of queries and keys llama.cpp's conversion reorders.
REORDERED = {"llama", "mistral", "smollm3"}


def refuse(why: str) -> None:
    print(f"refused: {why}")
    sys.exit(3)


def first(config: dict, *keys: str, default=None):
    for key in keys:
        if config.get(key) is not None:
            return config[key]
    return default


class Model:
    """A directory: its settings and tensors."""

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        self.family = self.config["model_type"]
        if self.family not in FAMILIES:
            refuse(f"the gguf package has no architecture for {self.family}")
        self.architecture, self.names = FAMILIES[self.family]
        self.tensors = {}
        for path in sorted(folder.glob("model*.safetensors")):
            with safe_open(path, framework="numpy") as file:
                self.tensors |= {name: file.get_tensor(name) for name in file.keys()}
        config = self.config
        self.hidden = first(config, "hidden_size", "n_embd", "d_model", "n_embed")
        self.heads = first(config, "num_attention_heads", "n_head", "n_heads")
        self.layers = first(config, "num_hidden_layers", "n_layer", "n_layers")
        self.kv_heads = first(config, "num_key_value_heads", default=self.heads)
        if self.family == "falcon":
            one = config.get("multi_query") and not config.get("new_decoder_architecture")
            self.kv_heads = 1 if one else config.get("num_kv_heads") or self.heads
        self.head_dim = config.get("head_dim") or self.hidden // self.heads
        self.rope = first(config, "rope_parameters", "rope_scaling", default={})
        by_kind = self.rope.get("full_attention")
        self.rope = by_kind or self.rope

    def ffn(self) -> int:
        """Rows of the first matrix of the feed-forward block that is not fused."""
        ends = ("down_proj.weight", "dense_4h_to_h.weight", "fc2.weight", "fc_out.weight")
        for name, values in self.tensors.items():
            if name.endswith(ends):
                return values.shape[1]
            if name.endswith("mlp.c_proj.weight"):
                return values.shape[0]
        raise ValueError("no feed-forward block")

    def write_settings(self, writer: gguf.GGUFWriter) -> None:
        config, rope = self.config, self.rope
        writer.add_context_length(first(config, "max_position_embeddings", "n_positions", "max_seq_len",
                                        "seq_length", default=2048))
        writer.add_embedding_length(self.hidden)
        writer.add_block_count(self.layers)
        writer.add_feed_forward_length(self.ffn())
        writer.add_head_count(self.heads)
        if self.architecture not in ("gpt2", "gptj", "gptneox", "mpt"):
            writer.add_head_count_kv(self.kv_heads)
        rms = config.get("rms_norm_eps")
        if rms is not None:
            writer.add_layer_norm_rms_eps(rms)
        else:
            writer.add_layer_norm_eps(first(config, "layer_norm_epsilon", "layer_norm_eps", default=1e-5))
        if config.get("head_dim") is not None:
            writer.add_key_length(self.head_dim)
            writer.add_value_length(self.head_dim)

        if self.architecture == "gptj":
            writer.add_rope_dimension_count(config["rotary_dim"])
        elif self.architecture not in ("gpt2", "bloom", "mpt"):
            part = first(rope, "partial_rotary_factor",
                         default=first(config, "partial_rotary_factor", "rotary_pct", default=1.0))
            writer.add_rope_dimension_count(int(part * self.head_dim))
            theta = first(rope, "rope_theta", default=first(config, "rope_theta", "rotary_emb_base", default=1e4))
            writer.add_rope_freq_base(theta)
            kind = first(rope, "rope_type", "type", default="default")
            if kind == "linear":
                writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
                writer.add_rope_scaling_factor(rope["factor"])
            elif kind == "llama3":
                writer.add_tensor("rope_freqs.weight", self.frequency_factors(theta))
            elif kind != "default":
                refuse(f"rotary embedding of kind {kind}")
        if self.architecture in ("gptneox", "stablelm"):
            writer.add_parallel_residual(config.get("use_parallel_residual", True))
        if self.architecture == "mpt":
            attention = config["attn_config"]
            if attention.get("softmax_scale") is not None:
                refuse("attn_config.softmax_scale has no key")
            writer.add_max_alibi_bias(attention["alibi_bias_max"] if attention["alibi"] else 0.0)
        if self.family in ("mistral", "phi3") and config.get("sliding_window") is not None:
            writer.add_sliding_window(config["sliding_window"])
        if self.family == "smollm3" and config.get("no_rope_layer_interval", 4) != 4:
            refuse("layers without rotary embedding other than every fourth have no key")
        if self.family == "gemma3_text":
            writer.add_sliding_window(config["sliding_window"])
            writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config["layer_types"]])
            writer.add_attention_scale(config["query_pre_attn_scalar"] ** -0.5)

    def frequency_factors(self, theta: float) -> np.ndarray:
        """What llama.cpp divides frequencies by for Llama 3's scaling."""
        rope, dims = self.rope, self.head_dim
        low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
        original = rope["original_max_position_embeddings"]
        factors = []
        for index in range(0, dims, 2):
            wavelength = 2 * math.pi * theta ** (index / dims)
            if wavelength < original / high:
                factors.append(1.0)
            elif wavelength > original / low:
                factors.append(factor)
            else:
                smooth = (original / wavelength - low) / (high - low)
                factors.append(1 / ((1 - smooth) / factor + smooth))
        return np.array(factors, dtype=np.float32)

    def name(self, name: str) -> str:
        """llama.cpp's name of a tensor."""
        stem, end = name.rsplit(".", 1)
        layer = re.search(r"(?:layers|h|blocks)\.(\d+)\.(.*)$", stem)
        if layer:
            return f"blk.{layer[1]}.{self.names[layer[2]]}.{end}"
        return f"{OUTSIDE[stem.rsplit('.', 1)[-1]]}.{end}"

    def arrange(self, name: str, values: np.ndarray) -> np.ndarray:
        """What llama.cpp's conversion does to a tensor."""
        if self.family in REORDERED and re.search(r"attn_[qk]\.", name):
            heads = self.heads if "attn_q." in name else self.kv_heads
            half = values.shape[0] // heads // 2
            return values.reshape(heads, 2, half, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)
        if self.architecture == "gpt2" and re.search(r"blk\.\d+\.(attn_qkv|attn_output|ffn_up|ffn_down)\.weight", name):
            return values.T
        if "attn_qkv" in name and self.architecture in ("gptneox", "bloom", "falcon"):
            # Head by head, or group of heads by group, queries, keys and values take turns.
            groups = self.kv_heads
            queries = self.heads // groups
            parts = values.reshape(groups, queries + 2, self.head_dim, *values.shape[1:])
            parts = [parts[:, :-2], parts[:, -2], parts[:, -1]]
            return np.concatenate([part.reshape(-1, *values.shape[1:]) for part in parts])
        if self.architecture.startswith("gemma") and name.endswith("norm.weight"):
            return values + 1
        return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--type", default="F32", help="type of the matrices whose rows are whole blocks")
    arguments = parser.parse_args()
    model = Model(arguments.folder)
    kind = gguf.GGMLQuantizationType[arguments.type]
    block = gguf.GGML_QUANT_SIZES[kind][0]
    writer = gguf.GGUFWriter(arguments.output, model.architecture)
    writer.add_name(arguments.folder.name)
    model.write_settings(writer)
    for name, values in model.tensors.items():
        name = model.name(name)
        values = np.ascontiguousarray(model.arrange(name, values.astype(np.float32)), dtype=np.float32)
        if kind != gguf.GGMLQuantizationType.F32 and values.ndim == 2 and values.shape[1] % block == 0:
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main()

"""Makes the fixtures of ggml's block formats: blocks of random bytes, and what the gguf package decodes them to.

    python3 -m pip install gguf numpy
    python3 tests/compare/ggml_blocks.py tests/fixtures/ggml

Each file holds records of one block as stored, then its weights as f32, little endian. The scales of a block are
half-precision numbers of moderate size, as random bits would often be infinite or no number; all else is random.
"""

import sys
from pathlib import Path

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

# Where the half-precision numbers of a block lie.
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}
BLOCKS = 4


def main(folder: Path) -> None:
    random = np.random.default_rng(2718)
    for name, scales in SCALES.items():
        kind = GGMLQuantizationType[name]
        _, size = GGML_QUANT_SIZES[kind]
        blocks = random.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
        for at in scales:
            values = random.normal(0, 0.01, BLOCKS).astype("<f2")
            # One block with a scale among the subnormal numbers.
            values[-1] = 3e-6
            blocks[:, at : at + 2] = values.view(np.uint8).reshape(BLOCKS, 2)
        expected = dequantize(blocks, kind).astype("<f4")
        records = np.concatenate([blocks, expected.view(np.uint8)], axis=1)
        (folder / f"{name}.bin").write_bytes(records.tobytes())


main(Path(sys.argv[1]))

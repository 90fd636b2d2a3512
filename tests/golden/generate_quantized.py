"""What the `gguf` package makes of given floats in the quantised types that merit writes: gguf/quantized.json.

    python3 -m venv golden-env && golden-env/bin/pip install gguf numpy
    golden-env/bin/python tests/golden/generate_quantized.py
"""
import json
import pathlib

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.quants import quantize

FOLDER = pathlib.Path(__file__).resolve().parent / "gguf"
i = np.arange(8192)
values = (((i * 7919) % 10007 - 5003) / 977.0 * (i // 32 % 7) * 0.3).astype(np.float32) + np.float32(0)  # some blocks are zeros


def fnv1a(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


result = {}
for kind in (Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1):
    data = quantize(values.reshape(32, 256), kind).tobytes()
    result[kind.name] = {"bytes": len(data), "second_block": data[len(data) // 256 : len(data) // 256 * 2].hex(), "fnv1a": fnv1a(data)}
(FOLDER / "quantized.json").write_text(json.dumps(result, indent=1) + "\n")

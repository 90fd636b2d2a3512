#!/usr/bin/env python3
"""Writes gguf/types.gguf, a file with a few random blocks of every element type, and gguf/types.json, what the
`gguf` package makes of them: the bits of the first numbers of each tensor and a hash of all of them.

    python3 -m venv golden-env
    golden-env/bin/pip install gguf numpy
    golden-env/bin/python tests/golden/generate_gguf.py [BLOCKS [FOLDER]]

More BLOCKS than the 2 that are committed, into another FOLDER, check more.
"""
import json
import pathlib
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize

blocks = int(sys.argv[1]) if len(sys.argv) > 1 else 2
folder = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else pathlib.Path(__file__).resolve().parent / "gguf"
folder.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(20261128)

# Where the float16 scales of a block lie; everything else of a block is integers, of which any bytes will do.
SCALES = {
    Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0], Type.Q2_K: [80, 82],
    Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208], Type.IQ4_NL: [0],
    Type.IQ4_XS: [0], Type.TQ2_0: [64], Type.MXFP4: [],
}


def finite_halves(count):
    """Any finite float16, zeros of both signs and subnormal numbers among them."""
    bits = rng.integers(0, 1 << 16, count, dtype=np.uint16)
    bits[(bits & 0x7C00) == 0x7C00] &= np.uint16(0x83FF)
    return bits


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


writer = gguf.GGUFWriter(folder / "types.gguf", "test")
for name, value in (("uint8", 200), ("int8", -100), ("uint16", 60000), ("int16", -30000), ("uint32", 4000000000),
                    ("int32", -2000000000), ("float32", 0.1), ("uint64", 1 << 63), ("int64", -(1 << 62)),
                    ("float64", 0.1), ("bool", True), ("string", "Grüße")):
    getattr(writer, f"add_{name}")(f"a.{name}", value)
writer.add_array("array.int", [1, -2, 3])
writer.add_array("array.float", [0.5, -0.25])
writer.add_array("array.bool", [True, False, True])
writer.add_array("array.string", ["a", "", "Ġb"])
writer.add_array("array.array", [[1, 2], [3]])

expected = {}
for kind in (Type.F32, Type.F16, Type.BF16, *SCALES):
    per_block, size = gguf.GGML_QUANT_SIZES[kind]
    rows, across = (2, blocks // 2) if kind in SCALES else (2, 5)
    if kind == Type.F32:
        data = rng.normal(0, 1, (rows, across)).astype(np.float32)
    elif kind == Type.F16:
        data = finite_halves(rows * across).view(np.float16).reshape(rows, across)
    elif kind == Type.BF16:
        data = rng.normal(0, 1, rows * across).astype(np.float32).view(np.uint32) >> 16
        data = data.astype(np.uint16).view(np.uint8).reshape(rows, 2 * across)
    else:
        data = rng.integers(0, 256, (rows * across, size), dtype=np.uint8)
        for at in SCALES[kind]:
            data[:, at:at + 2] = finite_halves(rows * across).view(np.uint8).reshape(-1, 2)
        if kind == Type.MXFP4:
            data[:, 0] = rng.integers(0, 250, rows * across)
            data[0, 0], data[1, 0] = 0, 1
        data = data.reshape(rows, across * size)
    values = dequantize(data, kind).astype(np.float32)
    assert np.isfinite(values).all() and values.shape == (rows, across * per_block), kind
    writer.add_tensor(kind.name, data, raw_dtype=kind)
    bits = values.reshape(-1).view(np.uint32)
    expected[kind.name] = {"shape": list(values.shape), "first": [int(b) for b in bits[:4]],
                           "hash": f"{fnv1a(bits.tobytes()):016x}"}
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in expected.items())
(folder / "types.json").write_text("{\n" + lines + "\n}\n")

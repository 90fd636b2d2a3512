"""How far given floats are from what ggml's own quantiser makes of them in the K types, dequantised by the `gguf` package:
gguf/k_errors.json, the root of the mean of squares, by which tests see that merit's quantiser is no worse.

    python3 -m venv golden-env && golden-env/bin/pip install gguf numpy llama-cpp-python
    golden-env/bin/python tests/golden/generate_k_errors.py
"""
import ctypes
import json
import pathlib

import gguf
import llama_cpp
import numpy as np
from gguf import GGMLQuantizationType as Type

i = np.arange(1 << 16, dtype=np.uint64)
parts = [((i * 7919 + k * 104729) * 2654435761 % (1 << 32) >> 16).astype(np.float64) / 65536 for k in range(4)]
values = ((sum(parts) - 2) * 0.05).astype(np.float32).reshape(-1, 256)  # about a bell

folder = pathlib.Path(llama_cpp.__file__).parent / "lib"
base = ctypes.CDLL(str(folder / "libggml-base.so"))
base.ggml_quantize_chunk.restype = ctypes.c_size_t
base.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
                                     ctypes.c_int64, ctypes.c_void_p]
errors = {}
for kind in (Type.Q2_K, Type.Q3_K, Type.Q4_K, Type.Q5_K, Type.Q6_K):
    rows, columns = values.shape
    out = np.zeros((rows, columns // 256 * gguf.GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
    base.ggml_quantize_chunk(int(kind), values.ctypes.data, out.ctypes.data, 0, rows, columns, None)
    error = gguf.quants.dequantize(out, kind).astype(np.float64) - values
    errors[kind.name] = float(np.sqrt((error**2).mean()))
target = pathlib.Path(__file__).resolve().parent / "gguf" / "k_errors.json"
target.write_text(json.dumps(errors, indent=1) + "\n")

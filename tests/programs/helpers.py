"""What the tests of the programs share: running them, checking what they say, and tiny sets of records."""
import json
import os
import random
import subprocess

BIN = os.path.abspath(os.environ.get("MERIT_EXAMPLES_BIN", "build/release/examples"))
# Threads that wait asleep: tests run side by side. The results do not depend on threads.
ENVIRONMENT = dict(os.environ, OMP_WAIT_POLICY="passive")
SMALL = ["--backbone", "llama", "--hidden-size", "16", "--layers", "1", "--heads", "2", "--lr", "0.003"]
SKIPPED = "skipped"  # what a test returns that has said why it cannot run here


# All tests on another backend than the usual, where the programs have it.
BACKEND = ["--backend", os.environ["MERIT_TEST_BACKEND"]] if "MERIT_TEST_BACKEND" in os.environ else []


def program(name):
    return os.path.join(BIN, name)


def run(name, *arguments, stdin=None):
    if name in ("merit_train", "merit_score", "merit_evaluate", "merit_search") and "--backend" not in arguments:
        arguments = [*arguments, *BACKEND]
    return subprocess.run([program(name), *map(str, arguments)], input=stdin, capture_output=True, text=True,
                          env=ENVIRONMENT, timeout=120)


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def succeeds(name, *arguments, stdin=None):
    result = run(name, *arguments, stdin=stdin)
    check(result.returncode == 0, f"{name} {arguments}: exit code {result.returncode}: {result.stderr}")
    return result.stdout


def fails(code, parts, name, *arguments, stdin=None):
    """One line on stderr that names what is wrong, nothing that looks like a crash."""
    result = run(name, *arguments, stdin=stdin)
    shown = f"{name} {arguments}: exit code {result.returncode}: {result.stderr}"
    check(result.returncode == code, shown)
    lines = result.stderr.strip().split("\n")
    check(len(lines) == 1 and lines[0].startswith(name + ": "), "expected one line: " + shown)
    for part in parts:
        check(part in lines[0], f"expected '{part}' in: {shown}")
    return result


def content(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


def write_pairs(path, count, seed):
    """The chosen side goes up the alphabet, the rejected one has two neighbours exchanged."""
    rng = random.Random(seed)
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(count):
            letters = [rng.choice("abcdefgh") for _ in range(rng.randrange(4, 8))]
            good = sorted(letters)
            bad = list(good)
            while bad == good:
                i = rng.randrange(len(good) - 1)
                j = (i + 1 + rng.randrange(len(good) - 1)) % len(good)
                bad[i], bad[j] = bad[j], bad[i]
                if len(set(good)) == 1:
                    bad[0] = "z"
            record = {"prompt": "sort " + "".join(letters) + "\n", "chosen": "".join(good), "rejected": "".join(bad),
                      "source": rng.choice(["one", "two"])}
            file.write(json.dumps(record) + "\n")


def whole(directory):
    """A saved model or run: every file is there and whole."""
    for name in ("merit.json", "config.json"):
        json.loads(content(directory, name))
    names = ["model.safetensors"]
    if os.path.exists(os.path.join(directory, "training.json")):
        json.loads(content(directory, "training.json"))
        names.append("optimizer.safetensors")
    for name in names:
        data = content(directory, name)
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8:8 + length])
        end = max(tensor["data_offsets"][1] for key, tensor in header.items() if key != "__metadata__")
        check(len(data) == 8 + length + end, f"{directory}/{name} is not whole")


def write_lines(path, records):
    with open(path, "w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record) + "\n")


def solutions(count, seed, wrong=0.5):
    """Problems with a solution each: letters are taken away from the left, one a step. A wrong step names a letter that
    is not the next one; after it the labels are None."""
    rng = random.Random(seed)
    for number in range(count):
        letters = [rng.choice("abcd") for _ in range(rng.randrange(2, 5))]
        prompt = "take " + "".join(letters) + "\n"
        error = rng.randrange(len(letters)) if rng.random() < wrong else None
        steps = [letter if i != error else "z" for i, letter in enumerate(letters)]
        labels = [None if error is not None and i > error else -1 if i == error else 1 for i in range(len(letters))]
        yield {"prompt": prompt, "completions": steps, "labels": labels, "number": number}

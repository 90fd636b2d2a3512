"""merit_train over ranks: mpirun with any number of processes learns the same, ends as one, and goes on as another."""
import functools
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time

from helpers import BACKEND, ENVIRONMENT, SKIPPED, check, content, program, run, whole

KILLS = 2
RUN = ["--train", "train.jsonl", "--backbone", "llama", "--hidden-size", "16", "--layers", "1", "--heads", "2", "--threads", "1",
       "--batch-size", "12", "--micro-batch-tokens", "64", *BACKEND]
MPI = dict(ENVIRONMENT, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")


def command(ranks, *arguments, differing=""):
    """mpirun of so many; `differing` is a shell's words, in which $R is the rank."""
    words = " ".join(f"'{word}'" for word in [program("merit_train"), *RUN, *arguments])
    return ["mpirun", "--oversubscribe", "-n", str(ranks), "sh", "-c", f"R=$OMPI_COMM_WORLD_RANK; exec {words} {differing}"]


def start(ranks, *arguments, differing=""):
    return subprocess.run(command(ranks, *arguments, differing=differing), capture_output=True, text=True, env=MPI, timeout=120)


@functools.cache
def absent():
    """Whether there is no MPI here, or none in the programs; said once."""
    if shutil.which("mpirun") is None:
        print("SKIPPED: programs: mpirun is not installed")
        return True
    if "was built without MPI" in start(2, "--help").stderr:
        print("SKIPPED: programs: merit_train was built without MPI")
        return True
    return False


def losses(path):
    events = [json.loads(line) for line in open(path, encoding="utf-8")]
    return [event["loss"] for event in events if event["event"] == "step"]


def steps_told(path):
    return content(path).count(b'"event":"step"') if os.path.exists(path) else 0


def ours(stderr):
    """What merit_train has said, beside mpirun's own words and the progress."""
    return [line for line in stderr.splitlines() if line.startswith("merit_train: ")]


def test_any_number_of_ranks_learns_the_same():
    if absent():
        return SKIPPED
    evaluated = ["--eval", "eval.jsonl", "--evaluate-every", "20", "--keep-best"]
    for tree, counts in (([], [2]), (["--fixed-tree"], [3, 4])):
        alone = run("merit_train", *RUN, *tree, *evaluated, "--out", "ranks1", "--overwrite", "--json")
        check(alone.returncode == 0, alone.stderr)
        for ranks in counts:
            result = start(ranks, *tree, *evaluated, "--out", "ranks2", "--overwrite", "--json")
            check(result.returncode == 0, result.stderr)
            whole("ranks2")
            found, expected = losses("ranks2.metrics.jsonl"), losses("ranks1.metrics.jsonl")
            check(len(found) == len(expected) == 25, f"{len(found)} {len(expected)}")
            furthest = max(abs(a - b) for a, b in zip(found, expected))
            check(furthest == 0 if tree else furthest < 1e-6, f"losses of {ranks} ranks {tree}: {furthest}")
            check(content("ranks2", "model.safetensors") == content("ranks1", "model.safetensors") if tree else True, "other bytes")
            one, other = json.loads(alone.stdout), json.loads(result.stdout)
            check(one["tokens"] == other["tokens"] and one["step"] == other["step"], f"{one} {other}")
            if tree:
                check(one["evaluation"] == other["evaluation"], "another evaluation")
    check(not os.path.exists("ranks2.best"), "the best model was left")


def test_killed_ranks_end_all_and_go_on_as_others():
    if absent():
        return SKIPPED
    run("merit_train", *RUN, "--fixed-tree", "--epochs", "3", "--out", "ranks1", "--overwrite")
    shutil.rmtree("ranks2", ignore_errors=True)
    pathlib.Path("ranks2.metrics.jsonl").unlink(missing_ok=True)
    rng = random.Random(7)
    kills = 0
    wanted = int(os.environ.get("MERIT_TEST_KILLS", KILLS))
    limit = time.monotonic() + 60 + 10 * wanted
    while True:
        check(time.monotonic() < limit, f"it does not come to an end: {kills} kills")
        begun = os.path.exists("ranks2")
        ranks = rng.randrange(2, 5)
        process = subprocess.Popen(command(ranks, "--fixed-tree", "--epochs", "3", "--checkpoint-every", "3", "--out", "ranks2",
                                           *(["--resume"] if begun else [])), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env=MPI)
        if kills < wanted:
            # After so many of the 75 steps, however fast they are.
            after = rng.randrange(60 * kills // wanted, 60 * (kills + 1) // wanted)
            while process.poll() is None and steps_told("ranks2.metrics.jsonl") < after:
                time.sleep(0.005)
            children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True,
                                      check=False).stdout.split()
            if children:
                os.kill(int(rng.choice(children)), signal.SIGKILL)
                kills += 1
        _, stderr = process.communicate(timeout=60)
        left = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=False).stdout
        check(not left.strip(), f"ranks are left: {left}")
        if os.path.exists("ranks2"):
            whole("ranks2")
        if process.returncode == 0:
            break
        check(kills <= wanted and process.returncode == 137, f"{process.returncode}: {stderr}")
    check(kills > 0, "it ended before anybody was killed")
    check(content("ranks2", "model.safetensors") == content("ranks1", "model.safetensors"), "other bytes than of one that was not killed")


def test_interrupted_ranks_save():
    if absent():
        return SKIPPED
    for told in (signal.SIGINT, signal.SIGUSR1):  # the second one mpirun passes on and does not kill
        shutil.rmtree("ranks2", ignore_errors=True)
        pathlib.Path("ranks2.metrics.jsonl").unlink(missing_ok=True)
        process = subprocess.Popen(command(2, "--fixed-tree", "--epochs", "200", "--out", "ranks2"), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, env=MPI)
        while not (os.path.exists("ranks2.metrics.jsonl") and len(content("ranks2.metrics.jsonl").splitlines()) > 3):
            check(process.poll() is None, "it ended by itself")
            time.sleep(0.05)
        process.send_signal(told)
        _, stderr = process.communicate(timeout=60)
        check(any("the run is saved in ranks2" in line for line in ours(stderr)), f"{told}: {stderr}")
        check("mpirun -n 2 " in stderr and "--resume" in stderr, stderr)
        whole("ranks2")
    shutil.rmtree("ranks2")


def test_ranks_that_differ_end_at_the_start():
    if absent():
        return SKIPPED
    shutil.rmtree("ranks2", ignore_errors=True)
    with open("shorter.jsonl", "wb") as file:
        file.write(b"".join(content("train.jsonl").splitlines(keepends=True)[:-1]))
    for differing, expected in (("--learning-rate 0.00$((R + 1))", ["learning_rate is 0.002 and not 0.001"]),
                                ("--seed $R", ["seed is 1 and not 0"]),
                                ("--clip $((R + 1))", ["max_gradient_norm is 2"]),
                                ("--train $(test $R = 0 && echo train.jsonl || echo shorter.jsonl)",
                                 ["examples is 599 and not 600", "fingerprint is "]),
                                ("--checkpoint-every $R", ["checkpoint_every is 1 and not 0"]),
                                ("--max-tokens $((R + 500))", ["the card's max_tokens is 501 and not 500"]),
                                ("--eval $(test $R = 0 && echo eval.jsonl || echo shorter.jsonl)",
                                 ["the held-out examples' hash is "])):
        result = start(2, "--out", "ranks2", differing=differing)
        said = ours(result.stderr)
        check(result.returncode == 2 and len(said) == 1, f"{differing}: {result.returncode} {result.stderr}")
        check(said[0].startswith("merit_train: ranks: rank 1 differs from rank 0: "), said[0])
        for part in expected:
            check(part in said[0], f"expected '{part}' in {said[0]}")
        check(not os.path.exists("ranks2"), f"{differing} left something")


def test_what_ends_one_rank_is_said_once():
    if absent():
        return SKIPPED
    for differing, code, expected in (("--no-such-option", 2, "merit_train: there is no option --no-such-option"),
                                      ("--train $(test $R = 1 && echo none.jsonl || echo train.jsonl)", 1, "merit_train: rank 1: none.jsonl"),
                                      ("--train $(test $R = 0 && echo train.jsonl || echo none.jsonl)", 1,
                                       "merit_train: rank 1: none.jsonl"),
                                      ("--train none.jsonl", 1, "merit_train: none.jsonl")):
        result = start(3, "--out", "ranks2", differing=differing)
        said = ours(result.stderr)
        check(result.returncode == code and len(said) == 1 and said[0].startswith(expected),
              f"{differing}: {result.returncode} {result.stderr}")
    shown = start(2, "--help")
    check(shown.returncode == 0 and shown.stdout.count("Trains a reward model") == 1, shown.stdout[:200] + shown.stderr)

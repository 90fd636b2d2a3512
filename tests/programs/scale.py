"""Scoring in many processes and over many hours: shards, --resume after kill -9, shares of errors, pipes, mpirun; memory that
does not grow with the files, of scoring and of training."""
import json
import math
import os
import random
import shutil
import subprocess
import time

from helpers import BACKEND, ENVIRONMENT, SKIPPED, SMALL, check, content, fails, program, run, solutions, succeeds, write_lines

KILLS = 10
SHARDS = 3
# One record at a time: what is computed together does not change a digit.
ALONE = ["--batch-tokens", 1]


def records(count, seed, bad=()):
    """Lines of completions and pairs; those with a number in `bad` cannot be read, each in another way."""
    rng = random.Random(seed)
    broken = ['{"prompt": "p", "completion"', '{"prompt": "p"}', '[]', 'null', '{"prompt": 1, "completion": "a"}', '"text"', '{]']
    lines = []
    for number in range(count):
        letters = "".join(rng.choice("abcdefgh") for _ in range(rng.randrange(1, 12)))
        record = {"prompt": f"sort {letters}\n", "completion": letters}
        if number % 7 == 3:
            record = {"prompt": f"sort {letters}\n", "chosen": letters, "rejected": letters[::-1]}
        lines.append(broken[number % len(broken)] if number in bad else json.dumps(record))
    return lines


def write(path, lines):
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def score(*arguments, **others):
    return run("merit_score", "--model", "model", *arguments, **others)


def test_shards_are_the_whole():
    bad = {5, 17, 18, 40}
    write("parts.jsonl", records(100, 11, bad))
    whole = score("parts.jsonl", "--json", *ALONE)
    lines = whole.stdout.splitlines()
    check(whole.returncode == 1 and len(lines) == 100, whole.stderr)
    entries = [json.loads(line) for line in lines]
    check([entry["index"] for entry in entries] == list(range(100)), "an index for each record")
    check({entry["index"] for entry in entries if "error" in entry} == bad, "an error for each bad record, in its place")
    check(all(set(entries[i]) == {"index", "line", "error"} and f"parts.jsonl:{i + 1}" in entries[i]["error"] for i in bad),
          str([entries[i] for i in bad]))
    for count in (1, 2, 3, 7, 100, 101):
        if count > 7:  # a process for some of them
            first = score("parts.jsonl", "--json", *ALONE, "--shard", f"1/{count}").stdout.splitlines()
            last = score("parts.jsonl", "--json", *ALONE, "--shard", f"{count}/{count}").stdout.splitlines()
            check(first == lines[:1] and last == lines[count - 1:count], f"{first} {last}")
            continue
        parts = [score("parts.jsonl", "--json", *ALONE, "--shard", f"{i}/{count}").stdout.splitlines()
                 for i in range(1, count + 1)]
        check(parts == [lines[i::count] for i in range(count)], f"shards of {count} are not the whole")
    # Without --json, from a pipe; with what is computed together as it comes.
    text = content("parts.jsonl").decode()
    plain = score(stdin=text, *ALONE).stdout.splitlines()
    joined = [None] * 100
    for i in range(SHARDS):
        joined[i::SHARDS] = score("--shard", f"{i + 1}/{SHARDS}", stdin=text, *ALONE).stdout.splitlines()
    check(joined == plain, "shards of a pipe are not the whole")
    together = [json.loads(line) for line in score("parts.jsonl", "--json").stdout.splitlines()]
    for one, other in zip(together, entries):
        for name, value in one.items():
            check(value == other[name] or abs(value - other[name]) < 1e-5 * max(1, abs(value)), f"{one} {other}")
    # --limit and --select come first: the shards are of what is left.
    limited = score("parts.jsonl", "--json", *ALONE, "--limit", 10, "--shard", "2/3").stdout.splitlines()
    check(limited == [lines[i] for i in range(12) if i % 3 == 1][:len(limited)] and len(limited) >= 3, str(limited))
    for shard in ("0/5", "6/5", "a/b", "1", "", "1/0", "-1/5"):
        fails(2, ["--shard", f'"{shard}"', "I/N"], "merit_score", "--model", "model", "--shard", shard, stdin="")


def test_a_share_of_errors():
    write("some_bad.jsonl", records(20, 3, {4}))
    check(score("some_bad.jsonl").returncode == 1, "an error is an error")
    check(score("some_bad.jsonl", "--max-errors", 0.05).returncode == 0, "a twentieth is allowed")
    check(score("some_bad.jsonl", "--max-errors", 1).returncode == 0, "all are allowed")
    check(score(stdin="", *["--max-errors", 0]).returncode == 0, "nothing is no error")
    result = score("some_bad.jsonl", "--max-errors", 0.049)
    check(result.returncode == 1 and "1 of 20 records could not be read" in result.stderr, result.stderr)
    check(len(result.stdout.splitlines()) == 20, "all are answered")
    # Of a shard, those of the shard.
    check(score("some_bad.jsonl", "--shard", "1/5", "--max-errors", 0).returncode == 0, "the error is of another shard")
    write("hundred.jsonl", records(100, 4, set(range(29))))
    check(score("hundred.jsonl", "--max-errors", 0.29).returncode == 0, "29 of 100 are a share of 0.29")
    check(score("some_bad.jsonl", "--shard", "5/5", "--max-errors", 0.2).returncode == 1, "the error is of this shard")
    for share in ("-0.1", "1.1", "half", "nan"):
        fails(2, ["--max-errors", share], "merit_score", "--model", "model", "--max-errors", share, stdin="")
    fails(2, ["--max-errors", "--on-error stop"], "merit_score", "--model", "model", "--max-errors", 0, "--on-error", "stop", stdin="")


def test_kill_and_resume_scoring():
    """kill -9 at any moment, again and again: the file is, byte for byte, that of a run that nothing interrupted."""
    rng = random.Random(int(os.environ.get("MERIT_TEST_SEED", time.time_ns())))
    kills_wanted = int(os.environ.get("MERIT_TEST_KILLS", KILLS))
    write("long.jsonl", records(4000, 21, {100, 2500, 3999}))
    arguments = ["--model", "model", "long.jsonl", "--json", "--batch-tokens", 300, "--max-errors", 0.01]
    start = time.monotonic()
    succeeds("merit_score", *arguments, "--out", "straight.scores")
    took = time.monotonic() - start
    expected = content("straight.scores")
    check(expected == run("merit_score", *arguments).stdout.encode(), "the file is not as the standard output")
    check(expected.count(b"\n") == 4000, "a line each")
    command = [program("merit_score"), *map(str, arguments), *BACKEND, "--out", "killed.scores", "--resume"]
    kills = ends = cuts = went_on = 0
    while kills < kills_wanted:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
        try:
            _, errors = process.communicate(timeout=rng.uniform(0.2, 0.6) * took)
            ended = True
        except subprocess.TimeoutExpired:
            process.kill()
            _, errors = process.communicate()
            ended = process.returncode == 0
        cuts += "cut off" in errors
        went_on += "going on behind record" in errors
        if not ended:
            kills += 1
            if os.path.exists("killed.scores"):
                check(expected.startswith(content("killed.scores")), "what a kill left is not a beginning of the whole")
            continue
        check(process.returncode == 0 and content("killed.scores") == expected, f"{process.returncode} {errors}")
        ends += 1
        os.remove("killed.scores"), os.remove("killed.scores.state")
    succeeds("merit_score", *arguments, "--out", "killed.scores", "--resume")
    check(content("killed.scores") == expected, "a run that was killed wrote other bytes")
    check(went_on > 0, "no run went on with another")
    left = [name for name in os.listdir(".") if name.startswith("killed.scores.state.tmp")]
    check(not left, f"left behind: {left}")
    print(f"     {kills} kills, {ends + 1} runs to the end, {went_on} went on, {cuts} with something cut off")

    # A torn last line is cut off, and said; a file that ended is left as it is, and says its errors again.
    state = json.loads(content("killed.scores.state"))
    check(state["records"] == 4000 and state["errors"] == 3, str(state))
    with open("killed.scores", "ab") as file:
        file.write(b'{"index": 4000, "li')
    result = run("merit_score", *arguments, "--out", "killed.scores", "--resume")
    check(result.returncode == 0 and "cut off 19 bytes" in result.stderr and "3 records left out before" in result.stderr,
          result.stderr)
    check(content("killed.scores") == expected, "an ended file was changed")
    result = run("merit_score", *arguments[:-1], 0, "--out", "killed.scores", "--resume")
    check(result.returncode == 1 and "3 of 4000" in result.stderr, f"errors from before count: {result.stderr}")


def test_resume_refuses_what_is_not_the_same():
    write("same.jsonl", records(60, 5))
    arguments = ["merit_score", "--model", "model", "same.jsonl", "--out", "same.scores"]
    succeeds(*arguments, "--shard", "2/2")
    before = content("same.scores"), content("same.scores.state")
    resumed = [*arguments, "--shard", "2/2", "--resume"]
    fails(2, ["same.scores", "--json was", "--overwrite"], *resumed, "--json")
    fails(2, ["same.scores", "--batch-tokens was 8192, now it is 64"], *resumed, "--batch-tokens", 64)
    fails(2, ["same.scores", "--shard was", "2/2", "1/2"], *arguments, "--shard", "1/2", "--resume")
    fails(2, ["same.scores", "--limit was 0, now it is 7"], *resumed, "--limit", 7)
    fails(2, ["same.scores is there already", "--resume", "--overwrite"], *arguments)
    # The model: another number in its weights is another model; the same bytes elsewhere are the same.
    shutil.copytree("model", "same_model")
    succeeds(*[part if part != "model" else "same_model" for part in resumed], "--threads", 1)
    weights = bytearray(content("model", "model.safetensors"))
    weights[-1] ^= 1
    with open("same_model/model.safetensors", "wb") as file:
        file.write(weights)
    fails(2, ["same.scores", "model/model.safetensors was"], *[part if part != "model" else "same_model" for part in resumed])
    # The input: another byte in what was read, another length, another name.
    text = content("same.jsonl")
    for changed, parts in ((text.replace(b"sort a", b"sort b", 1), ["same.jsonl", "are not the"]),
                           (text[:-20], ["same.scores", "input size was"]), (text + b"\n", ["same.scores", "input size was"])):
        with open("same.jsonl", "wb") as file:
            file.write(changed)
        fails(2, parts, *resumed)
    with open("same.jsonl", "wb") as file:
        file.write(text)
    shutil.copy("same.jsonl", "other.jsonl")
    fails(2, ["same.scores", "input name was same.jsonl"], *[part if part != "same.jsonl" else "other.jsonl" for part in resumed])
    # The file itself.
    with open("same.scores", "r+b") as file:
        file.write(b"9")
    fails(1, ["same.scores", "are not what was written there"], *resumed)
    with open("same.scores", "wb") as file:
        file.write(before[0])
    succeeds(*resumed)
    check((content("same.scores"), content("same.scores.state")) == before, "the refusals changed something")
    # What is not ours is not written over; nor is an input, or a model's folder.
    write_lines("thesis.txt", [{"a": 1}])
    for how in ("--resume", "--overwrite"):
        fails(1, ["thesis.txt", "thesis.txt.state"], *arguments[:-1], "thesis.txt", how)
    fails(2, ["--out", "same.jsonl", "input"], *arguments[:-1], "same.jsonl", "--overwrite")
    fails(2, ["--out", "model"], *arguments[:-1], "model/scores")
    fails(1, ["/dev/null"], *arguments[:-1], "/dev/null", "--resume")
    for option in ("--resume", "--overwrite"):
        fails(2, [option, "--out"], *arguments[:-2], option)
    fails(2, ["--resume", "--overwrite"], *arguments, "--resume", "--overwrite")
    fails(2, ["--completion", "--out"], "merit_score", "--model", "model", "--completion", "a", "--out", "one.scores")
    succeeds(*arguments, "--overwrite", "--json")
    check(json.loads(content("same.scores").splitlines()[59])["index"] == 59, "it was begun anew")


def test_resume_of_a_pipe():
    """What comes through a pipe is written in the same batches, and goes on when it comes again."""
    lines = records(300, 8)
    text = "\n".join(lines) + "\n"
    arguments = ["merit_score", "--model", "model", "--batch-tokens", 200, "--out", "piped.scores"]
    succeeds(*arguments, stdin=text)
    expected = content("piped.scores")
    os.remove("piped.scores"), os.remove("piped.scores.state")
    process = subprocess.Popen([program("merit_score"), *map(str, arguments[1:]), *BACKEND, "--resume"],
                               stdin=subprocess.PIPE, env=ENVIRONMENT, text=True, stderr=subprocess.DEVNULL)
    process.stdin.write("\n".join(lines[:3]) + "\n")
    process.stdin.flush()
    time.sleep(0.5)  # a file is not waited for: less than a batch stays where it is
    check(not os.path.exists("piped.scores") or os.path.getsize("piped.scores") == 0, "a batch ended where a pipe paused")
    process.stdin.write("\n".join(lines[3:200]))
    process.stdin.flush()
    for _ in range(1000):
        if os.path.exists("piped.scores.state") and json.loads(content("piped.scores.state"))["records"]:
            break
        time.sleep(0.01)
    process.kill()
    process.communicate()
    done = json.loads(content("piped.scores.state"))["records"]
    check(0 < done <= 200, f"{done} records done")
    fails(2, ["standard input", "it ends after"], *arguments, "--resume", stdin="\n".join(lines[:3]))
    result = run(*arguments, "--resume", stdin=text)
    check(result.returncode == 0 and f"going on behind record {done}" in result.stderr, result.stderr)
    check(content("piped.scores") == expected, "a pipe that came again gave other bytes")


def peak(name, *arguments):
    """The most memory that a program had, in MiB, looked up as it runs: what the system says at its end counts the process
    that started it."""
    process = subprocess.Popen([program(name), *map(str, arguments), *BACKEND], env=ENVIRONMENT, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    most = 0
    while process.poll() is None:
        with open(f"/proc/{process.pid}/status", encoding="utf-8") as status:
            most = max([most] + [int(line.split()[1]) for line in status if line.startswith("VmHWM:")])
        time.sleep(0.002)
    check(process.returncode == 0, f"{name} {arguments}: exit code {process.returncode}")
    return most / 1024


def test_scoring_takes_no_more_memory_for_a_longer_file():
    lines = records(2500, 12, {3})
    peaks = []
    for times in (1, 20):
        write("size.jsonl", lines * times)
        peaks.append(peak("merit_score", "--model", "model", "size.jsonl", "--json", "--max-errors", 1, "--out", "size.scores",
                          "--overwrite"))
    check(content("size.scores").count(b"\n") == 50000, "a line each")
    check(peaks[1] < peaks[0] + 4, f"the memory grows with the file: {peaks} MiB")


ONE_THREAD = [*SMALL, "--threads", 1]  # threads of tests that run side by side wait for each other
BAG = ["--backbone", "bag_of_tokens", "--width", 2, "--lr", 0.01, "--threads", 1]


def test_streaming_makes_the_same_model():
    """Of each kind, with what is dropped, weights, a split, an interruption between; beside nothing that is left behind."""
    rng = random.Random(3)
    with open("streamed.jsonl", "w", encoding="utf-8") as file:
        file.write(content("train.jsonl").decode() + '{"prompt": "p", "chosen": "a", "rejected": "a"}\n{bad\n')
    write_lines("rated.jsonl", [{"prompt": f"p{i}", "completions": ["ab", "cd", "e" * (i % 5 + 1)], "scores": [i % 3, 1, rng.random()]}
                                for i in range(40)])
    write_lines("stepped.jsonl", [{key: value for key, value in one.items() if key != "number"} for one in solutions(40, 4)])
    write_lines("outcomes.jsonl", [{"prompt": "p", "completion": "ab" * (i % 4 + 1), "label": i % 2 == 0} for i in range(40)])
    runs = {"pairs": ["--train", "streamed.jsonl:0.5", "eval.jsonl", "--on-error", "skip", "--validation-split", 0.2, *ONE_THREAD,
                      "--epochs", 2, "--evaluate-every", 7],
            "parts": ["--train", "train.jsonl:epochs=0.5", "eval.jsonl:0.5,epochs=1.25", *ONE_THREAD, "--epochs", 2],
            "unseen": ["--train", "train.jsonl", "--eval", "eval.jsonl", "--margin", "record", *ONE_THREAD],
            "rated": ["--kind", "ratings", "--train", "rated.jsonl", *BAG, "--epochs", 2],
            "steps": ["--kind", "steps", "--train", "stepped.jsonl", *BAG],
            "outcomes": ["--kind", "outcome", "--train", "outcomes.jsonl", "--eval", "outcomes.jsonl", *ONE_THREAD]}
    for name, arguments in runs.items():
        results = []
        for out, more in ((name + "_held", []), (name + "_streamed", ["--stream"])):
            result = json.loads(succeeds("merit_train", *arguments, "--out", out, "--json", *more))
            events = [json.loads(line) for line in open(out + ".metrics.jsonl", encoding="utf-8")]
            losses = [(event["step"], event["loss"], event["gradient_norm"]) for event in events if event["event"] == "step"]
            for key in ("out", "seconds"):
                del result[key]
            results.append((losses, result, content(out, "model.safetensors"), content(out, "merit.json")))
        for what, held, streamed in zip(("losses", "the result", "weights", "card"), *results):
            check(held == streamed, f"{name}: {what} of --stream differ: {held} {streamed}")
        check(len(results[0][0]) > 1, "steps")
        check(name != "parts" or results[0][1]["steps"] == 2 * math.ceil((150 + 125) / 16), "visits to parts of files")
    left = [name for name in os.listdir(".") if ".examples" in name]
    check(not left, f"left behind: {left}")
    for option, *value in (["--dry-run"], ["--join-conversations"]):
        fails(2, ["--stream", option], "merit_train", "--train", "train.jsonl", "--out", "never", "--stream", option, *value)
    fails(2, ["--stream", "--cross-validate"], "merit_train", "--train", "train.jsonl", "--stream", "--cross-validate", 3)
    # Killed while it streams, it goes on without, and the other way round.
    arguments = ["--train", "train.jsonl:epochs=0.75", "--eval", "eval.jsonl", "--epochs", 8, "--checkpoint-every", 20, *ONE_THREAD]
    succeeds("merit_train", *arguments, "--out", "even")
    for number, more in enumerate([["--stream"], [], ["--stream"], ["--stream"]]):
        command = [program("merit_train"), *map(str, arguments), *BACKEND, "--out", "odd", "--resume", *more]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
        try:
            process.wait(timeout=120 if number == 3 else rng.uniform(0.2, 0.5))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    check(content("odd", "model.safetensors") == content("even", "model.safetensors"), "a run that streams now and then is another")
    fails(2, ["parts", "300 examples 0.75 times"], "merit_train", *arguments[:1], "train.jsonl", *arguments[2:], "--out", "odd", "--resume")
    for files, parts in ((["--train", "train.jsonl:epochs=0"], ["the epochs 0"]), (["--train", "train.jsonl:epochs=x"], ["epochs=x"]),
                         (["--train", "train.jsonl", "--eval", "eval.jsonl:epochs=2"], ["eval.jsonl:epochs=2", "not trained on"])):
        fails(2, parts, "merit_train", *files, "--out", "never")
    refused = run("merit_train", "--train", "train.jsonl:epochs=2", "--cross-validate", 3)
    check(refused.returncode == 2 and "epochs of files that are cross-validated on" in refused.stderr, refused.stderr)
    fails(2, ["epochs=2", "not trained on"], "merit_evaluate", "--model", "model", "eval.jsonl:epochs=2")


def test_streaming_takes_no_memory_for_longer_files():
    """A record of 500 letters is 4 KB of tokens in memory, and some tens of bytes with --stream."""
    rng = random.Random(6)
    lines = [json.dumps({"prompt": "p", "chosen": "".join(rng.choices("abc", k=500)), "rejected": "".join(rng.choices("abc", k=500))})
             for _ in range(500)]
    peaks = {}
    for times in (2, 20):  # each is a step: a device has the tokens of two
        write("heavy.jsonl", lines * times)
        for more in ([], ["--stream"]):
            peaks[times, len(more)] = peak("merit_train", "--train", "heavy.jsonl", "--out", "heavy", "--overwrite", *BAG,
                                           "--batch-size", 500, "--micro-batch-tokens", 4096, *more)
    check(peaks[20, 0] > peaks[2, 0] + 30, f"records in memory take none: {peaks}")
    check(peaks[20, 1] < peaks[2, 1] + 5, f"the memory of --stream grows with the file: {peaks}")


def test_the_recipes():
    """Those of examples/at_scale.md that need nothing but a shell: shards side by side, joined to what one process writes; a
    pipe behind a pipe."""
    write("recipe.jsonl", records(50, 9))
    score = f"'{program('merit_score')}' --model model {' '.join(BACKEND)} --batch-tokens 1"
    json_lines = succeeds("merit_score", "--model", "model", *ALONE, "--json", "recipe.jsonl")
    plain = succeeds("merit_score", "--model", "model", *ALONE, "recipe.jsonl")
    shell = f"""set -e
for i in 1 2 3; do {score} recipe.jsonl --json --shard $i/3 --out recipe.$i.scores --resume & done; wait
LC_ALL=C sort -m -s -t ' ' -k 2,2n recipe.*.scores > joined
for i in 1 2 3; do {score} recipe.jsonl --shard $i/3 > plain.$i; done
paste -d '\\n' plain.1 plain.2 plain.3 | sed '/^$/d' > plain
split -n r/3 --filter="{score} > \\$FILE.out" recipe.jsonl piped.
cat recipe.jsonl | {score} --max-errors 0.1 | cat > scores"""
    result = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, env=ENVIRONMENT, timeout=120)
    check(result.returncode == 0, result.stderr)
    check(content("joined").decode() == json_lines, "the shards joined are not the whole")
    check(content("plain").decode() == plain and content("scores").decode() == plain, "without --json")
    check([content(f"piped.a{c}.out").decode().splitlines() for c in "abc"] == [plain.splitlines()[i::3] for i in range(3)],
          "pipes of one file")


def test_mpirun():
    """The recipe for MPI: each rank takes the shard of its number."""
    if shutil.which("mpirun") is None:
        print("SKIPPED: programs: mpirun is not installed")
        return SKIPPED
    write("ranks.jsonl", records(30, 10))
    whole = succeeds("merit_score", "--model", "model", *ALONE, "--json", "ranks.jsonl")
    rank = (f"exec '{program('merit_score')}' --model model {' '.join(BACKEND)} --batch-tokens 1 --threads 1 ranks.jsonl --json --resume "
            '--shard $((OMPI_COMM_WORLD_RANK + 1))/$OMPI_COMM_WORLD_SIZE --out ranks.$OMPI_COMM_WORLD_RANK.scores')
    environment = dict(ENVIRONMENT, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    result = subprocess.run(["mpirun", "--oversubscribe", "-n", "2", "sh", "-c", rank], capture_output=True, text=True,
                            env=environment, timeout=120)
    check(result.returncode == 0, result.stderr)
    joined = subprocess.run(["sort", "-m", "-s", "-t", " ", "-k", "2,2n", "ranks.0.scores", "ranks.1.scores"], capture_output=True,
                            text=True, env=dict(ENVIRONMENT, LC_ALL="C"), check=True).stdout
    check(joined == whole, "the ranks together are not the whole")

#!/usr/bin/env python3
"""Files that are larger than memory, and jobs that are killed: merit_score under mpirun, merit_train --stream.

Usage: at_scale.py PROGRAMS score [--records N] [--ranks N] [--kills N] [--seed N]
       at_scale.py PROGRAMS train [--gigabytes X] [--words N] [--max-steps N] [OPTIONS OF merit_train]
PROGRAMS is the folder of the built programs. What is made lies in a new folder in the present one, and is deleted at the end.

score: a tiny model scores N short records in --ranks processes, shards of one file, which are killed --kills times (by kill -9,
one of them or all) after a random part of the work that is left, and go on with --resume. Then each record must be there once, in
order, each score that of a run without kills, for a hundred pieces of the file; and the memory of the processes that of a file of
a hundredth of the size.

train: merit_train --stream on X GB of preferences, each answer of --words words. What it held in memory, and how long it took.
"""
import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

WORDS = "the a of and water fire is wet cold answer question reason because model reward better worse step proof".split()
MPI = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMP_WAIT_POLICY="passive")


def short_record(number):
    """By its number alone, so that pieces of a file can be made again."""
    return '{"prompt": "p%d", "completion": "%d %s"}\n' % (number % 97, number * 7919 % 1000003, WORDS[number % len(WORDS)])


def pairs(count, words, seed):
    rng = random.Random(seed)
    for _ in range(count):
        good, bad = (" ".join(rng.choices(WORDS, k=words)) for _ in range(2))
        yield json.dumps({"prompt": " ".join(rng.choices(WORDS, k=8)), "chosen": good + " proof", "rejected": bad}) + "\n"


def children(pid):
    """All processes that a process has started, and those of theirs."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                for child in file.read().split():
                    found += [int(child), *children(child)]
    except OSError:
        pass
    return found


def peak_of(pid):
    """Kilobytes that a merit_score or merit_train has held at most; 0 of anything else, or where it has gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["VmHWM"].split()[0]) if fields["Name"].strip().startswith("merit_") else 0
    except (OSError, KeyError):
        return 0


def seconds_of(pid):
    """Of a core, that a process has used."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0


def size_of(path):
    return os.path.getsize(path) if os.path.exists(path) else 0


class Ranks:
    """mpirun of merit_score on the shards of a file."""

    def __init__(self, programs, records, ranks, *more):
        rank = (f"exec '{programs}/merit_score' --model bag --threads 1 --json --resume {records} {' '.join(more)} "
                "--shard $((OMPI_COMM_WORLD_RANK + 1))/$OMPI_COMM_WORLD_SIZE --out scores.$OMPI_COMM_WORLD_RANK")
        self.outs = [f"scores.{number}" for number in range(ranks)]
        self.process = subprocess.Popen(["mpirun", "--oversubscribe", "-n", str(ranks), "sh", "-c", rank], env=MPI,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.said = []
        self.peak = 0  # kilobytes
        self.used = {}  # seconds of a core, of each process
        self.reader = threading.Thread(target=lambda: self.said.extend(self.process.stderr))
        self.reader.start()

    def written(self):
        return sum(map(size_of, self.outs))

    def watch(self, size, seconds=0):
        """Until so much is written and the ranks have used so many seconds of a core besides, or the end: whether it has ended."""
        began, worked = time.monotonic(), None
        while self.process.poll() is None:
            for pid in children(self.process.pid):
                self.peak = max(self.peak, peak_of(pid))
                if peak_of(pid):
                    self.used[pid] = seconds_of(pid)
            if self.written() >= size:
                worked = sum(self.used.values()) if worked is None else worked
                if sum(self.used.values()) >= worked + seconds:
                    return False
            time.sleep(0.02 if time.monotonic() < began + 1 else 0.2)
        return True

    def kill(self, rng):
        """One of the ranks, upon which mpirun ends the others, or all at once."""
        ranks = [pid for pid in children(self.process.pid) if peak_of(pid)]
        for pid in [rng.choice(ranks)] if ranks and rng.random() < 0.5 else [self.process.pid, *ranks]:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        self.wait()
        for pid in ranks:  # those whose mpirun was killed
            while peak_of(pid):
                time.sleep(0.01)

    def wait(self):
        self.process.wait()
        self.reader.join()


def check_scores(programs, path, records, ranks):
    """Each record once, in order; of pieces of the file the scores too."""
    files = [open(f"scores.{number}", encoding="ascii") for number in range(ranks)]
    starts = {records * piece // 100 for piece in range(100)}
    begin = None
    for number in range(records):
        line = files[number % ranks].readline()
        if not line.startswith('{"index": %d, "line": %d, "score": ' % (number, number + 1)) or not line.endswith("}\n"):
            sys.exit(f"at_scale: record {number} of {path}: found {line!r}")
        if number in starts:
            begin, piece = number, []
        if begin is not None:
            piece.append(json.loads(line)["score"])
            if len(piece) == 100 or number + 1 == records:
                lines = "".join(map(short_record, range(begin, number + 1)))
                alone = subprocess.run([f"{programs}/merit_score", "--model", "bag", "--threads", "1"], input=lines, text=True,
                                       capture_output=True, check=True).stdout.split()
                if any(abs(float(a) - b) > 1e-5 * max(1, abs(b)) for a, b in zip(alone, piece, strict=True)):
                    sys.exit(f"at_scale: scores of records {begin} to {number} are not those of a run without kills")
                begin = None
    if any(file.readline() for file in files):
        sys.exit("at_scale: there are more scores than records")


def score(programs, arguments):
    rng = random.Random(arguments.seed)
    with open("pairs.jsonl", "w", encoding="ascii") as file:
        file.writelines(pairs(500, 6, 1))
    subprocess.run([f"{programs}/merit_train", "--train", "pairs.jsonl", "--backbone", "bag_of_tokens", "--width", "4", "--lr", "0.01",
                    "--out", "bag", "--threads", "1"], check=True, capture_output=True)
    began = time.monotonic()
    with open("records.jsonl", "w", encoding="ascii") as file:
        for number in range(arguments.records):
            file.write(short_record(number))
    print(f"{arguments.records} records, {size_of('records.jsonl') / 1e9:.2f} GB, written in {time.monotonic() - began:.0f} s",
          flush=True)
    few = Ranks(programs, "records.jsonl", arguments.ranks, "--limit", str(max(arguments.records // 100, 1)))
    few.watch(float("inf"))
    few.wait()
    whole = few.written() / max(arguments.records // 100, 1) * arguments.records  # about
    for out in few.outs:
        os.remove(out), os.remove(out + ".state")
    began, peak, kills, went_on, cuts = time.monotonic(), 0, 0, 0, 0
    done = 0.0  # part of the whole that is written
    while True:
        ranks = Ranks(programs, "records.jsonl", arguments.ranks)
        left = arguments.kills - kills
        size, seconds = float("inf"), 0
        if left and rng.random() < 0.25:  # soon, while what is there is read again
            size, seconds = 0, rng.uniform(0, 3)
        elif left:
            size, seconds = (done + (1 - done) * rng.uniform(0, 1.5) / (left + 1)) * whole, rng.uniform(0, 1)
        ended = ranks.watch(size, seconds)
        if not ended:
            ranks.kill(rng)
            kills += 1
        else:
            ranks.wait()
        peak = max(peak, ranks.peak)
        said = "".join(ranks.said)
        went_on += said.count("going on behind record")
        cuts += said.count("cut off")
        done = min(1.0, ranks.written() / whole)
        print(f"{'ended' if ended else 'killed'} after {sum(ranks.used.values()):.1f} s of a core; {100 * done:.0f} % written; "
              f"{ranks.peak / 1024:.1f} MiB at most", flush=True)
        if ended:
            if ranks.process.returncode != 0:
                sys.exit(f"at_scale: exit code {ranks.process.returncode}: {said}")
            break
    took = time.monotonic() - began
    check_scores(programs, "records.jsonl", arguments.records, arguments.ranks)
    print(f"{arguments.records} records in {took:.0f} s with {kills} kills; {went_on} processes went on, {cuts} cut something off; each "
          f"record once and in order, scores as without kills; {peak / 1024:.1f} MiB a process at most, of a hundredth of the "
          f"records {few.peak / 1024:.1f} MiB")
    if peak > few.peak + 4096:
        sys.exit("at_scale: the memory grows with the file")


def train(programs, arguments, more):
    began = time.monotonic()
    records = size = 0
    with open("pairs.jsonl", "w", encoding="ascii") as file:
        some = list(pairs(20000, arguments.words, 1))  # again and again, each time with a prompt of its own
        while size < arguments.gigabytes * 1e9:
            for line in some:
                size += file.write('{"prompt": "%d ' % records + line[len('{"prompt": "'):])
                records += 1
    print(f"{records} records, {size / 1e9:.2f} GB, written in {time.monotonic() - began:.0f} s", flush=True)
    began = time.monotonic()
    process = subprocess.Popen([f"{programs}/merit_train", "--train", "pairs.jsonl", "--stream", "--out", "model", "--tokenizer", "words:65536",
                                "--backbone", "bag_of_tokens", "--width", "16", "--max-steps", str(arguments.max_steps),
                                "--no-reward-statistics", *more])
    _, status, used = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"at_scale: merit_train ended by {status}")
    print(f"merit_train --stream: {arguments.max_steps} steps in {time.monotonic() - began:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of "
          f"a core; {used.ru_maxrss / 1024:.0f} MiB of memory at most")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs")
    parser.add_argument("job", choices=("score", "train"))
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--gigabytes", type=float, default=5)
    parser.add_argument("--words", type=int, default=80)
    parser.add_argument("--max-steps", type=int, default=20)
    arguments, more = parser.parse_known_args()
    programs = os.path.abspath(arguments.programs)
    if more and arguments.job == "score":
        parser.error(f"unknown: {' '.join(more)}")
    folder = tempfile.mkdtemp(prefix="at_scale_", dir=".")
    os.chdir(folder)
    try:
        score(programs, arguments) if arguments.job == "score" else train(programs, arguments, more)
    finally:
        os.chdir("..")
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()

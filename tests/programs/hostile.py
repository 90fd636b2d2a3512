"""Misuse, kills and broken things: what the programs do with them, from outside.

Run by programs_test.py, in the folder that its own tests left.
"""
import json
import os
import resource
import shutil
import signal
import subprocess
import time

from helpers import BACKEND, ENVIRONMENT, check, content, fails, program, run, succeeds, whole, write_lines

TINY = ["--backbone", "bag_of_tokens", "--width", "8"]
LONG = [program("merit_train"), *BACKEND, "--train", "train.jsonl", *TINY, "--epochs", "100000", "--checkpoint-every", "0"]


def started(*arguments, **options):
    """A long run that has begun to make steps."""
    out = arguments[arguments.index("--out") + 1]
    metrics = out + ".metrics.jsonl"
    process = subprocess.Popen([*LONG, *arguments], env=ENVIRONMENT, **options)
    deadline = time.monotonic() + 60
    while not (os.path.exists(metrics) and b'"step"' in content(metrics)) and time.monotonic() < deadline:
        check(process.poll() is None, f"the run ended: {process.returncode}")
        time.sleep(0.01)
    return process


def test_hang_up_and_a_reader_that_goes_save_the_run():
    process = started("--out", "hung_up", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    process.send_signal(signal.SIGHUP)
    check(process.wait(timeout=60) == 130, f"exit code {process.returncode}")
    whole("hung_up")
    check(json.loads(content("hung_up/training.json"))["step"] > 0, "the run was not saved")

    process = started("--out", "unread", "--eval", "eval.jsonl", "--evaluate-every", "1", stdout=subprocess.PIPE,
                      stderr=subprocess.STDOUT)
    process.stdout.close()  # 2>&1 | head -1
    check(process.wait(timeout=60) in (0, 130), f"exit code {process.returncode}")
    whole("unread")
    check(json.loads(content("unread/training.json"))["step"] > 0, "the run was not saved")

    # What nohup says is to be ignored is.
    process = started("--out", "nohup", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                      preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    check(process.poll() is None, "a signal that is ignored ended the run")
    process.send_signal(signal.SIGTERM)
    check(process.wait(timeout=60) == 130, f"exit code {process.returncode}")


def test_closed_descriptors_do_not_become_files():
    for closed in ("0", "1", "2", "012"):
        redirections = " ".join(f"{number}{'<' if number == '0' else '>'}&-" for number in closed)
        command = [program("merit_train"), "--train", "train.jsonl", *TINY, "--out", "closed", "--overwrite", "--json"]
        subprocess.run(["bash", "-c", f'"$@" {redirections}', "bash", *command], env=ENVIRONMENT, timeout=120, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for line in open("closed.metrics.jsonl", encoding="utf-8"):
            check("event" in json.loads(line), f"{closed}: the metrics hold {line}")
        whole("closed")


def test_two_runs_do_not_write_to_one_place():
    process = started("--out", "shared", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    before = content("shared.metrics.jsonl")
    for more in ([], ["--resume"], ["--overwrite"]):
        fails(1, ["shared", "another run writes there", f"process {process.pid} on ", " since 20"], "merit_train", "--train",
              "train.jsonl", *TINY, "--out", "shared", *more)
    check(content("shared.metrics.jsonl").startswith(before), "the refused run changed the metrics")
    process.kill()  # its lock ends with it
    process.wait()
    succeeds("merit_train", "--train", "train.jsonl", *TINY, "--out", "shared", "--overwrite")
    check(not os.path.exists("shared.lock"), "a run that ended left its lock")


def test_pipes_and_devices_are_no_configurations():
    shutil.copytree("model", "piped_card")
    for name, file in (("merit.json", "fifo"), ("config.json", "fifo"), ("config.json", "/dev/zero")):
        shutil.rmtree("piped_card")
        shutil.copytree("model", "piped_card")
        os.remove("piped_card/" + name)
        if file == "fifo":
            os.mkfifo("piped_card/" + name)
        else:
            os.symlink(file, "piped_card/" + name)
        fails(1, ["piped_card/" + name, "not a regular file"], "merit_score", "--model", "piped_card", "eval.jsonl")
    os.mkfifo("options.fifo")
    fails(1, ["options.fifo", "not a regular file"], "merit_train", "--config", "options.fifo", "--train", "train.jsonl",
          "--out", "never")
    shutil.rmtree("piped_card")


def test_nothing_but_json_is_printed_as_json():
    for field, value in (("reward_deviation", 0), ("reward_deviation", -1), ("reward_deviation", 1e-320),
                         ("calibration_scale", 0), ("calibration_scale", -1), ("calibration_scale", 1e308),
                         ("reward_mean", 1e308)):
        shutil.rmtree("changed", ignore_errors=True)
        shutil.copytree("model", "changed")
        card = json.loads(content("changed", "merit.json"))
        card[field] = value
        write_lines("changed/merit.json", [card])
        fails(1, ["changed/merit.json", field], "merit_score", "--model", "changed", "--json", "--normalised", "eval.jsonl")
    shutil.rmtree("changed")


def test_a_file_beyond_its_limit_is_an_error_and_leaves_nothing():
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    before = sorted(os.listdir("."))
    result = subprocess.run([program("merit_convert"), "model", "limited"], env=ENVIRONMENT, preexec_fn=limit,
                            capture_output=True, text=True, timeout=60)
    check(result.returncode == 1 and result.stderr.count("\n") == 1 and "limited" in result.stderr, str(result))
    check(sorted(os.listdir(".")) == before, f"left behind: {os.listdir('.')}")


def test_bytes_of_others_draw_nothing():
    forged = "\x1b[31mred\nforged 0.999\u009b31m\u202e"
    records = [{"prompt": "p", "chosen": letter, "rejected": "b", "subset": subset} for letter, subset in
               (("a", forged), ("c", "x"), ("d", "x"))]
    write_lines("forged.jsonl", records)
    for text in (succeeds("merit_evaluate", "--model", "model", "forged.jsonl", "--subset-field", "subset"),
                 run("merit_score", "--model", forged, "eval.jsonl").stderr,
                 run("merit_train", "--train", "train.jsonl", "--out", "never", "--loss", forged).stderr):
        check("forged" in text and "\nforged" not in text, repr(text))
        for byte in ("\x1b", "\u009b", "\u202e"):
            check(byte not in text, repr(text))


def test_numbers_that_would_wrap_train_or_are_refused():
    most = str(2**64 - 1)
    result = json.loads(succeeds("merit_train", "--train", "train.jsonl", *TINY, "--batch-size", most, "--out", "wrapped",
                                 "--json"))
    check(result["step"] == result["steps"] == 1, str(result))
    fails(2, ["epochs", most, "address"], "merit_train", "--train", "train.jsonl", *TINY, "--epochs", most, "--out", "never")
    fails(2, ["address"], "merit_train", "--train", "train.jsonl", "--layers", "1", "--heads", "2", "--hidden-size", "16",
          "--intermediate-size", most, "--out", "never")


def test_an_ended_run_is_not_taken_for_another():
    arguments = ["merit_train", "--train", "train.jsonl", *TINY, "--out", "over"]
    succeeds(*arguments, "--epochs", "2")
    before = content("over.metrics.jsonl")
    fails(2, ["run.epochs is 2, expected 3", "--from over"], *arguments, "--epochs", "3", "--resume")
    succeeds(*arguments, "--epochs", "2", "--resume", "--micro-batch-tokens", "77", "--threads", "1")
    check(content("over.metrics.jsonl") == before, "resuming an ended run added to its metrics")


def test_threads_sleep_unless_told_otherwise():
    def wait_policy(**given):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
        process = subprocess.Popen([program("merit_score"), "--model", "model"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, env={**environment, **given})
        process.stdin.write(content("eval.jsonl").split(b"\n")[0] + b"\n")
        process.stdin.flush()
        process.stdout.readline()  # it has begun
        found = dict(item.split(b"=", 1) for item in content(f"/proc/{process.pid}/environ").split(b"\0") if b"=" in item)
        process.stdin.close()
        check(process.wait(timeout=60) == 0, f"exit code {process.returncode}")
        return found.get(b"OMP_WAIT_POLICY")

    if os.path.exists("/proc/self/environ"):
        check(wait_policy() == b"passive", "idle threads spin")
        check(wait_policy(OMP_WAIT_POLICY="active") == b"active", "what the user said is changed")
        check(wait_policy(GOMP_SPINCOUNT="100") is None, "what the user said is changed")

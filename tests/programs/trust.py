"""What a user trusts the programs with: files that are not written over, figures that are not lost, weights and losses
that mean what they say.

Run by programs_test.py, in the folder that its own tests and those of kinds.py left.
"""
import json
import os
import resource
import shutil
import signal
import subprocess
import time

from helpers import BACKEND, ENVIRONMENT, SMALL, check, content, fails, program, run, solutions, succeeds, write_lines

TRAIN = ["merit_train", "--train", "train.jsonl", "--out", "never", *SMALL]
EVALUATE = ["merit_evaluate", "--model", "model", "eval.jsonl"]
# What begins with the models and files that the tests of kinds leave.
AFTER_KINDS = {"test_outputs_do_not_replace_inputs", "test_the_loss_is_the_models_own", "test_options_that_cannot_be",
               "test_ties_are_counted_and_refused_where_there_is_nothing_else", "test_steps_that_hold_the_separator_are_told",
               "test_options_that_mean_nothing"}


def unchanged(paths, do):
    """Runs do() and checks that none of the files has changed."""
    before = {path: content(path) for path in paths}
    do()
    for path, bytes_ in before.items():
        check(content(path) == bytes_, f"{path} was written over")


def changed_card(name, **fields):
    """A copy of the model whose card says something else."""
    shutil.rmtree(name, ignore_errors=True)
    shutil.copytree("model", name)
    card = json.loads(content(name, "merit.json"))
    card.update(fields)
    with open(os.path.join(name, "merit.json"), "w", encoding="utf-8") as file:
        json.dump(card, file)
    return name


# ---- Files -------------------------------------------------------------------------------------------------------


def test_outputs_do_not_replace_inputs():
    with open("thesis.txt", "w", encoding="utf-8") as file:
        file.write("years of work\n")
    os.link("train.jsonl", "other_name.jsonl")
    os.symlink("model", "link_to_model")

    def refusals():
        fails(2, ["--metrics", "train.jsonl", "input"], *TRAIN, "--metrics", "./train.jsonl")
        fails(2, ["--metrics", "other_name.jsonl", "input"], *TRAIN, "--metrics", "other_name.jsonl")
        fails(2, ["--metrics", "eval.jsonl", "input"], *TRAIN, "--eval", "eval.jsonl", "--metrics", "eval.jsonl")
        fails(2, ["--metrics", "never/m.jsonl", "folder never"], *TRAIN, "--metrics", "never/m.jsonl")
        fails(2, ["--metrics", "folder model"], "merit_train", "--train", "train.jsonl", "--out", "never", "--from", "model",
              "--metrics", "link_to_model/m.jsonl")
        fails(1, ["thesis.txt", "metrics"], *TRAIN, "--metrics", "thesis.txt")
        fails(2, ["model/config.json", "a model's folder"], *TRAIN, "--metrics", "model/config.json")
        fails(2, ["--report", "eval.jsonl", "input"], *EVALUATE, "--report", "eval.jsonl")
        fails(2, ["--report", "folder model"], *EVALUATE, "--report", "model/config.json")
        fails(2, ["--report", "folder model"], *EVALUATE, "--report", "link_to_model/report.html")
        fails(1, ["thesis.txt", "report"], *EVALUATE, "--report", "thesis.txt")
        fails(1, ["/dev/full"], *EVALUATE, "--report", "/dev/full")
        fails(1, ["model.metrics.jsonl", "report"], *EVALUATE, "--report", "model.metrics.jsonl")

    unchanged(["train.jsonl", "eval.jsonl", "thesis.txt", "model/config.json", "model.metrics.jsonl"], refusals)
    check(not os.path.exists("never") and not os.path.exists("never.metrics.jsonl"), "a refused run left something behind")
    check(not os.path.exists("model/m.jsonl") and not os.path.exists("model/report.html"), "something was written to the model")
    for text in ('{"event":"party","step":1}\n', '{"notes": unfinished', '{"event":"start","mine":1}\n'):
        with open("events.jsonl", "w", encoding="utf-8") as file:
            file.write(text)
        unchanged(["events.jsonl"], lambda: fails(1, ["events.jsonl", "metrics"], *TRAIN, "--metrics", "events.jsonl"))
    report = succeeds(*EVALUATE, "--report", "first.html") and content("first.html").decode()
    with open("quotes.html", "w", encoding="utf-8") as file:
        file.write("<html><title>t</title>" + report)
    unchanged(["quotes.html"], lambda: fails(1, ["quotes.html", "report"], *EVALUATE, "--report", "quotes.html"))
    fails(2, ["--report", "a model's folder"], *EVALUATE, "--report", "outcome_model/report.html")
    # An earlier report, the metrics of an earlier run, and what a kill left of some, are ours to replace.
    with open("again.jsonl", "w", encoding="utf-8") as file:
        file.write('{"event":"start","kind":"pref')
    for _ in range(2):
        succeeds(*EVALUATE, "--report", "again.html")
        succeeds(*TRAIN[:3], "--out", "again", "--overwrite", "--metrics", "again.jsonl", *SMALL)
    os.remove("link_to_model")
    os.remove("other_name.jsonl")


def test_pipes_and_devices_are_files_too():
    with open("piped_bar.json", "w", encoding="utf-8") as file:
        json.dump([{"input": "i", "output_1": "ab", "output_2": "ba", "label": 1}], file)
    for command in (f"cat train.jsonl | '{program('merit_train')}' --train /dev/stdin --out piped {' '.join(SMALL)}",
                    f"'{program('merit_train')}' --train <(cat train.jsonl) --out piped {' '.join(SMALL)} --overwrite",
                    f"'{program('merit_train')}' --train train.jsonl --out piped {' '.join(SMALL)} --overwrite --metrics /dev/null",
                    f"'{program('merit_evaluate')}' --model model --layout llm_bar <(cat piped_bar.json)",
                    f"'{program('merit_train')}' --train train.jsonl --out piped {' '.join(SMALL)} --overwrite --metrics >(cat)"):
        result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=ENVIRONMENT, timeout=120)
        expected = "accuracy" if "merit_evaluate" in command else "saved in      piped"
        check(result.returncode == 0 and expected in result.stdout, f"{command}: {result.stderr} {result.stdout}")
    for arguments in (["merit_evaluate", "--model", "model", "/dev/stdin"],
                      ["merit_train", "--kind", "steps", "--train", "/dev/stdin", "--out", "never"]):
        fails(1, ["/dev/stdin", "pipe", "more than once"], *arguments, stdin=content("eval.jsonl").decode())


def test_a_folder_with_more_than_a_model_is_not_replaced():
    shutil.copytree("model", "noted")
    with open("noted/notes.txt", "w", encoding="utf-8") as file:
        file.write("what I found out\n")

    arguments = ["merit_train", "--train", "train.jsonl", "--out", "noted", *SMALL, "--epochs", "4"]

    def refusals():
        fails(1, ["noted", "notes.txt", "lost"], *arguments, "--overwrite")
        os.rename("noted/notes.txt", "noted/model_data.safetensors")  # nearly a name of ours
        fails(1, ["noted", "model_data.safetensors", "lost"], *arguments, "--overwrite")
        result = run(*arguments, "--resume")  # which replaces nothing
        check(result.returncode == 0 and "nothing is left to train" in result.stderr, result.stderr)
        check(os.path.exists("noted/model_data.safetensors"), "lost")
        os.remove("noted/model_data.safetensors")
        os.mkdir("noted/model.safetensors.index.json")  # a name of ours, but no file
        fails(1, ["noted", "model.safetensors.index.json", "lost"], *arguments, "--overwrite")

    unchanged(["noted/model.safetensors"], refusals)
    fails(2, ["--out is .", "folder of its own"], "merit_train", "--train", "train.jsonl", "--out", ".", *SMALL)


def stopped_run(*arguments, until):
    """Starts a long run and stops it when until() says so; gives what it said."""
    process = subprocess.Popen([program("merit_train"), *BACKEND, "--train", "train.jsonl", *SMALL, "--epochs", "200", *arguments],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    deadline = time.monotonic() + 60
    while not until() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    check(process.returncode == 130, f"{process.returncode} {said}")
    return said


def test_files_that_come_during_a_run_are_moved():
    def put_and_look():
        try:
            with open("visited/notes.txt", "x", encoding="utf-8") as file:
                file.write("mine\n")
        except OSError:  # the folder is not there yet, or the file already
            pass
        return os.path.exists("visited.others/notes.txt.2")

    said = stopped_run("--out", "visited", "--checkpoint-every", "1", until=put_and_look)
    check("moved visited/notes.txt, which would be lost, to visited.others/notes.txt.2" in said, said)
    for name in ("notes.txt", "notes.txt.2"):
        check(content("visited.others", name) in (b"mine\n", b""), "lost")  # moved, perhaps, between open and write


def test_a_best_model_of_another_hand_stays():
    watched = ["--eval", "eval.jsonl", "--evaluate-every", "5"]
    patient = ["merit_train", "--train", "train.jsonl", *SMALL, "--epochs", "4", *watched, "--patience", "2", "--out"]
    long_run = ["merit_train", "--train", "train.jsonl", *SMALL, "--epochs", "200", *watched, "--out", "watched"]
    for name in ("ended", "never", "watched"):
        shutil.copytree("model", name + ".best")
    shutil.copytree("model", "ended")
    stopped_run(*long_run[-2:], *watched, until=lambda: os.path.exists("watched.metrics.jsonl") and
                b'"evaluate"' in content("watched.metrics.jsonl"))

    def attempts():
        result = run("merit_train", "--train", "train.jsonl", *SMALL, "--epochs", "4", *watched, "--out", "ended", "--resume")
        check(result.returncode == 0 and "nothing is left to train" in result.stderr, result.stderr)
        fails(2, ["--from is ended.best"], "merit_train", "--train", "train.jsonl", *watched, "--patience", "2", "--out", "ended",
              "--from", "ended.best", "--overwrite")
        fails(2, ["--metrics", "folder never.best"], *patient, "never", "--metrics", "never.best/m.jsonl", "--overwrite")
        fails(2, ["never.best", "--overwrite"], *patient, "never", "--resume")
        fails(2, ["watched.best", "--overwrite"], *long_run, "--patience", "1", "--resume")
        shutil.copy("train.jsonl", "never.best/train.jsonl")
        fails(1, ["never.best", "train.jsonl", "lost"], *patient, "never", "--train", "never.best/train.jsonl", "--overwrite")

    unchanged([name + ".best/model.safetensors" for name in ("ended", "never", "watched")], attempts)
    check(not os.path.exists("never"), "a refused run left something behind")
    # A best model that was not kept is not waited for.
    shutil.rmtree("watched.best")
    result = run(*long_run, "--patience", "1", "--resume")
    check(result.returncode == 0 and "the best is sought from here on" in result.stderr, result.stderr)
    check(not os.path.exists("watched.best"), "the run has ended")
    for name in ("ended", "never"):
        shutil.rmtree(name + ".best")


def test_a_model_beside_the_run_is_not_taken_for_its_best():
    """A copy that a user made under the name that --patience uses."""
    shutil.copytree("model", "patient.best")
    arguments = ["merit_train", "--train", "train.jsonl", "--eval", "eval.jsonl", *SMALL, "--evaluate-every", 5, "--patience", 2,
                 "--out"]

    def refusals():
        fails(2, ["patient.best", "--overwrite"], *arguments, "patient/")

    unchanged(["patient.best/model.safetensors"], refusals)
    check(not os.path.exists("patient"), "a refused run left something behind")
    succeeds(*arguments, "patient/", "--overwrite")
    check(not os.path.exists("patient.best"), "the run has ended")
    check(sorted(os.listdir("patient")) == ["config.json", "merit.json", "model.safetensors"], str(os.listdir("patient")))
    os.mkdir("hasty.best")
    open("hasty.best/poem.txt", "w").close()
    fails(1, ["hasty.best", "merit.json"], *arguments, "hasty", "--overwrite")


def test_figures_outlive_a_report_that_cannot_be_written():
    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    # Python ignores SIGXFSZ, and so do its children when signals are not restored: writing then fails as on a full disk.
    result = subprocess.run([program(EVALUATE[0]), *EVALUATE[1:], "--json", "--report", "full.html"], capture_output=True,
                            text=True, env=ENVIRONMENT, timeout=120, preexec_fn=small_files, restore_signals=False)
    check(result.returncode == 1 and "full.html" in result.stderr, f"{result.returncode} {result.stderr}")
    figures = json.loads(result.stdout)
    check(figures["pairs"] == 100 and "report" not in figures, str(figures))
    check(not os.path.exists("full.html"), "half a report")


def test_a_run_that_never_began_leaves_no_metrics():
    shutil.copytree("model", "cut")
    with open("cut/model.safetensors", "r+b") as file:
        file.truncate(1000)
    fails(1, ["cut"], "merit_train", "--train", "train.jsonl", "--out", "never", "--from", "cut")
    check(not os.path.exists("never.metrics.jsonl"), "empty metrics were left")


# ---- What models mean --------------------------------------------------------------------------------------------


def test_another_head_starts_anew():
    labels = [dict(r, labels=[None if v is None else v > 0 for v in r["labels"]]) for r in solutions(60, 4)]
    write_lines("binary_steps.jsonl", labels)
    for name, source, arguments in (
            ("logits_from_pairs", "model", ["--kind", "steps", "--head", "token_logits", "--bad-token", "b", "--good-token", "g",
                                            "--train", "binary_steps.jsonl"]),
            ("steps_from_pairs", "model", ["--kind", "steps", "--head", "step_logit", "--train", "binary_steps.jsonl"]),
            ("pairs_from_steps", "steps_from_pairs", ["--train", "train.jsonl"])):
        result = run("merit_train", "--from", source, "--out", name, *arguments)
        check(result.returncode == 0, result.stderr)
        found = json.loads(content(source, "merit.json"))["head"]["name"]
        made = json.loads(content(name, "merit.json"))["head"]["name"]
        check(f"the head of {source} is {found}, the model's is {made} and starts anew" in result.stderr, result.stderr)
    result = run("merit_train", "--from", "model", "--out", "same_head", "--train", "train.jsonl")
    check(result.returncode == 0 and "anew" not in result.stderr, result.stderr)


def test_the_loss_is_the_models_own():
    weighted = json.loads(content("outcome_model", "merit.json"))["loss"]
    check(weighted["focal"] == 1, "trained with settings that are not the usual ones")
    before = json.loads(succeeds("merit_evaluate", "--model", "outcome_model", "outcome_eval.jsonl", "--json"))["loss"]
    shutil.copytree("outcome_model", "other_loss")
    card = json.loads(content("other_loss", "merit.json"))

    def loss_with(**loss):
        card["loss"] = loss
        with open("other_loss/merit.json", "w", encoding="utf-8") as file:
            json.dump(card, file)
        return json.loads(succeeds("merit_evaluate", "--model", "other_loss", "outcome_eval.jsonl", "--json")).get("loss")

    check(loss_with(**weighted) == before, "the same card")
    check(loss_with(**dict(weighted, focal=0)) > before, "focal weights make a loss smaller")
    check(loss_with() is None, "a loss that is not known is not reported")
    check(loss_with(name="my_own") is None, "a loss of another program is not reported")
    card["loss"] = dict(weighted, denominator="per_word")
    with open("other_loss/merit.json", "w", encoding="utf-8") as file:
        json.dump(card, file)
    fails(1, ["other_loss/merit.json", "denominator", "per_word", "per_token, per_sequence"], "merit_evaluate", "--model",
          "other_loss", "outcome_eval.jsonl")


def test_a_head_that_is_for_scoring_says_what_learns_in_its_place():
    fails(2, ["--head is gated_regression: this head is for scoring", "an AttributeHead with RegressionLoss"], "merit_train",
          "--train", "train.jsonl", "--head", "gated_regression", "--out", "none")


def test_cards_that_cannot_be():
    for fields, parts in (({"kind": "wat"}, ["kind", "wat", "preference"]), ({"calibration": "wat"}, ["calibration", "wat", "platt"]),
                          ({"tokenizer": "wat"}, ["wat", "bytes"]), ({"truncation": "wat"}, ["wat", "cut_left"]),
                          ({"aggregation": "wat"}, ["wat", "product"]), ({"head": {"name": "wat"}}, ["wat", "scalar"]),
                          ({"loss": {"name": "pairwise", "scale": "wat"}}, ["scale", "wat"]),
                          ({"loss": {"name": "pairwise", "label_smoothing": 2}}, ["label_smoothing", "2"]),
                          ({"step_scale": 3}, ["step_scale", "3"]), ({"gamma": "wat"}, ["gamma", "wat"])):
        name = changed_card("wrong_card", **fields)
        fails(1, ["wrong_card/merit.json", *parts], "merit_evaluate", "--model", name, "eval.jsonl")


# ---- What there is to judge --------------------------------------------------------------------------------------


def test_ties_are_counted_and_refused_where_there_is_nothing_else():
    tied = {"prompt": "p", "completions": ["a", "b"], "ranks": [0, 0]}
    write_lines("tied.jsonl", [tied, tied])
    write_lines("some_tied.jsonl", [tied, dict(tied, ranks=[0, 1])])
    fails(1, ["tied.jsonl", "2 records that tie all completions", "to evaluate on"], "merit_train", "--kind", "ranking", "--train",
          "ranking_train.jsonl", "--eval", "tied.jsonl", "--out", "never", *SMALL)
    fails(1, ["tied.jsonl", "tie all completions", "pairwise"], "merit_train", "--kind", "ranking", "--loss", "pairwise",
          "--train", "tied.jsonl", "--out", "never", *SMALL)
    fails(1, ["tied.jsonl", "tie all completions"], "merit_evaluate", "--model", "ranking_model", "tied.jsonl")
    check(not os.path.exists("never") and not os.path.exists("never.metrics.jsonl"), "a refused run left something behind")
    result = json.loads(succeeds("merit_evaluate", "--model", "ranking_model", "some_tied.jsonl", "--json"))
    check(result["all_tied"] == 1 and result["records"]["all_tied"] == 1 and result["groups"] == 1, str(result))
    text = succeeds("merit_train", "--kind", "ranking", "--loss", "pairwise", "--train", "some_tied.jsonl", "--out", "some_tied",
                    *SMALL)
    check("1 of them with all completions tied" in text, text)
    judged = {"prompt": "p", "response_a": "a", "response_b": "b", "votes": ["a", "b"]}
    write_lines("even.jsonl", [judged])
    fails(1, ["even.jsonl", "1 record that ties all"], "merit_evaluate", "--model", "model", "even.jsonl")


def test_steps_that_hold_the_separator_are_told():
    write_lines("lines.jsonl", [{"prompt": "p", "completions": ["a\nb", "c"], "labels": [1, -1]}])
    text = succeeds("merit_train", "--kind", "steps", "--train", "lines.jsonl", "--out", "lines", *SMALL)
    check("1 step holds the separator inside" in text, text)


def test_judged_records_are_scored_in_their_order():
    judged = {"prompt": "p", "response_a": "ab", "response_b": "ba"}
    pair = {"prompt": "p", "chosen": "ab", "rejected": "ba"}
    lines = "".join(json.dumps(r) + "\n" for r in (judged, dict(judged, votes=["b"]), pair))
    first, voted, expected = map(json.loads, succeeds("merit_score", "--model", "model", "--json", stdin=lines).splitlines())
    for entry in (first, voted):
        check((entry["response_a"], entry["response_b"]) == (expected["chosen"], expected["rejected"]), str(entry))


def test_options_that_cannot_be():
    succeeds("merit_score", "--model", "value_model", "--aggregation", "none_below", "--threshold", "-1", stdin="")
    fails(2, ["--threshold", "nan", "a number"], "merit_score", "--model", "value_model", "--threshold", "nan", stdin="")
    succeeds(*EVALUATE, "--threshold", "+1e-310")
    for threshold in ("1.5", "-0.1", "nan", "half", "+-0.5"):
        fails(2, ["--threshold", threshold, "expected"], *EVALUATE, "--threshold", threshold)
        fails(2, ["--threshold", threshold, "expected"], "merit_score", "--model", "outcome_model", "--threshold", threshold, stdin="")
    fails(1, ["eval.jsonl", "nosuch"], *EVALUATE, "--subset-field", "nosuch")
    fails(2, ["--threads", "70000", "65535"], *EVALUATE, "--threads", 70000)
    fails(2, ["--layers", "two", "whole number"], *TRAIN, "--layers", "two")
    fails(2, ["--layers", "2.5", "whole number"], *TRAIN, "--layers", "2.5")
    fails(2, ["--learning-rate", "fast", "a number"], *TRAIN, "--lr", "fast")
    fails(2, ["--class-weights", "a", "a number"], "merit_train", "--kind", "steps", "--train", "steps_train.jsonl", "--out", "never",
          "--class-weights", "1,a,1")


def test_options_that_mean_nothing():
    score = ["merit_score", "--model", "model"]
    for option, value in (("--last", 2), ("--neutral", "bad"), ("--threshold", 0.5)):
        fails(2, [option, "as a whole"], *score, option, value, stdin="")
    fails(2, ["--neutral", "as a whole"], *EVALUATE, "--neutral", "bad")
    fails(2, ["--rank-cut is given without --rerank"], *score, "--rank-cut", "last", stdin="")
    fails(2, ["--head-tokens", "the head scalar"], *score, "--head-tokens", "no,yes", stdin="")
    # What follows a list with commas is a file.
    fails(2, ["unexpected argument \"other.jsonl\""], *score, "--head-tokens", "no,yes", "train.jsonl", "other.jsonl")
    fails(2, ["--base is given without --merge"], "merit_convert", "model", "converted", "--base", "model")
    if os.environ.get("MERIT_TEST_BACKEND", "eigen") == "eigen":
        for options in (["--product-plans", "plans.txt"], ["--stochastic-rounding"]):
            fails(2, [options[0] + " is given without --backend thrust"], "merit_train", "--train", "train.jsonl", "--out", "never",
                  *options)
    fails(2, ["--recompute", "found half", "or all"], "merit_train", "--train", "train.jsonl", "--out", "never",
          "--recompute", "half")
    # A threshold that nothing is below makes all alike, which is read by the report.
    said = ["merit_evaluate", "--model", "outcome_model", "outcome_eval.jsonl", "--aggregation", "none_below", "--json"]
    check(json.loads(succeeds(*said, "--threshold", 0))["area_under_curve"]["value"] == 0.5, "a threshold is not used")

    with open("options.json", "w", encoding="utf-8") as file:
        json.dump({"backbone": "bag_of_tokens", "width": 8, "lr": 0.03, "out": "never", "eval": "eval.jsonl"}, file)
    folds = ["merit_evaluate", "--config", "options.json", "--cross-validate", 2, "train.jsonl"]
    fails(2, ["--report means nothing with --cross-validate"], *folds, "--report", "never.html")
    result = run(*folds, "--limit", 40, "--seeds", 2, "--json")
    found = json.loads(result.stdout)
    check(found["records"] == 40 and found["seeds"] == 2, str(found))
    check("not used by --cross-validate: --eval, --out" in result.stderr and not os.path.exists("never"), result.stderr)
    succeeds("merit_train", "--train", "train.jsonl", "--out", "deep/er", "--dry-run", *SMALL)
    check(not os.path.exists("deep"), "a dry run made a folder")
    succeeds("merit_train", "--train", "train.jsonl", "--dry-run", *SMALL)  # which needs none
    fails(2, ["--out is missing"], "merit_train", "--train", "train.jsonl", "--dry-run", "--resume", *SMALL)
    write_lines("folds.json", [{"backbone": "bag_of_tokens"}])
    fails(1, ["never.jsonl"], "merit_evaluate", "--config", "folds.json", "--cross-validate", 2, "never.jsonl")  # by its own name


def test_backends_by_name():
    """A backend that there is not, or not in these programs, is one sentence; another gives the same scores."""
    lines = "".join(json.dumps({"prompt": "a", "completion": text}) + "\n" for text in ("abc", "acb", "fed"))
    for name, *arguments in (("merit_train", "--train", "train.jsonl", "--out", "never"), ("merit_score", "--model", "model"),
                             ("merit_evaluate", "--model", "model", "eval.jsonl")):
        fails(2, ['no backend "cuda"', "expected one of: eigen"], name, *arguments, "--backend", "cuda", stdin=lines)
    known = run("merit_score", "--help").stdout.split("what computes: ")[1].split("\n")[0]
    check("eigen" in known, known)
    usual = succeeds("merit_score", "--model", "model", "--backend", "eigen", stdin=lines).split()
    for other in ("thrust", "thrust_omp"):
        result = run("merit_score", "--model", "model", "--backend", other, stdin=lines)
        if other not in known.replace(",", " ").split():
            fails(2, [f"the backend {other} is not in this program", "eigen"], "merit_score", "--model", "model", "--backend", other,
                  stdin=lines)
        elif other == "thrust" and result.returncode != 0:
            fails(1, ["thrust: "], "merit_score", "--model", "model", "--backend", other, stdin=lines)  # there is no GPU
        else:
            near = 1e-5 if other == "thrust_omp" else 2e-2
            scores = result.stdout.split()
            check(len(scores) == len(usual) and all(abs(float(a) - float(b)) < near for a, b in zip(scores, usual)),
                  f"{other}: {scores} is not {usual}")


def test_what_nothing_answers_to_is_refused_by_name():
    for arguments, code, part in ((("--rename", "nosuch=prompt"), 2, '--rename nosuch=prompt: no record of eval.jsonl has the field "nosuch"'),
                                  (("--select", "nosuch=1"), 1, "eval.jsonl: there is no record that is selected: --select left out")):
        result = run("merit_score", "--model", "model", *arguments, "eval.jsonl")
        check(result.returncode == code and part in result.stderr, result.stderr)
    os.mkfifo("metrics.fifo")
    fails(1, ["metrics.fifo", "not a regular file"], "merit_train", "--train", "train.jsonl", "--out", "never", "--metrics", "metrics.fifo")
    write_lines("odd\x1b.jsonl", [{"prompt": "p", "chosen": "a", "rejected": "b"}])
    check("\x1b" not in succeeds("merit_data", "odd\x1b.jsonl"), "a raw escape")

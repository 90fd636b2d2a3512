#!/usr/bin/env python3
"""Requests of many clients to merit_serve beside merit_score on the same records: throughput as a ratio, times of answers.

Usage: serve_load.py PROGRAMS MODEL [--requests N] [--clients N] [--words N] [--answer-words N] [--prompts N]
                     [--keep-prompts MB] [--time-limit S] [--rounds N] [--peer COMMAND]
PROGRAMS is the folder of the built programs. Each round runs both, the order swapped from round to round; the ratio is of
the medians. Prompts of `words` words, as many of them as said (0: one for each request), answers of `answer-words`, one record
a request; --keep-prompts MB goes to merit_serve, and --time-limit S, after which it gives no score: that counts as one that differs. What merit_score takes to load the model
is taken off (a run on one record). COMMAND starts another server of the same model, such as
"python3 bench/peer/http_scores.py MODEL", that says its address as ours does; it is asked in turns with ours.
"""
import argparse
import http.client
import json
import random
import shlex
import statistics
import subprocess
import sys
import threading
import time

WORDS = "the a of and water fire is wet cold answer question reason because model reward better worse step proof".split()


def records(count, words, answer_words, prompts, seed):
    rng = random.Random(seed)
    texts = [" ".join(rng.choices(WORDS, k=words)) + "? " for _ in range(prompts)]
    return [{"prompt": texts[i % prompts], "completion": " ".join(rng.choices(WORDS, k=answer_words))} for i in range(count)]


def by_score(programs, model, lines):
    began = time.monotonic()
    output = subprocess.run([f"{programs}/merit_score", "--model", model], input="".join(lines), capture_output=True, text=True,
                            check=True).stdout
    return time.monotonic() - began, [float(line) for line in output.split()]


def by_server(port, bodies, clients):
    scores, times = [None] * len(bodies), [0.0] * len(bodies)

    def client(first):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        for i in range(first, len(bodies), clients):
            began = time.monotonic()
            connection.request("POST", "/score", bodies[i])
            scores[i] = json.loads(connection.getresponse().read())["results"][0]["score"]
            times[i] = time.monotonic() - began
        connection.close()

    threads = [threading.Thread(target=client, args=(first,)) for first in range(clients)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - began, scores, times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs")
    parser.add_argument("model")
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--words", type=int, default=64)
    parser.add_argument("--answer-words", type=int, default=32)
    parser.add_argument("--prompts", type=int, default=0)
    parser.add_argument("--keep-prompts", type=int, default=0)
    parser.add_argument("--time-limit", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", default="")
    arguments = parser.parse_args()
    lines = [json.dumps(one) + "\n" for one in records(arguments.requests, arguments.words, arguments.answer_words, arguments.prompts or arguments.requests, 1)]
    commands = {"merit_serve": [f"{arguments.programs}/merit_serve", "--model", arguments.model, "--port", "0", "--connections",
                                str(arguments.clients), "--keep-prompts", str(arguments.keep_prompts), "--time-limit",
                                str(arguments.time_limit)]}
    if arguments.peer:
        commands["the peer"] = shlex.split(arguments.peer)
    servers, ports = [], {}
    try:
        for name, command in commands.items():
            servers.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
            ports[name] = next((int(line.rsplit(":", 1)[1]) for line in servers[-1].stderr if " on http://" in line), None)
            if ports[name] is None:
                sys.exit(f"serve_load: {name} did not start")
            threading.Thread(target=servers[-1].stderr.read, daemon=True).start()
            by_server(ports[name], lines[:arguments.clients], arguments.clients)
        loading = min(by_score(arguments.programs, arguments.model, lines[:1])[0] for _ in range(3))
        sides = ["merit_score", *commands]
        seconds, times, scores = ({side: [] for side in sides} for _ in range(3))
        for turn in range(arguments.rounds):
            for side in sides if turn % 2 == 0 else reversed(sides):
                if side == "merit_score":
                    taken, scores[side] = by_score(arguments.programs, arguments.model, lines)
                    taken -= loading
                else:
                    taken, scores[side], of_each = by_server(ports[side], lines, arguments.clients)
                    times[side] += of_each
                seconds[side].append(taken)
        wrong = sum(a is None or abs(a - b) > 1e-4 * max(1, abs(b)) for a, b in zip(scores["merit_serve"], scores["merit_score"]))
        print(f"{arguments.requests} requests, {arguments.clients} clients, {arguments.rounds} rounds, a deadline of {arguments.time_limit} s; {wrong} scores differ")
        median = {side: statistics.median(seconds[side]) for side in sides}
        for side in sides:
            text = f"{side:12}{arguments.requests / median[side]:8.1f} records/s, {median['merit_score'] / median[side]:.2f} of merit_score"
            if times[side]:
                times[side].sort()
                text += (f"; an answer takes {1e3 * times[side][len(times[side]) // 2]:.0f} ms, 99 % of them "
                         f"{1e3 * times[side][len(times[side]) * 99 // 100]:.0f} ms at most")
            print(text)
        if arguments.peer:
            far = max(abs(a - b) for a, b in zip(scores["the peer"], scores["merit_serve"]))
            print(f"merit_serve takes 1 / {median['the peer'] / median['merit_serve']:.2f} of the peer's time; "
                  f"scores differ by {far:.1e} at most")
        sys.exit(1 if wrong else 0)
    finally:
        for server in servers:
            server.kill()


if __name__ == "__main__":
    main()

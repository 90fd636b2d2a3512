#!/usr/bin/env python3
"""Requests of many clients to merit_serve beside merit_score on the same records: throughput as a ratio, times of answers.

Usage: serve_load.py PROGRAMS MODEL [--requests N] [--clients N] [--words N] [--rounds N]
PROGRAMS is the folder of the built programs. Each round runs both, the order swapped from round to round; the ratio is of
the medians. Prompts of `words` words, answers of half as many, one record a request. What merit_score takes to load the model
is taken off (a run on one record).
"""
import argparse
import http.client
import json
import random
import statistics
import subprocess
import sys
import threading
import time

WORDS = "the a of and water fire is wet cold answer question reason because model reward better worse step proof".split()


def records(count, words, seed):
    rng = random.Random(seed)
    return [{"prompt": " ".join(rng.choices(WORDS, k=words)) + "? ",
             "completion": " ".join(rng.choices(WORDS, k=max(1, words // 2)))} for _ in range(count)]


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
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    lines = [json.dumps(one) + "\n" for one in records(arguments.requests, arguments.words, 1)]
    server = subprocess.Popen([f"{arguments.programs}/merit_serve", "--model", arguments.model, "--port", "0", "--connections",
                               str(arguments.clients)], stderr=subprocess.PIPE, text=True)
    try:
        port = None
        for line in server.stderr:
            if " on http://" in line:
                port = int(line.rsplit(":", 1)[1])
                break
        if port is None:
            sys.exit("serve_load: merit_serve did not start")
        loading = min(by_score(arguments.programs, arguments.model, lines[:1])[0] for _ in range(3))
        by_server(port, lines[:arguments.clients], arguments.clients)
        alone, served, times, wrong = [], [], [], 0
        for turn in range(arguments.rounds):
            for side in (0, 1) if turn % 2 == 0 else (1, 0):
                if side == 0:
                    seconds, expected = by_score(arguments.programs, arguments.model, lines)
                    alone.append(seconds - loading)
                else:
                    seconds, scores, of_each = by_server(port, lines, arguments.clients)
                    served.append(seconds)
                    times += of_each
            wrong += sum(a is None or abs(a - b) > 1e-4 * max(1, abs(b)) for a, b in zip(scores, expected))
        times.sort()
        ours, theirs = statistics.median(alone), statistics.median(served)
        print(f"{arguments.requests} requests, {arguments.clients} clients, {arguments.rounds} rounds; {wrong} scores differ")
        print(f"merit_score {arguments.requests / ours:8.1f} records/s")
        print(f"merit_serve {arguments.requests / theirs:8.1f} records/s, {ours / theirs:.2f} of it; an answer takes "
              f"{1e3 * times[len(times) // 2]:.0f} ms, 99 % of them {1e3 * times[len(times) * 99 // 100]:.0f} ms at most")
        sys.exit(1 if wrong else 0)
    finally:
        server.kill()


if __name__ == "__main__":
    main()

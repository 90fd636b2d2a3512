"""merit_serve from outside: a load of many clients, and those that are up to no good."""
import gzip
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time

from helpers import BACKEND, ENVIRONMENT, check, fails, program, succeeds


class Server:
    """A running merit_serve. Its port is the system's choice."""

    def __init__(self, model, *arguments, environment=()):
        self.process = subprocess.Popen([program("merit_serve"), "--model", model, "--port", "0", *map(str, arguments), *BACKEND],
                                        stderr=subprocess.PIPE, text=True, env=dict(ENVIRONMENT, **dict(environment)))
        self.said = []
        for line in self.process.stderr:
            self.said.append(line)
            if " on http://" in line:
                self.port = int(line.rsplit(":", 1)[1])
                break
        else:
            raise AssertionError(f"merit_serve did not start: {''.join(self.said)}")
        threading.Thread(target=lambda: self.said.extend(self.process.stderr), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def connect(self, timeout=60):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, path, body=None, headers=(), connection=None):
        """(status, answer, headers)."""
        one = connection or self.connect()
        text = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
        one.request("GET" if body is None else "POST", path, text, dict(headers))
        reply = one.getresponse()
        content = reply.read()
        is_json = reply.headers.get("Content-Type") == "application/json"
        return reply.status, json.loads(content) if is_json else content.decode(), reply.headers

    def say(self, request):
        """The beginning of the answer to some bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(request)
            return connection.recv(100)

    def end(self):
        """By the signal that service managers send."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def texts(count, seed):
    rng = random.Random(seed)
    return [("sort " + "".join(rng.choices("abcdefgh", k=rng.randrange(4, 9))) + "\n",
             "".join(rng.choices("abcdefgh", k=rng.randrange(1, 30)))) for _ in range(count)]


def started(client, count, errors):
    """Threads that call client(0), client(1), …; what one throws, whatever it is, is put into `errors`."""
    def guarded(number):
        try:
            client(number)
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


def load(server, pairs, clients):
    """Each pair scored by one of several clients at once, in requests of each kind: the scores, by pair."""
    scores = [None] * len(pairs)

    def client(first):
        connection = server.connect()
        for i in range(first, len(pairs), clients):
            prompt, completion = pairs[i]
            kind = i % 4
            if kind == 0:
                path, body = "/score", {"prompt": prompt, "completion": completion}
            elif kind == 1:
                path, body = "/v1/rerank", {"query": prompt, "documents": [completion]}
            elif kind == 2:
                path, body = "/score", {"text_1": prompt, "text_2": completion}
            else:
                path, body = "/get_reward", {"query": [prompt + completion], "prompts": [prompt]}
            status, answer, _ = server.ask(path, body, connection=connection)
            check(status == 200, f"{path}: {answer}")
            scores[i] = (answer["rewards"][0] if kind == 3 else answer["data"][0]["score"] if kind == 2
                         else answer["results"][0]["score"])
        connection.close()

    errors = []
    for thread in started(client, clients, errors):
        thread.join()
    check(not errors, f"{len(errors)} clients failed, one by {errors[:1]}")
    return scores


def compare(server, model, pairs, clients):
    lines = "".join(json.dumps({"prompt": p, "completion": c}) + "\n" for p, c in pairs)
    alone = [float(line) for line in succeeds("merit_score", "--model", model, stdin=lines).split()]
    served = load(server, pairs, clients)
    wrong = [i for i, (a, b) in enumerate(zip(alone, served)) if b is None or abs(a - b) > 1e-5 * max(1, abs(a))]
    check(not wrong, f"{len(wrong)} of {len(pairs)} scores are wrong or lost, such as {wrong[:3]}")


def test_a_server_answers_many_clients_as_merit_score_does():
    with Server("model") as server:
        compare(server, "model", texts(1000, 5), 16)
        status, metrics, _ = server.ask("/metrics")
        check(status == 200 and "merit_records_scored_total 1000\n" in metrics, metrics)
        check(server.ask("/health")[1] == {"status": "ok", "model": "model"}, "health")
        check(server.end() == 0, "".join(server.said))
    check(server.said[-1] == "merit_serve: done\n", str(server.said))


def test_a_server_keeps_prompts_and_its_scores_stay():
    with Server("model", "--keep-prompts", 1) as server:
        pairs = [(prompt, completion) for prompt, _ in texts(20, 6) for _, completion in texts(10, 7)]
        compare(server, "model", pairs, 4)
        server.ask("/score", {"completion": "ab"})
        reused = int(next(line for line in server.ask("/metrics")[1].splitlines()
                          if line.startswith("merit_tokens_reused_total")).split()[1])
        check(reused > 500, f"{reused} tokens were not computed again")


def test_a_server_survives_bad_clients():
    with Server("model", "--request-time", 1, "--max-body", 100000, "--connections", 4, "--max-records", 8) as server:
        good = {"prompt": "sort ab\n", "completion": "ab"}
        score = server.ask("/score", good)[1]["results"][0]["score"]

        def still_right():
            check(server.ask("/score", good)[1]["results"][0]["score"] == score, "a score changed")

        for body in (b"", b"{", b"\xff\xfe", b"[" * 1000, b'{"completion": 1e999}', b'{"completion": {}}', b'{"prompt": "a"}'):
            status, answer, _ = server.ask("/score", body)
            check(status == 400 and answer["error"]["message"], f"{body}: {status} {answer}")
        for path, status in (("/nothing", 404), ("/score", 405)):
            check(server.ask(path)[0] == status, path)
        check(server.ask("/rerank", {"query": "a", "documents": ["a"] * 9})[0] == 400, "too many documents")
        status, answer, _ = server.ask("/score", b'{"completion": "' + b"a" * 200000 + b'"}')
        check(status == 413 and "100000 bytes" in answer["error"]["message"], f"{status} {answer}")
        chunks = b"POST /score HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"8000\r\n" + b"a" * 0x8000 + b"\r\n") * 9
        check(b" 413 " in server.say(chunks + b"0\r\n\r\n"), "chunks that are too much together")
        packed = gzip.compress(b'{"completion": "' + b"a" * 3000000 + b'"}')
        check(b" 413 " in server.say(b"POST /score HTTP/1.1\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
                                     % len(packed) + packed), "too much when it is unpacked")
        check(b" 400 " in server.say(b"POST /score HTTP/1.1\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=x\r\n"
                                     b"Content-Length: 5\r\n\r\n--x--"), "a form")
        still_right()

        # An answer is whole whatever part of it was asked for.
        ranged = server.ask("/score", good, {"Range": "bytes=0-3"})
        check(ranged[0] == 200 and ranged[1]["results"][0]["score"] == score, str(ranged))

        # Gone in the middle of a request, and before the answer.
        for text in (b"POST /score HTTP/1.1\r\nContent-Length: 50\r\n\r\n{", b"POST /sc", b"\x16\x03\x01\x02\x00",
                     b"POST /score HTTP/1.1\r\nContent-Length: 42\r\n\r\n" + json.dumps(good).encode()[:42]):
            with socket.create_connection(("127.0.0.1", server.port)) as gone:
                gone.sendall(text)
        still_right()

        # As many as there are threads say a letter now and then: each is closed, and others are answered.
        slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(4)]
        began = time.monotonic()
        for one in slow:
            one.sendall(b"POST /score HTTP/1.1\r\nX-Slow: ")

        def drip():
            while slow:
                for one in list(slow):
                    try:
                        one.sendall(b"a")
                    except OSError:
                        slow.remove(one)
                time.sleep(0.2)

        dripping = threading.Thread(target=drip, daemon=True)
        dripping.start()
        still_right()
        dripping.join(10)
        check(not slow and time.monotonic() - began < 10, "slow connections were not closed")
        check(server.end() == 0, "".join(server.said))


def test_idle_connections_keep_nobody_waiting():
    def lost(connections):
        """How many of them the server has closed."""
        count = 0
        for one in connections:
            one.auto_open = False  # it would connect again
            try:
                check(server.ask("/health", connection=one)[0] == 200, "no answer on a kept connection")
            except (OSError, http.client.HTTPException):
                count += 1
        return count

    with Server("model", "--connections", 4) as server:
        idle = [server.connect() for _ in range(3)]
        for one in idle:
            check(server.ask("/health", connection=one)[0] == 200, "no answer to one of three")
        until = time.monotonic() + 2
        while time.monotonic() < until:  # each finds the fourth thread free
            check(server.ask("/health", headers={"Connection": "close"})[0] == 200, "no answer beside three idle ones")
        check(lost(idle) == 0, "connections were closed while a thread was free")

        # The fourth thread has half a request, and stays with it.
        half = socket.create_connection(("127.0.0.1", server.port))
        half.sendall(b"GET /health HTTP/1.1\r\nConnection: close\r\n")
        time.sleep(0.3)
        began = time.monotonic()
        check(server.ask("/health", headers={"Connection": "close"})[0] == 200, "no answer beside four others")
        check(time.monotonic() - began < 4, f"idle connections kept another waiting for {time.monotonic() - began:.1f} s")
        check(lost(idle) == 1, "expected to lose one of three idle connections")
        half.sendall(b"\r\n")
        check(b" 200 " in half.recv(100), "half a request was not waited for")
        for one in (*idle, half):
            one.close()
        check(server.end() == 0, "".join(server.said))


def test_a_server_that_ends_waits_for_nobody_who_is_silent():
    with Server("model", "--max-wait", 1500, "--max-waiting", 64) as server:
        idle = [server.connect() for _ in range(3)]
        for one in idle:
            check(server.ask("/health", connection=one)[0] == 200, "no answer")
        said_nothing = socket.create_connection(("127.0.0.1", server.port))
        answers = []
        asking = threading.Thread(target=lambda: answers.append(server.ask("/score", {"completion": "ab"})))
        asking.start()  # and is answered a second and a half later
        time.sleep(0.7)
        began = time.monotonic()
        code = server.end()
        took = time.monotonic() - began
        asking.join()
        check(code == 0 and took < 3, f"{took:.1f} s to the end with three idle connections: {code}")
        check([status for status, _, _ in answers] == [200], f"what was being answered was not: {answers}")
        for one in idle:
            one.close()
        said_nothing.close()


def test_a_server_that_ends_waits_a_moment_for_half_a_request():
    body = json.dumps({"completion": "ab"}).encode()
    head = b"POST /score HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    with Server("model") as server:
        stalled = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
        stalled[0].sendall(b"POST /score HTT")
        stalled[1].sendall(head + body[:5])
        ends_in_time = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        ends_in_time.sendall(head + body[:5])
        time.sleep(0.7)
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        ends_in_time.sendall(body[5:])
        answer = ends_in_time.recv(100)
        check(b" 200 " in answer, f"a request that was whole in time got {answer}")
        code = server.process.wait(30)
        took = time.monotonic() - began
        check(code == 0 and took < 5, f"{took:.1f} s to the end with two halves of requests: {code}")
        for one in (*stalled, ends_in_time):
            one.close()


def test_a_server_that_is_about_to_end_says_so_and_still_answers():
    with Server("model", "--drain", 60) as server:
        good = {"completion": "ab"}
        check(server.ask("/health")[0] == 200, "health")
        server.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 20
        while server.ask("/health")[0] != 503:
            check(time.monotonic() < deadline, "health never said that the end is near")
            time.sleep(0.05)
        check("about to end" in server.ask("/health")[1]["error"]["message"], "the sentence of health")
        check(server.ask("/score", good)[0] == 200, "a request before the end was not answered")
        check(server.end() == 0, "".join(server.said))  # a second signal ends the wait
    with Server("model", "--drain", 1) as server:
        began = time.monotonic()
        check(server.end() == 0 and 1 <= time.monotonic() - began < 10, "the wait has no end of its own")


def test_a_server_takes_no_headers_without_end():
    with Server("model", "--request-time", 60) as server:
        before, began = resident(server.process), time.monotonic()
        with socket.create_connection(("127.0.0.1", server.port)) as flood:
            flood.settimeout(2)  # of a client that sends on, the system may say nothing for long
            line = b"".join(b"X%d: " % i + b"a" * 8000 + b"\r\n" for i in range(20))
            try:
                flood.sendall(b"POST /score HTTP/1.1\r\n")
                while time.monotonic() - began < 10:
                    flood.sendall(line)
                    time.sleep(0.001)
                raise AssertionError(f"ten seconds of headers were taken, {resident(server.process) - before} KB")
            except OSError:
                pass
        check(resident(server.process) - before < 200000, f"{resident(server.process) - before} KB of headers")
        # A large body is no flood, and a connection that lives has as many as it likes.
        connection = server.connect()
        for _ in range(4):
            status, answer, _ = server.ask("/score", {"completion": "a" * 2000000}, connection=connection)
            check(status == 400 and "too long" in answer["error"]["message"], f"{status} {answer}")


def test_a_server_asks_for_its_key():
    with open("key", "w", encoding="utf-8") as file:
        file.write("secret\n")
    with Server("model", "--api-key-file", "key") as server:
        good = {"completion": "ab"}
        check(server.ask("/health")[0] == 200, "health needs no key")
        for headers in ({}, {"Authorization": "Bearer secre"}, {"Authorization": "secret"}, {"Authorization": "Bearer secret2"}):
            check(server.ask("/score", good, headers)[0] == 401, str(headers))
        check(server.ask("/score", good, {"Authorization": "Bearer secret"})[0] == 200, "the key")


def test_a_key_that_is_none_is_refused():
    for key in ("", "\n", "a\nb\n"):
        with open("key", "w", encoding="utf-8") as file:
            file.write(key)
        fails(1, ["key: found"], "merit_serve", "--model", "model", "--port", 0, "--api-key-file", "key")
    result = subprocess.run([program("merit_serve"), "--model", "model", "--port", "0"], capture_output=True, text=True, timeout=60,
                            env=dict(ENVIRONMENT, MERIT_API_KEY=""))
    check(result.returncode == 1 and "MERIT_API_KEY: found no key" in result.stderr, str(result))
    fails(2, ["--host is empty"], "merit_serve", "--model", "model", "--port", 0, "--host", "")


def test_a_full_server_says_when_to_come_again():
    with Server("model", "--max-waiting", 1, "--max-wait", 500, "--connections", 8) as server:
        answers = []

        def one():
            answers.append(server.ask("/score", {"completion": "ab"}))

        threads = [threading.Thread(target=one) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        statuses = sorted(status for status, _, _ in answers)
        check(statuses[0] == 200 and statuses[-1] == 429, str(statuses))
        for status, answer, headers in answers:
            if status == 429:
                check(int(headers["Retry-After"]) >= 1 and "wait to be scored" in answer["error"]["message"], str(answer))


def test_a_server_that_is_told_to_end_before_it_listens_does():
    for _ in range(10):
        process = subprocess.Popen([program("merit_serve"), "--model", "model", "--port", "0", *BACKEND], stderr=subprocess.PIPE,
                                   env=ENVIRONMENT)
        try:
            while process.poll() is None:  # until it takes the signal
                with open(f"/proc/{process.pid}/status", encoding="utf-8") as status:
                    caught = next(int(line.split()[1], 16) for line in status if line.startswith("SigCgt"))
                if caught >> (signal.SIGTERM - 1) & 1:
                    break
            process.send_signal(signal.SIGTERM)
            check(process.wait(30) == 0, process.stderr.read())
        finally:
            process.kill()


def test_a_server_that_cannot_start_says_why():
    fails(2, ["--model is missing"], "merit_serve")
    fails(2, ["--connections is 0"], "merit_serve", "--model", "model", "--connections", 0)
    for option, most in (("--connections", 65536), ("--time-limit", 31536000), ("--request-time", 31536000), ("--max-wait", 31536000000),
                         ("--drain", 31536000), ("--keep-prompts", 2**44 - 1)):
        fails(2, [f"{option} is {2**64 - 1}, expected at most {most}"], "merit_serve", "--model", "model", option, 2**64 - 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        fails(1, ["cannot listen on 127.0.0.1:", "in use"], "merit_serve", "--model", "model", "--port", taken.getsockname()[1])


def resident(process):
    """Kilobytes of memory that a process holds."""
    with open(f"/proc/{process.pid}/status", encoding="utf-8") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1])


def shapes(count, seed):
    """Requests of every shape that a model of whole completions answers: (path, body)."""
    pairs = texts(3 * count, seed)
    for i in range(count):
        (prompt, one), (_, two), (_, three) = pairs[3 * i:3 * i + 3]
        record = {"prompt": prompt, "completion": one}
        yield from (
            ("/score", record), ("/score", {"prompt": prompt, "completions": [one, two, three]}),
            ("/score", {"records": [record, {"completion": two}, {"prompt": 1}], "rows": True}),
            ("/score", {"text_1": prompt, "text_2": [one, two]}), ("/v1/score", {"queries": prompt, "documents": [one, three]}),
            ("/rerank", {"query": prompt, "documents": [one, two]}), ("/v2/rerank", {"query": prompt, "documents": [one, two], "top_n": 1}),
            ("/v1/rerank", {"query": prompt, "documents": [one, two, three], "return_documents": False}),
            ("/rerank", {"query": prompt, "texts": [one, two], "raw_scores": True}), ("/rerank", {"query": prompt, "texts": [one, three]}),
            ("/classify", {"input": [prompt + one, two]}), ("/pooling", {"input": prompt + three}),
            ("/get_reward", {"query": [prompt + one, two], "prompts": [prompt, ""]}),
            ("/rewards", {"rollouts": [record, {"prompt": prompt, "completion": two}], "values": [[0.5, 0.25], [1]], "lambda": 0.9}),
            ("/score", {"prompt": prompt}), ("/health", None), ("/v1/models", None), ("/metrics", None))


def same(a, b):
    """Whether two answers are alike, their numbers up to the last digits, which depend on what is computed together."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(key == "created" or same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= 1e-5 * max(1, abs(a))
    return a == b


def soak(server, seconds, clients, pause):
    """Requests of every shape over and over: each answer as the first of the same request, and the memory, minute by minute.
    Each client waits `pause` seconds after an answer."""
    requests = list(shapes(300, 9))
    first, wrong, asked, waits = [None] * len(requests), [], [0] * clients, [0.0] * clients
    began = time.monotonic()

    def client(number):
        connection = server.connect()
        rng = random.Random(number)
        turn = list(range(number, len(requests), clients))
        while time.monotonic() - began < seconds and not wrong:
            for i in turn:
                path, body = requests[i]
                sent = time.monotonic()
                status, answer, _ = server.ask(path, body, connection=connection)
                waits[number] = max(waits[number], time.monotonic() - sent)
                asked[number] += 1
                if path == "/metrics":
                    answer = None
                if first[i] is None:
                    first[i] = status, answer
                    if status != (400 if body is not None and body.keys() == {"prompt"} else 200):
                        wrong.append((path, body, status, answer))
                elif status != first[i][0] or not same(answer, first[i][1]):
                    wrong.append((path, body, status, answer, first[i]))
                time.sleep(pause)
            rng.shuffle(turn)  # so that others are computed together each time

    threads = started(client, clients, wrong)
    for minute in range(1, int(seconds // 60) + 1):
        while time.monotonic() - began < 60 * minute and not wrong:
            time.sleep(1)
        print(f"{minute:4} min {sum(asked):9} requests  {resident(server.process)} KB", flush=True)
    for thread in threads:
        thread.join()
    print(f"{sum(asked)} requests of {len(requests)} kinds, {len(wrong)} answers wrong; the longest took {max(waits):.2f} s; "
          f"{resident(server.process)} KB; {len(os.listdir(f'/proc/{server.process.pid}/fd'))} open files")
    check(not wrong, f"such as {wrong[:1]}")


if __name__ == "__main__":  # by hand: a long load on any model, and the same requests over and over
    import argparse
    parser = argparse.ArgumentParser(description="A load of many clients on a model, and a soak of requests of every shape.")
    parser.add_argument("model")
    parser.add_argument("requests", type=int)
    parser.add_argument("seconds", type=float, nargs="?", default=0)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--pause", type=float, default=0, metavar="MS", help="of each client of the soak, after an answer")
    asked_for = parser.parse_args()
    with Server(os.path.abspath(asked_for.model)) as running:
        start = time.monotonic()
        compare(running, asked_for.model, texts(asked_for.requests, 5), asked_for.clients)
        print(f"{asked_for.requests} requests of {asked_for.clients} clients: no score wrong or lost; "
              f"{time.monotonic() - start:.1f} s with merit_score's part")
        print("\n".join(line for line in running.ask("/metrics")[1].splitlines() if "total" in line and line[0] != "#"))
        if asked_for.seconds:
            soak(running, asked_for.seconds, asked_for.clients, asked_for.pause / 1000)
            check(running.end() == 0, "".join(running.said))

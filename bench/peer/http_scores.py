#!/usr/bin/env python3
"""A reward model by transformers behind HTTP, as bench/serve_load.py asks for it: POST /score with a prompt and a completion.

Usage: http_scores.py MODEL [--batch-tokens N]
One thread computes what waits as a batch, padded, sorted by length and cut at the budget, while the others read and answer.
"""
import argparse
import http.server
import json
import queue
import sys
import threading

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--batch-tokens", type=int, default=8192)
    arguments = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForSequenceClassification.from_pretrained(arguments.model, dtype=torch.float32).eval()
    waiting = queue.Queue()

    def compute(batch):
        """Of (ids, answer) the score at each one's last token, the end of sequence, as merit reads it."""
        longest = max(len(ids) for ids, _ in batch)
        tokens = torch.zeros(len(batch), longest, dtype=torch.long)
        mask = torch.zeros(len(batch), longest, dtype=torch.long)
        for i, (ids, _) in enumerate(batch):
            tokens[i, :len(ids)] = torch.tensor(ids)
            mask[i, :len(ids)] = 1
        with torch.inference_mode():
            hidden = model.model(tokens, attention_mask=mask).last_hidden_state
            scores = model.score(hidden[torch.arange(len(batch)), mask.sum(1) - 1])
        for (_, answer), score in zip(batch, scores[:, 0].tolist()):
            answer.put(score)

    def work():
        while True:
            taken = [waiting.get()]
            while not waiting.empty():
                taken.append(waiting.get())
            taken.sort(key=lambda one: len(one[0]))
            batch = []
            for one in taken:
                if batch and (len(batch) + 1) * len(one[0]) > arguments.batch_tokens:
                    compute(batch)
                    batch = []
                batch.append(one)
            compute(batch)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            record = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = queue.Queue()
            ids = tokenizer(record["prompt"] + record["completion"])["input_ids"] + [tokenizer.eos_token_id]
            waiting.put((ids, answer))
            body = json.dumps({"results": [{"score": answer.get()}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 128

    threading.Thread(target=work, daemon=True).start()
    server = Server(("127.0.0.1", 0), Handler)
    print(f"transformers on http://127.0.0.1:{server.server_port}", file=sys.stderr, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()

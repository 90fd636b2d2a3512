#!/usr/bin/env python3
"""Writes events.json: the bytes of events as TensorBoard's own writer makes them.

    python3 -m venv golden-env
    golden-env/bin/pip install tensorboard
    golden-env/bin/python tests/golden/generate_events.py
"""

import io
import json
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


def record(event):
    out = io.BytesIO()
    RecordWriter(out).write(event.SerializeToString())
    return out.getvalue().hex()


def scalar(tag, step, value, seconds):
    return record(Event(wall_time=seconds, step=step, summary=Summary(value=[Summary.Value(tag=tag, simple_value=value)])))


events = {
    "start": record(Event(wall_time=1700000000.25, file_version="brain.Event:2")),
    "loss": scalar("train/loss", 1, 0.693, 1700000001.5),
    "rate": scalar("train/learning_rate", 300, 1e-5, 1700000002),
    "restart": record(Event(wall_time=1700000003, step=301, session_log=SessionLog(status=SessionLog.START))),
}
Path(__file__).with_name("events.json").write_text(json.dumps(events, indent=1) + "\n")

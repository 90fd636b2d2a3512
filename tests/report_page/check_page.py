#!/usr/bin/env python3
"""Looks at a report page in a real browser. Usage: check_page.py PROGRAM_THAT_WRITES_ONE [FOLDER_FOR_SCREENSHOTS]

Ends with 77 when no browser is found. The page is opened at two widths in light and dark; what it looks like is
judged by the pixels of screenshots and by what the browser says of its own layout."""

import json
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
import zlib
from itertools import accumulate
from pathlib import Path

failures = []
passes = 0


def check(good, what):
    global passes
    if good:
        passes += 1
    else:
        failures.append(what)
        print(f"FAILED: {what}")


def read_png(path):
    """The rows of a PNG of 8 bits a channel, without interlacing, and how many channels it has."""
    data = path.read_bytes()
    at, packed = 8, b""
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind = data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", body)
            assert depth == 8 and colour in (2, 6) and interlace == 0
        elif kind == b"IDAT":
            packed += body
        at += 12 + length
    channels = 3 if colour == 2 else 4
    stride = width * channels
    raw = zlib.decompress(packed)
    rows, before = [], bytearray(stride)
    for y in range(height):
        how = raw[y * (stride + 1)]
        line = bytearray(raw[y * (stride + 1) + 1 : (y + 1) * (stride + 1)])
        if how in (2, 4) and not any(line):  # as the line above, which most of a page is
            line = before
        elif how == 1:
            for channel in range(channels):
                line[channel::channels] = bytes(value & 255 for value in accumulate(line[channel::channels]))
        elif how == 2:
            line = bytearray((value + up) & 255 for value, up in zip(line, before))
        elif how == 3:
            for i in range(stride):
                left = line[i - channels] if i >= channels else 0
                line[i] = (line[i] + (left + before[i]) // 2) & 255
        elif how == 4:
            for i in range(stride):
                left, corner = (line[i - channels], before[i - channels]) if i >= channels else (0, 0)
                up = before[i]
                to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
                nearest = left if to_left <= to_up and to_left <= to_corner else up if to_up <= to_corner else corner
                line[i] = (line[i] + nearest) & 255
        rows.append(line)
        before = line
    return rows, channels


def pixels_of(row, channels, width, step=1):
    """(red, green, blue) of each step-th of the first `width` pixels of a row."""
    return [tuple(row[at : at + 3]) for at in range(0, width * channels, step * channels)]


def brightness(pixel):
    return (2126 * pixel[0] + 7152 * pixel[1] + 722 * pixel[2]) / 10000


# Run in the page: measures it and puts the findings where --dump-dom shows them.
PROBE = """
<script>
window.addEventListener('load', () => {
  const box = e => e.getBoundingClientRect();
  const overlaps = [];
  for (const svg of document.querySelectorAll('figure .scroll > svg')) {
    const texts = [...svg.querySelectorAll('text')].map(t => [t.textContent, box(t)]);
    for (const [text, b] of texts)
      if (b.left < box(svg).left - 0.5 || b.right > box(svg).right + 0.5 || b.bottom > box(svg).bottom + 0.5)
        overlaps.push(text + ' leaves the drawing');
    for (let i = 0; i < texts.length; ++i) for (let j = i + 1; j < texts.length; ++j) {
      const a = texts[i][1], b = texts[j][1];
      if (a.left < b.right - 0.5 && b.left < a.right - 0.5 && a.top < b.bottom - 0.5 && b.top < a.bottom - 0.5)
        overlaps.push(texts[i][0] + ' / ' + texts[j][0]);
    }
  }
  const found = {
    width: document.documentElement.scrollWidth, window: window.innerWidth,
    sections: [...document.querySelectorAll('section')].map(s => [s.querySelector('h2').textContent, box(s).width, box(s).height]),
    charts: [...document.querySelectorAll('figure .scroll > svg')].map(s => [box(s).width, box(s).height]),
    overlaps, requests: performance.getEntriesByType('resource').length,
    ink: getComputedStyle(document.body).color, page: getComputedStyle(document.body).backgroundColor,
    lines: [...document.querySelectorAll('figure .scroll .line')].map(l => getComputedStyle(l).stroke),
    steps: document.querySelectorAll('.steps li').length, pieces: document.querySelectorAll('.text .piece').length,
    bold: document.querySelectorAll('.prompt b').length
  };
  parent.postMessage(JSON.stringify(found), '*');
});
</script>
"""

# A browser's window has a least width, wider than a phone's screen; a frame inside of it has not.
FRAME = """<!DOCTYPE html><html><head><meta name="color-scheme" content="light dark"/></head><body style="margin:0">
<pre id="found" hidden></pre>
<script>addEventListener('message', e => document.getElementById('found').textContent = e.data);</script>
<iframe src="%s" style="border:0;display:block;width:%dpx;height:4200px"></iframe></body></html>"""


def main():
    browser = next((p for p in map(shutil.which, ["chromium", "chromium-browser", "google-chrome"]) if p), None)
    if browser is None:
        print("SKIPPED: report_page: no chromium is installed, so the page was not looked at")
        return 77
    keep = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        page = folder / "page.html"
        subprocess.run([sys.argv[1], str(page)], check=True)
        text = page.read_text(encoding="utf-8")
        try:
            ElementTree.fromstring(text.split("\n", 1)[1])
            check(True, "")
        except ElementTree.ParseError as error:
            check(False, f"the page is not well formed: {error}")
        outside = re.findall(r"""(?:src|href)\s*=|url\(|@import|https?://(?!www\.w3\.org/(?:1999/xhtml|2000/svg)")""", text)
        check(not outside, f"the page names something outside itself: {outside}")
        check("<script" not in text, "the page holds a script")
        probe = folder / "probe.html"
        probe.write_text(text.replace("</body>", PROBE + "</body>"), encoding="utf-8")

        for scheme, setting in (("light", "1"), ("dark", "0")):
            for name, width in (("desktop", 1200), ("phone", 390)):
                where = f"{scheme}, {name}"
                base = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                        "--disable-dev-shm-usage", f"--user-data-dir={folder}/profile-{scheme}-{name}",
                        f"--blink-settings=preferredColorScheme={setting}", f"--window-size={max(width, 500)},4200",
                        "--virtual-time-budget=2000"]
                shown, measured = folder / f"{name}.html", folder / f"{name}-probe.html"
                shown.write_text(FRAME % (page.as_uri(), width), encoding="utf-8")
                measured.write_text(FRAME % (probe.as_uri(), width), encoding="utf-8")
                image = folder / f"{scheme}-{name}.png"
                subprocess.run(base + [f"--screenshot={image}", shown.as_uri()], check=True, capture_output=True, timeout=120)
                dump = subprocess.run(base + ["--enable-logging=stderr", "--dump-dom", measured.as_uri()], check=True,
                                      capture_output=True, text=True, timeout=120)
                match = re.search(r'<pre id="found"[^>]*>(.+?)</pre>', dump.stdout, re.S)
                check(match is not None, f"{where}: the page could not be measured")
                check("CONSOLE" not in dump.stderr, f"{where}: the browser complains: {dump.stderr[-300:]}")
                if match is None:
                    continue
                found = json.loads(match.group(1).replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&"))
                check(found["window"] == width, f"{where}: the page is shown at {found['window']}")
                check(found["width"] <= found["window"], f"{where}: the page is {found['width']} wide in {found['window']}")
                check(len(found["sections"]) == 8, f"{where}: sections {found['sections']}")
                for title, w, h in found["sections"]:
                    check(w > 200 and h > 50, f"{where}: section {title} is {w} by {h}")
                check(len(found["charts"]) == 5, f"{where}: charts {found['charts']}")
                for w, h in found["charts"]:
                    check(w >= 420 and h > 180, f"{where}: a chart is {w} by {h}")
                check(not found["overlaps"], f"{where}: labels overlap: {found['overlaps']}")
                check(found["requests"] == 0, f"{where}: {found['requests']} requests")
                check(found["steps"] == 4 and found["pieces"] == 9, f"{where}: {found['steps']} steps, {found['pieces']} pieces")
                check(found["bold"] == 0, f"{where}: text of a record became an element")
                check(all(c != "none" for c in found["lines"]), f"{where}: a line has no colour")

                rows, channels = read_png(image)
                pixels = [pixel for row in rows[::3] for pixel in pixels_of(row, channels, width, 3)]
                edge = brightness(pixels_of(rows[5], channels, width)[5])
                corner_text = [brightness(pixel) for row in rows[30:90] for pixel in pixels_of(row, channels, width)]
                if scheme == "light":
                    check(edge > 240, f"{where}: the background has brightness {edge}")
                    check(min(corner_text) < 80, f"{where}: the title is not dark")
                else:
                    check(edge < 40, f"{where}: the background has brightness {edge}")
                    check(max(corner_text) > 180, f"{where}: the title is not light")
                coloured = sum(1 for p in pixels if max(p) - min(p) > 60)
                check(coloured > 300, f"{where}: only {coloured} coloured pixels: the charts or records are missing")
                if keep:
                    keep.mkdir(parents=True, exist_ok=True)
                    shutil.copy(image, keep)
    print(f"{passes} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

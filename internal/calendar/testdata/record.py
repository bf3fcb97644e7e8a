#!/usr/bin/env python3
"""Records testdata/calendar.tsv and testdata/span.tsv from the installed
systemd-analyze (black box; recorded with 252.38-1~deb12u1).

  TZ=ZONE systemd-analyze calendar --base-time='BASE UTC' --iterations=N EXPR
  systemd-analyze timespan SPAN

Usage: record.py calendar < calendar.tsv > new.tsv; record.py span < span.tsv > new.tsv
The input columns (zone, base, iterations, expression; or the span) are read
again, the recorded columns are replaced, comments are kept.
"""
import os, re, subprocess, sys

def run(args, zone):
    p = subprocess.run(args, env=dict(os.environ, TZ=zone, SYSTEMD_COLORS="0", LC_ALL="C"),
                       capture_output=True, text=True, timeout=20)
    return p.returncode, p.stdout

def inputs():
    for line in sys.stdin:
        line = line.rstrip("\n")
        if line.startswith("#"):
            print(line)
        else:
            yield line.split("\t")

def calendar():
    for zone, base, n, expr, *_ in inputs():
        rc, out = run(["systemd-analyze", "calendar", "--base-time=" + base + " UTC",
                       "--iterations=" + n, "--", expr], zone)
        if rc:
            print(zone, base, n, expr, "error", sep="\t")
            continue
        # Not printed when it is what was asked.
        norm = re.search(r"Normalized form: (.*)", out)
        label = r"\(in UTC\)" if "(in UTC)" in out else r"(?:Next elapse|Iter\. #\d+)"
        times = re.findall(r"^\s*" + label + r": \w+ (\d+-\d+-\d+ \d+:\d+:\d+) UTC$", out, re.M)
        print(zone, base, n, expr, norm.group(1) if norm else expr, *(times or ["never"]), sep="\t")

def span():
    for s, *_ in inputs():
        rc, out = run(["systemd-analyze", "timespan", "--", s], "UTC")
        if rc:
            print(s, "error", sep="\t")
            continue
        print(s, re.search(r"s: (\d+)", out).group(1), re.search(r"Human: (.*)", out).group(1), sep="\t")

span() if sys.argv[1:] == ["span"] else calendar()

#!/usr/bin/env python3
"""Records testdata/escape.tsv from the installed systemd-escape (black box;
recorded with 252.38-1~deb12u1): systemd-escape [OPTION] -- STRING.

Usage: record.py < escape.tsv > new.tsv. The first two columns (operation and
string, the latter with Python escapes for bytes outside ASCII) are read again.
"""
import subprocess, sys

ops = {"escape": [], "path": ["--path"], "unescape": ["--unescape"],
       "unescape-path": ["--unescape", "--path"], "mangle": ["--mangle"],
       "instance": ["--unescape", "--instance"]}

def raw(s):
    return s.encode().decode("unicode_escape").encode("latin1")

def show(b):
    return "".join(chr(c) if 32 <= c < 127 and c != 92 else "\\x%02x" % c if c != 92 else "\\\\" for c in b)

for line in sys.stdin:
    line = line.rstrip("\n")
    if line.startswith("#"):
        print(line)
        continue
    op, s, *_ = line.split("\t")
    p = subprocess.run([b"systemd-escape", *ops[op], b"--", raw(s)], capture_output=True)
    print(op, show(raw(s)), "error" if p.returncode else "=" + show(p.stdout[:-1]), sep="\t")

// Package mountinfo reads /proc/self/mountinfo and /proc/swaps (proc(5)). It parses
// and compares, and opens nothing. Of a table that is read again only the lines that
// differ are parsed, so that one change among a thousand mounts costs little more
// than the comparison.
//
// Both files carry what users named: every field is taken as bytes without meaning,
// and what is no line of the format is left out and counted.
package mountinfo

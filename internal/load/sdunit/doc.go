// Package sdunit reads the syntax of systemd unit files (systemd.syntax(7))
// into fragments with exact positions.
//
// It owns lines, sections, comments, continuations and the bounds on them. It
// refuses meaning: it does not know which sections and keys exist, does not
// unquote, split or expand a value, and opens no file.
//
// What the manual leaves open was recorded from systemd-analyze 257:
//   - a line ends at "\n", "\r", or either pair of them;
//   - a blank line ends a continuation, a comment inside one does not, and a
//     backslash at the end of a comment means nothing;
//   - a section header that is not closed makes the whole file unusable there;
//     here the assignments up to the next good header are left out and the
//     diagnostic is an Error, from which the caller concludes the same;
//   - lines without "=", without a key or outside a section, and lines that
//     are not UTF-8, are left out with a warning;
//   - sections whose name starts with "X-" are not looked at, not even for
//     syntax.
package sdunit

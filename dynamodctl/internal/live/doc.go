// Package live asks a running manager: it finds the socket, says in words why
// nobody answers there, begins jobs and waits for them, and follows logs and
// events. It prints nothing; package render makes text of what it returns.
package live

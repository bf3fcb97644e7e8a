// Package testkit is what the tests of several packages share: the test binary as
// its own child, and bounded waiting. Products never import it.
package testkit

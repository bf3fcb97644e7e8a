// Package check finds what is wrong in a system tree before it boots: the
// findings of loader and graph, readiness that dependents wait for in vain, and
// settings that nothing acts on yet. It makes a Report and writes it as text or
// JSON; it never changes the tree.
package check

// Package install enables, disables, masks and unmasks units by the links that
// systemctl(1) documents, in the tree of this machine or any other. It works out
// all changes first and carries them out in a last step, which a dry run leaves
// out. Whether a manager runs does not matter to it.
//
// Native units differ: those with start = "boot" need no link, and a mask of one
// stands beside its file.
package install

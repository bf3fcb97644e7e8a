// Package debtree fetches real Debian 13 system trees and caches them outside
// the repository, so that tests can load real unit files. Nothing of Debian is
// committed here: a [Recipe] is a list of package names and facts, and a tree is
// built from it on first use.
//
//	tree, err := debtree.Ensure(ctx, debtree.GNOME, os.Stderr)
//
// A cached tree is read-only by convention: many tests share it. Copy what you
// want to change, or mount an overlay over it.
//
// Layout of the cache ($DYNAMOD_CACHE, else $XDG_CACHE_HOME/dynamod, else
// ~/.cache/dynamod):
//
//	debtree/<recipe>-<hash>/root           the tree
//	debtree/<recipe>-<hash>/packages.tsv   package, version, architecture
//	debtree/<recipe>-<hash>/recipe.json    what it was built from
//	debtree/<recipe>-<hash>/build.log      what the tools said
//	debtree/build.lock                     held while anything is built
//
// The hash is that of the recipe, not of the package versions: remove the
// directory to fetch newer packages.
//
// The package also runs the tree's own, unmodified systemd-analyze
// ([SystemdAnalyzeVerify]), as the oracle that our diagnostics are compared with.
// It never reads systemd's source, and it is imported only by tests and by
// desktop-tests/cmd.
package debtree

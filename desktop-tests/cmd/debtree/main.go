// Command debtree prints the path of a cached Debian 13 tree and builds it first
// if it is not there. See package debtree.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"dynamod/desktop-tests/debtree"
)

func main() {
	name := flag.String("recipe", debtree.GNOME.Name, "what to build: gnome, gnome-units (or units), minimal, server, kernel, busybox")
	only := flag.Bool("print", false, "print the path without building; exit 1 if the tree is not there")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: debtree [-recipe NAME] [-print]\nPrints the path of a cached Debian 13 tree; builds it first if it is not there.")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	recipe, err := debtree.Lookup(*name)
	if err != nil {
		fmt.Fprintln(os.Stderr, "debtree:", err)
		os.Exit(2)
	}
	if err := run(recipe, *only); err != nil {
		fmt.Fprintln(os.Stderr, "debtree:", err)
		os.Exit(1)
	}
}

func run(recipe debtree.Recipe, only bool) error {
	// An interrupted build must remove its half tree.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if only {
		tree, err := debtree.Path(recipe)
		if err != nil {
			return err
		}
		fmt.Println(tree)
		if _, ok := debtree.Cached(recipe); !ok {
			return fmt.Errorf("not built yet: go run ./desktop-tests/cmd/debtree -recipe %s", recipe.Name)
		}
		return nil
	}
	tree, err := debtree.Ensure(ctx, recipe, os.Stderr)
	if err != nil {
		return err
	}
	fmt.Println(tree)
	return nil
}

package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"dynamod/step/internal/prompt"
)

// getty becomes the program that asks for a name; it does not come back.
func getty(s *shell, args []string) error {
	// $TERM is the manager's, which is right for the kernel's console only.
	cmd, err := prompt.For(args[0], os.Getenv("GETTY_TERM"), find)
	if err != nil {
		return err
	}
	if err := unix.Exec(cmd.Path, cmd.Args, os.Environ()); err != nil {
		return fmt.Errorf("run %s: %w", cmd.Path, err)
	}
	panic("exec came back without an error")
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// loadTime is how long loadkeys may take.
const loadTime = 10 * time.Second

// LoadKeys runs kbd's loadkeys, where there is a console to be typed at.
func (kernel) LoadKeys(keymap, toggle string) error {
	if _, err := os.Stat("/dev/tty0"); err != nil {
		return errors.New("there is no console")
	}
	args := []string{"-q", keymap}
	if toggle != "" {
		args = append(args, toggle)
	}
	ctx, cancel := context.WithTimeout(context.Background(), loadTime)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "loadkeys", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("loadkeys: %w: %.200q", err, out)
	}
	return nil
}

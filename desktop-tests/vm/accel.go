package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"dynamod/desktop-tests/debtree"
)

// Accel is what runs the guest's instructions.
type Accel string

const (
	KVM Accel = "kvm" // the processor
	TCG Accel = "tcg" // QEMU's emulation of one
)

func (a Accel) arg() string {
	if a == TCG {
		return "tcg,thread=multi"
	}
	return string(a)
}

func (a Accel) cpu() string {
	if a == KVM {
		return "host"
	}
	// RDRAND, so that the guest does not wait for entropy.
	return "Nehalem,+rdrand"
}

// kvmPatience is how long a guest may take under KVM to prove it works: it needs
// about one second. On some machines /dev/kvm exists and guests crash or crawl.
const kvmPatience = 10 * time.Second

// Acceleration decides between KVM and TCG by booting a guest, once after each boot
// of the host; $VM_ACCEL (kvm or tcg) overrides.
func Acceleration(ctx context.Context, progress io.Writer) (Accel, error) {
	switch env := Accel(os.Getenv("VM_ACCEL")); env {
	case "":
	case KVM, TCG:
		return env, nil
	default:
		return "", fmt.Errorf("VM_ACCEL=%s: want kvm or tcg", env)
	}
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err != nil {
		return TCG, nil
	} else {
		f.Close()
	}
	cache, err := debtree.CacheDir()
	if err != nil {
		return "", err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("find out which boot of the host this is: %w", err)
	}
	file := filepath.Join(cache, "vm", "accel")
	if known, err := os.ReadFile(file); err == nil {
		if which, accel, _ := strings.Cut(strings.TrimSpace(string(known)), " "); which == strings.TrimSpace(string(boot)) && (accel == string(KVM) || accel == string(TCG)) {
			return Accel(accel), nil
		}
	}
	accel := KVM
	if err := Smoke(ctx, KVM, kvmPatience, progress); err != nil {
		if ctx.Err() != nil || errors.Is(err, os.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
			return "", err
		}
		accel = TCG
		if progress != nil {
			fmt.Fprint(progress, "vm: /dev/kvm is here, but runs no guest (see build/vm/smoke-kvm): QEMU emulates a processor, which is slower\n")
		}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", err
	}
	return accel, writeWhole(file, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s %s\n", strings.TrimSpace(string(boot)), accel)
		return err
	})
}

// Smoke boots the smallest guest there is and lets it power off.
func Smoke(ctx context.Context, accel Accel, limit time.Duration, progress io.Writer) error {
	k, err := DebianKernel(ctx, progress)
	if err != nil {
		return err
	}
	out, err := RunInGuest(ctx, Job{Name: "smoke-" + string(accel), Kernel: k, Accel: accel, Limit: limit, Progress: progress})
	if err == nil && out.Exit != 0 {
		err = fmt.Errorf("the smoke guest ended with %d", out.Exit)
	}
	return err
}

package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"dynamod/desktop-tests/vm/guestjob"
)

// Job is a program to run as root in a guest that has nothing else to do, with all
// controllers of cgroup v2 at hand and /proc, /sys, /dev, /run, /tmp mounted.
type Job struct {
	// Name is that of the machine.
	Name string
	// Kernel is Debian's if nil.
	Kernel *Kernel
	// Argv is the program and its arguments; nothing boots and powers off.
	Argv []string
	Env  []string
	// Dir is where it runs, / if empty.
	Dir string
	// Files are brought along: the name below guestjob.Files (which is where
	// GuestFile says) and the file of the host.
	Files map[string]string
	// Root is an ext4 image that becomes the root directory; what is written to it
	// is lost. Without it the guest has the initramfs and what Initramfs adds.
	Root string
	// Initramfs adds to the initramfs.
	Initramfs func(*Initramfs)
	// Swap gives the guest that many MiB of swap space; needs Root.
	Swap int
	// Scratch are the sizes in MiB of empty disks, behind root and swap.
	Scratch []int
	// Modules are loaded besides those for the disks.
	Modules []string
	// The rest is as in Spec.
	CPUs, Memory int
	Limit        time.Duration
	Accel        Accel
	Output       io.Writer
	Progress     io.Writer
	Append       []string
}

// GuestFile is where the guest finds a file of Job.Files.
func GuestFile(name string) string { return path.Join(guestjob.Files, name) }

// Outcome is how a job ended.
type Outcome struct {
	// Exit is its code, or 128 and the signal.
	Exit int
	// Output is all that it wrote to its standard output and error.
	Output []byte
	// Results are the lines that it wrote to ResultPort itself.
	Results *Results
	// Dir is the machine's.
	Dir string
	// Took is from the start of the machine to its end.
	Took time.Duration
}

// RunInGuest runs a job. The error says what went wrong with the machine; how the
// program ended is in the outcome.
func RunInGuest(ctx context.Context, j Job) (*Outcome, error) {
	k := j.Kernel
	if k == nil {
		var err error
		if k, err = DebianKernel(ctx, j.Progress); err != nil {
			return nil, err
		}
	}
	spec := Spec{Name: j.Name, Kernel: k, CPUs: j.CPUs, Memory: j.Memory, Limit: j.Limit, Accel: j.Accel,
		Output: j.Output, Progress: j.Progress, Append: append([]string{"quiet"}, j.Append...)}
	// Kept, so that the line in qemu.args can be run again.
	dir, err := machineDir(j.Name)
	if err != nil {
		return nil, err
	}
	job := guestjob.Job{Argv: j.Argv, Env: j.Env, Dir: j.Dir}
	modules := j.Modules
	if j.Root != "" {
		job.Root, job.FS = "/dev/vda", "ext4"
		spec.Disks = append(spec.Disks, Drive{File: j.Root})
		modules = append(modules, "ext4", "virtio_blk")
	}
	empty := func(mib int) error {
		file := filepath.Join(dir, fmt.Sprintf("disk%d", len(spec.Disks)))
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			return err
		}
		if err := os.Truncate(file, int64(mib)<<20); err != nil {
			return err
		}
		spec.Disks = append(spec.Disks, Drive{File: file, Keep: true})
		modules = append(modules, "virtio_blk")
		return nil
	}
	if j.Swap > 0 {
		job.Swap = "/dev/vd" + string(rune('a'+len(spec.Disks)))
		if err := empty(j.Swap); err != nil {
			return nil, err
		}
	}
	for _, size := range j.Scratch {
		if err := empty(size); err != nil {
			return nil, err
		}
	}
	init := filepath.Join(dir, "init")
	if err := Build(ctx, "./desktop-tests/guestinit", init); err != nil {
		return nil, err
	}
	slices.Sort(modules)
	loaded, err := k.Modules(slices.Compact(modules)...)
	if err != nil {
		return nil, err
	}
	i := NewInitramfs()
	i.Copy("/init", init)
	i.Modules(guestjob.Modules, k, loaded)
	text, err := json.Marshal(job)
	if err != nil {
		return nil, err
	}
	i.File(guestjob.File, 0o644, text)
	for name, host := range j.Files {
		i.Copy(GuestFile(name), host)
	}
	if j.Initramfs != nil {
		j.Initramfs(i)
	}
	spec.Initramfs = filepath.Join(dir, "initramfs")
	if err := i.Write(spec.Initramfs); err != nil {
		return nil, err
	}
	m, err := Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	err = m.Results.Wait(m.ctx)
	if err == nil {
		err = m.Wait()
	} else {
		err = m.ending(err)
	}
	out := &Outcome{Results: m.Results, Dir: m.Dir, Took: time.Since(m.Started)}
	if err != nil {
		return out, err
	}
	if out.Output, err = os.ReadFile(filepath.Join(m.Dir, "output.log")); err != nil {
		return out, err
	}
	for _, c := range m.Results.Checks() {
		if c.Name == guestjob.Failed && !c.OK {
			return out, fmt.Errorf("the guest's init: %s", c.Text)
		}
	}
	out.Exit, err = strconv.Atoi(m.Results.Value(guestjob.Exit))
	if err != nil {
		return out, fmt.Errorf("the guest's init told no exit code: %w", err)
	}
	return out, nil
}

// Build makes a static program of a package of this repository, named from its top.
func Build(ctx context.Context, pkg, out string, flags ...string) error {
	return goTool(ctx, slices.Concat([]string{"build", "-trimpath", "-buildvcs=false", "-o", out}, flags, []string{pkg}))
}

// BuildTest makes a static test binary of a package.
func BuildTest(ctx context.Context, pkg, out string, flags ...string) error {
	return goTool(ctx, slices.Concat([]string{"test", "-c", "-trimpath", "-buildvcs=false", "-o", out}, flags, []string{pkg}))
}

func goTool(ctx context.Context, args []string) error {
	top, err := ModuleRoot()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = top
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w: %s", args[0], err, bytes.TrimSpace(text))
	}
	return nil
}

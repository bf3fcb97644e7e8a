// Package vm boots virtual machines for tests: Debian 13's kernel under QEMU, with
// an initramfs and disks that are made here, without root, mounts or loop devices.
// It owns kernels, images, QEMU processes and what comes out of them. It knows
// nothing of dynamod: scenarios (desktop-tests/scenarios) say what runs inside.
//
//	m, err := vm.Start(ctx, vm.Spec{Name: "smoke", Kernel: kernel, Initramfs: img})
//	defer m.Close()
//	err = m.Results.Wait(ctx)
//
// Everything of a machine is kept in build/vm/NAME: the command line of QEMU, the
// console's log, the results, pictures of the screen. A machine never outlives the
// process that started it, not even when that is killed, nor its time limit.
package vm

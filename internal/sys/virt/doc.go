// Package virt finds out what the system runs in: a virtual machine, a container, or
// neither, under the names of systemd-detect-virt(1). It looks at files and at
// CPUID; it runs nothing and needs no privilege, though it sees less without.
package virt

#!/bin/sh
# Installs on the host what the project's tools and tests run.
#
#   tools/install-deps.sh [base] [tree] [vm]     (all without arguments)
#
# One function per purpose. What is there already is left alone, and then nothing
# is run at all. Needs apt-get (Debian, Ubuntu) and root or sudo; elsewhere it
# names the packages and exits 1.
set -eu

# missing NEED:PACKAGE… prints the packages whose command (or /absolute/file, or pattern) is not here.
missing() {
	for pair; do
		need=${pair%%:*}
		case $need in
		# shellcheck disable=SC2086 # the pattern is meant to expand
		/*) ls -d $need >/dev/null 2>&1 || printf '%s\n' "${pair#*:}" ;;
		*) PATH=$PATH:/usr/sbin:/sbin command -v "$need" >/dev/null || printf '%s\n' "${pair#*:}" ;;
		esac
	done | sort -u | tr '\n' ' '
}

# install PURPOSE NEED:PACKAGE… installs what is missing.
install() {
	purpose=$1
	shift
	packages=$(missing "$@")
	[ -n "$packages" ] || return 0
	if ! command -v apt-get >/dev/null; then
		echo "install-deps: $purpose: no apt-get here; install what gives you these Debian packages: $packages" >&2
		exit 1
	fi
	sudo=
	if [ "$(id -u)" -ne 0 ]; then
		if ! command -v sudo >/dev/null; then
			echo "install-deps: $purpose: neither root nor sudo; as root: apt-get install $packages" >&2
			exit 1
		fi
		sudo=sudo
	fi
	echo "install-deps: $purpose: installing $packages"
	log=$(mktemp)
	# Fresh lists only when the old ones do not do: apt-get update is the slow part.
	# shellcheck disable=SC2086 # a list of names
	if ! { $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages ||
		{ $sudo apt-get update -q &&
			$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages; }; } >"$log" 2>&1; then
		echo "install-deps: $purpose: apt-get failed; the end of its log ($log):" >&2
		tail -n 20 "$log" >&2
		exit 1
	fi
	rm -f "$log"
	still=$(missing "$@")
	if [ -n "$still" ]; then
		echo "install-deps: $purpose: this release's $still is too old or lacks what is needed: $*" >&2
		exit 1
	fi
}

# base: to build and to run make check, test. The Go toolchain itself (see go.mod)
# is not a package of any Debian release yet.
base() {
	install base git:git make:make cc:gcc /usr/include/stdlib.h:libc6-dev \
		/etc/ssl/certs/ca-certificates.crt:ca-certificates unshare:util-linux mount:mount \
		who:coreutils dbus-daemon:dbus-daemon busctl:systemd
	filesystems
	PATH=$PATH:/usr/local/go/bin command -v go >/dev/null || {
		echo "install-deps: base: no go command; install Go $(sed -n 's/^go //p' "$(dirname "$0")/../go.mod") or newer from https://go.dev/dl/" >&2
		exit 1
	}
}

# filesystems: what makes them, for disks of machines and as oracles of tests.
filesystems() {
	install filesystems mke2fs:e2fsprogs mkfs.btrfs:btrfs-progs mkfs.xfs:xfsprogs mkfs.vfat:dosfstools \
		mksquashfs:squashfs-tools xorriso:xorriso
}

# tree: to fetch Debian 13 trees (desktop-tests/debtree). The key file is that of
# trixie: an older debian-archive-keyring is upgraded. newuidmap is for builds without root.
tree() {
	install tree mmdebstrap:mmdebstrap dpkg-deb:dpkg tar:tar zstd:zstd xz:xz-utils newuidmap:uidmap \
		/usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring \
		'/usr/share/keyrings/debian-archive-trixie-stable.*:debian-archive-keyring'
}

# vm: to boot virtual machines (desktop-tests/vm). The live medium is made with GRUB
# and xorriso (desktop-tests/bootable); the kernel and the systems in them come by
# way of tree.
vm() {
	filesystems
	install vm qemu-system-x86_64:qemu-system-x86 /usr/share/seabios/bios-256k.bin:seabios \
		grub-mkrescue:grub-common /usr/lib/grub/i386-pc/boot.img:grub-pc-bin mformat:mtools
}

[ $# -gt 0 ] || set -- base tree vm
for purpose; do
	case $purpose in
	base | tree | vm) "$purpose" ;;
	*)
		echo "usage: tools/install-deps.sh [base] [tree] [vm]" >&2
		exit 2
		;;
	esac
done

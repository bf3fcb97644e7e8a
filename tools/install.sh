#!/bin/sh
# `make install`: puts what is in build/, config/ and docs/ where packages have it.
#
#   tools/install.sh DESTDIR PREFIX SBINDIR
#
# The loader looks for native files in /usr/lib/dynamod and /etc/dynamod whatever
# the prefix is; the services find their programs below the prefix. A program that
# this tree does not have yet is left out. docs/paths.md lists all of it.
set -eu
cd "$(dirname "$0")/.."
dest=$1 prefix=$2 sbin=$3
case $prefix$sbin in
/*) ;;
*)
	echo "install: PREFIX and SBINDIR must be absolute: $prefix $sbin" >&2
	exit 2
	;;
esac

put() { # MODE FILE DIRECTORY
	install -d -m 755 "$dest$3"
	install -m "$1" "$2" "$dest$3/"
}

# What systemd's packages have under the same name stays theirs: then their services
# answer, and not ours.
offer() { # FILE DIRECTORY
	there=$dest$2/$(basename "$1")
	if [ -e "$there" ] && ! grep -q dynamod "$there"; then
		echo "install: $there belongs to another package and stays" >&2
		return
	fi
	put 644 "$1" "$2"
}

[ -x build/dynamod-svmgr ] || { echo "install: build/ is empty; run make build first" >&2; exit 1; }
put 755 build/dynamodctl "$prefix/bin"
[ ! -x build/dynamod-init ] || put 755 build/dynamod-init "$sbin"
for p in svmgr child pam step logd logind sd1bridge hostnamed; do
	[ ! -x "build/dynamod-$p" ] || put 755 "build/dynamod-$p" "$prefix/lib/dynamod"
done

install -d -m 755 "$dest/etc/dynamod/services" "$dest/etc/dynamod/supervisors" \
	"$dest/usr/lib/dynamod/services" "$dest/usr/lib/dynamod/supervisors"
for kind in stock/services stock/supervisors shadow/services shadow/supervisors; do
	for f in config/$kind/*.toml; do
		put 644 "$f" "/usr/lib/dynamod/$kind"
		if [ "$prefix" != /usr ]; then
			sed -i "s|/usr/lib/dynamod/dynamod-|$prefix/lib/dynamod/dynamod-|g" "$dest/usr/lib/dynamod/$kind/$(basename "$f")"
		fi
	done
done

# systemd's own units, where they are used, need these from us; they change nothing under
# systemd.
for f in config/units/*/*.conf; do
	put 644 "$f" "/usr/lib/systemd/system/$(basename "$(dirname "$f")")"
done

# systemd's packages have policies of their own for these names, and distributions add to
# them (Debian lets nobody change the locale over the bus); ours would allow it again.
policy() { # FILE NAME
	there=$dest$prefix/share/dbus-1/system.d
	if [ -e "$there/$2.conf" ]; then
		echo "install: $there/$2.conf belongs to another package and counts" >&2
		rm -f "$there/$(basename "$1")"
		return
	fi
	put 644 "$1" "$prefix/share/dbus-1/system.d"
}
policy config/dbus/dynamod-systemd1.conf org.freedesktop.systemd1
policy config/dbus/dynamod-login1.conf org.freedesktop.login1
policy config/dbus/dynamod-hostnamed.conf org.freedesktop.hostname1
for f in config/dbus-services/*.service; do
	offer "$f" "$prefix/share/dbus-1/system-services"
	at="$dest$prefix/share/dbus-1/system-services/$(basename "$f")"
	[ "$prefix" = /usr ] || sed -i "s|/usr/lib/dynamod/dynamod-|$prefix/lib/dynamod/dynamod-|g" "$at"
done
for f in config/polkit/*.policy; do
	offer "$f" "$prefix/share/polkit-1/actions"
done
for f in docs/man/*.[1-8]; do
	put 644 "$f" "$prefix/share/man/man${f##*.}"
done
put 644 include/dynamod-board.h "$prefix/include"
complete() { # SHELL DIRECTORY FILE
	install -d -m 755 "$dest$prefix/share/$2"
	build/dynamodctl completion "$1" >"$dest$prefix/share/$2/$3"
	chmod 644 "$dest$prefix/share/$2/$3"
}
complete bash bash-completion/completions dynamodctl
complete zsh zsh/site-functions _dynamodctl
complete fish fish/vendor_completions.d dynamodctl.fish
for f in LICENSE README.md docs/*.md; do
	put 644 "$f" "$prefix/share/doc/dynamod"
done

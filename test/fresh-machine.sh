#!/bin/sh
# Runs a command on a fresh Debian 12: a root folder made by debootstrap with nothing in it but Node, npm, git and a clone of what
# is committed here. Processes, mounts and network namespaces end with it.
#
#     test/fresh-machine.sh [COMMAND...]        default: npm start -- --once
#
# Needs root and debootstrap. FRESH_ROOT=FOLDER keeps the root folder and uses it again, MIRROR=URL is where packages come from.
set -eu

project=$(cd "$(dirname "$0")/.." && pwd)
mirror=${MIRROR:?names a Debian mirror}
kept=${FRESH_ROOT:-}
root=${kept:-$(mktemp -d)}
[ -n "$kept" ] || trap 'rm -rf --one-file-system "$root"' EXIT
[ $# -gt 0 ] || set -- npm start -- --once

if [ ! -e "$root/usr/bin/node" ]; then
	echo "fresh machine: debootstrap into $root" >&2
	debootstrap --variant=minbase --include=ca-certificates,git bookworm "$root" "$mirror" >"$root.log" 2>&1 || {
		tail -5 "$root.log" >&2
		exit 1
	}
	rm -f "$root.log"
	node=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
	mkdir -p "$root/usr/lib/node_modules"
	cp -a "$node" "$root/usr/lib/node_modules/npm"
	ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/bin/npm"
	ln -s ../lib/node_modules/npm/bin/npx-cli.js "$root/usr/bin/npx"
	cp "$(command -v node)" "$root/usr/bin/node"
fi
[ -e "$root/src" ] || git clone -q "file://$project" "$root/src"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
# A registry behind a proxy with a certificate of its own.
authorities=${NODE_EXTRA_CA_CERTS:+/etc/ssl/authorities.pem}
[ -z "$authorities" ] || install -m 644 "$NODE_EXTRA_CA_CERTS" "$root$authorities"

npm_config_registry=$(npm config get registry) authorities=$authorities root=$root \
	unshare --mount --pid --fork --kill-child --propagation private sh -euc '
	# ip netns remounts "/", which must therefore be a mount.
	mount --bind "$root" "$root"
	mount -t proc proc "$root/proc"
	mount --rbind /sys "$root/sys"
	mount --rbind /dev "$root/dev"
	mount -t tmpfs tmpfs "$root/run"
	exec chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM="${TERM:-dumb}" \
		npm_config_registry="$npm_config_registry" NODE_EXTRA_CA_CERTS="$authorities" DPVS_HA_NO_INSTALL="${DPVS_HA_NO_INSTALL:-}" \
		sh -c "cd /src && exec \"\$@\"" sh "$@"' sh "$@"

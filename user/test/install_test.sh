#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# install_test.sh MAKE: what is installed can be used with pkg-config alone,
# from C and C++, linked with the shared library and with the static one.
set -eu

make=$1
. "${0%/*}/ok_lib.sh"

unset MAKEFLAGS MFLAGS
ok "make install" "$make" install DESTDIR="$tmp/root" PREFIX=/usr

export PKG_CONFIG_PATH="$tmp/root/usr/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$tmp/root"
export PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
export LD_LIBRARY_PATH="$tmp/root/usr/lib"
cat >"$tmp/a.c" <<'EOF'
#include <imsipsec.h>
int main(void)
{
	struct imsipsec_addr addr;
	struct imsipsec *h;

	imsipsec_close(imsipsec_open(&h) ? 0 : h);
	return imsipsec_addr_parse(&addr, "192.0.2.1");
}
EOF
cp "$tmp/a.c" "$tmp/a.cc"
ok "pkg-config" pkg-config --print-errors --exists libimsipsec
shared=$(pkg-config --cflags --libs libimsipsec)
ok "VERSION: pkg-config" sh -c "[ \$(pkg-config --modversion libimsipsec) = \$(cat ../VERSION) ]"

# shellcheck disable=SC2086
{
	ok "C with the shared library" cc -std=c11 -pedantic -Wall -Wextra -Werror \
		-o "$tmp/shared" "$tmp/a.c" $shared
	ok "it runs" "$tmp/shared"
	ok "C++" c++ -Wall -Wextra -Werror -o "$tmp/cc" "$tmp/a.cc" $shared
	ok "C with the static library" cc -o "$tmp/static" "$tmp/a.c" \
		"-I$tmp/root/usr/include" "$tmp/root/usr/lib/libimsipsec.a" -lmnl
	ok "it runs" "$tmp/static"
}
# The example's alone: without it the rest is built, and that the example is not is said
cat >"$tmp/pkg-config" <<'EOF'
#!/bin/sh
case " $* " in *" nettle "*) exit 1 ;; esac
exec pkg-config "$@"
EOF
chmod +x "$tmp/pkg-config"
ok "NETTLE: without it the library and the command are built, and no example" sh -c "
	'$make' -n all BUILD='$tmp/none' PKG_CONFIG='$tmp/pkg-config' >'$tmp/said' &&
	grep -q -- '-o $tmp/none/imsipsec ' '$tmp/said' && grep -q 'libimsipsec.so' '$tmp/said' &&
	grep -q 'pcscf is not built: nettle' '$tmp/said' && ! grep -n 'examples/\|-lnettle' '$tmp/said'"
ok "NETTLE: nothing but the example includes it" sh -c "grep -q nettle examples/*/*.c &&
	! grep -rn nettle lib cli sip"
ok "the man page is there" test -s "$tmp/root/usr/share/man/man8/imsipsec.8"
ok "TOOL: imsipsec-ue is there, and runs" sh -c "'$tmp/root/usr/bin/imsipsec-ue' --version | grep -q 'imsipsec-ue [0-9]'"
ok "TOOL: its manual has its paths" sh -c "! grep -n '@[A-Z]*@' '$tmp/root/usr/share/man/man8/imsipsec-ue.8'"
for file in share/man/man8/imsipsec-ue.8 share/bash-completion/completions/imsipsec-ue share/doc/ims_ipsec/examples/subscribers.csv.example; do
	ok "TOOL: $file is there" test -s "$tmp/root/usr/$file"
done

unit=$tmp/root/usr/lib/systemd/system/ims_ipsec.service
ok "the unit has its paths" sh -c "! grep -n '@[A-Z]*@' '$unit' &&
	grep -qx 'ExecStart=/usr/sbin/imsipsec batch /etc/ims_ipsec.conf' '$unit'"
# It outlives: nothing that stops it deletes an endpoint
ok "the unit has no ExecStop" sh -c "! grep -nE '^Exec(Stop|StopPost)=' '$unit'"
if command -v systemd-analyze >/dev/null; then
	# Of this host it is to see what the unit starts, and not its units
	export SYSTEMD_UNIT_PATH="$tmp"
	sed "s|/usr/sbin/imsipsec|$tmp/root&|; s|/sbin/modprobe|/bin/true|" "$unit" \
		>"$tmp/ims_ipsec.service"
	# shellcheck disable=SC2317 # ok calls it
	verify() {
		systemd-analyze verify --man=no "$1" >"$tmp/said" 2>&1 || { cat "$tmp/said"; return 1; }
		! grep ims_ipsec "$tmp/said"
	}
	ok "systemd-analyze verify" verify "$tmp/ims_ipsec.service"
	ok "systemd-analyze security: the unit can do little harm" \
		systemd-analyze security --offline=true --threshold=50 --no-pager "$tmp/ims_ipsec.service"
	metrics=$(dirname "$unit")/ims_ipsec-metrics
	sed "s|/usr/sbin/imsipsec|$tmp/root&|" "$metrics.service" >"$tmp/ims_ipsec-metrics.service"
	cp "$metrics.timer" "$tmp/"
	for target in sysinit basic shutdown timers time-sync time-set; do
		echo '[Unit]' >"$tmp/$target.target"
	done
	ok "systemd-analyze verify: the timer of the counters" verify "$tmp/ims_ipsec-metrics.timer"
	ok "systemd-analyze security: its service can do little harm" \
		systemd-analyze security --offline=true --threshold=40 --no-pager "$tmp/ims_ipsec-metrics.service"
	# That it would have found what is wrong
	sed 's/^RemainAfterExit/RemainAfterExti/' "$tmp/ims_ipsec.service" >"$tmp/wrong.service"
	ok "systemd-analyze sees a wrong line" sh -c \
		"systemd-analyze verify --man=no '$tmp/wrong.service' 2>&1 | grep RemainAfterExti"
else
	n=$((n + 1))
	echo "ok $n - systemd-analyze verify # SKIP there is no systemd-analyze"
fi
examples=$tmp/root/usr/share/doc/ims_ipsec/examples
for file in modprobe.d.example modules-load.d.example ims_ipsec.rules.yml ims_ipsec.dashboard.json; do
	ok "the example $file is there" test -s "$examples/$file"
done
conf=$tmp/root/etc/ims_ipsec.conf
ok "INSTALL: the configuration is there, and has no command" sh -c "test -s '$conf' && ! grep -v '^#' '$conf' | grep ."
ok "INSTALL: without a command it is no failure, nor is the module missed" "$tmp/root/usr/sbin/imsipsec" batch "$conf"
# Each command in it is understood: without the module it is the kernel that is missed, status 2
sed 's/^#\(config\|endpoint\|\t\)/\1/' "$conf" >"$tmp/conf"
# shellcheck disable=SC2317 # ok calls it
understood() {
	unshare -rn "$tmp/root/usr/sbin/imsipsec" -force batch "$1" >"$tmp/said" 2>&1
	cat "$tmp/said"
	! grep -E 'unknown|not valid|needs a value|missing|there twice' "$tmp/said" &&
		grep -q '^endpoint replace' "$1" && grep -q '^config set' "$1"
}
ok "INSTALL: its commands, when they are no comments, are understood" understood "$tmp/conf"

echo 'config set min-spi 4096' >>"$conf"
cp "$conf" "$tmp/conf"
# shellcheck disable=SC2317 # ok calls them
{
	again() { "$make" install DESTDIR="$tmp/root" PREFIX=/usr && cmp "$conf" "$tmp/conf"; }
	left() {
		"$make" uninstall DESTDIR="$tmp/root" PREFIX=/usr
		find "$tmp/root" ! -type d -o -name 'ims*' >"$tmp/left"
		cat "$tmp/left"
		[ "$(cat "$tmp/left")" = "$1" ]
	}
}
ok "INSTALL: make install again leaves the operator's configuration as it is" again
ok "INSTALL: make uninstall leaves it alone, and nothing else" left "$conf"
cp systemd/ims_ipsec.conf "$conf"
ok "INSTALL: make uninstall takes the one that was shipped" left ""
ok_end

#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# install_test.sh MAKE: what is installed can be used with pkg-config alone,
# from C and C++, linked with the shared library and with the static one.
set -eu

make=$1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0 failed=0

ok() {		# NAME COMMAND...
	name=$1
	shift
	n=$((n + 1))
	if "$@" >"$tmp/log" 2>&1; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name"
		sed 's/^/# /' "$tmp/log"
		failed=1
	fi
}

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
	# That it would have found what is wrong
	sed 's/^RemainAfterExit/RemainAfterExti/' "$tmp/ims_ipsec.service" >"$tmp/wrong.service"
	ok "systemd-analyze sees a wrong line" sh -c \
		"systemd-analyze verify --man=no '$tmp/wrong.service' 2>&1 | grep RemainAfterExti"
else
	n=$((n + 1))
	echo "ok $n - systemd-analyze verify # SKIP there is no systemd-analyze"
fi
examples=$tmp/root/usr/share/doc/ims_ipsec/examples
for file in ims_ipsec.conf modprobe.d modules-load.d; do
	ok "the example $file is there" test -s "$examples/$file.example"
done
# Each line of it is understood: without the module it is the kernel that is missed, status 2.
# Those behind a comment as well
sed 's/^#\(endpoint\|\t\)/\1/' "$examples/ims_ipsec.conf.example" >"$tmp/conf"
# shellcheck disable=SC2317 # ok calls it
understood() {
	unshare -rn "$tmp/root/usr/sbin/imsipsec" -force batch "$1" >"$tmp/said" 2>&1
	cat "$tmp/said"
	! grep -E 'unknown|not valid|needs a value|missing|there twice' "$tmp/said" &&
		grep -q 'endpoint replace' "$1"
}
ok "the example configuration is understood" understood "$tmp/conf"
echo "1..$n"
exit $failed

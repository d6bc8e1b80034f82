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
ok "the man page is there" test -s "$tmp/root/usr/share/man/man8/imsipsec.8"
echo "1..$n"
exit $failed

#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# version_test.sh TOP IMSIPSEC CC...: the file VERSION says which version all of it is. What
# takes it from there follows it, and what has a number of its own is compared with it.
set -eu

top=$1 imsipsec=$2
shift 2
. "${0%/*}/ok_lib.sh"
id='VERSION: '

# shellcheck disable=SC2317 # ok calls them
is() {		# EXPECTED COMMAND...
	expected=$1
	shift
	got=$("$@") || return
	echo "$got, $expected is expected"
	[ "$got" = "$expected" ]
}

# As DKMS does, which reads the file by its whole path, from anywhere
# shellcheck disable=SC2317
dkms_version() {
	(cd / && bash -c ". \"$1/dkms.conf\" >/dev/null && echo \"\$PACKAGE_VERSION\"")
}

# What Kbuild has the two modules compiled with
# shellcheck disable=SC2317
module_version() {
	for file in main iv; do
		grep -qx 'MODULE_VERSION(IMS_IPSEC_VERSION);' "$1/kmod/$file.c" || return
		# shellcheck disable=SC2016 # it is make that expands
		printf 'src := %s\ninclude %s/Kbuild\nall:\n\t@echo $(CFLAGS_kmod/%s.o)\n' "$1" "$1" "$file" |
			env -u MAKEFLAGS -u MFLAGS make -s -f - all | sed 's/^-DIMS_IPSEC_VERSION="\(.*\)"$/\1/'
	done | uniq
}

# shellcheck disable=SC2317
fails() {
	! "$@"
}

version=$(cat "$top/VERSION")
ok "it is three numbers" sh -c "[ \$(wc -l <'$top/VERSION') = 1 ] &&
	grep -qxE '(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)' '$top/VERSION'"
ok "imsipsec version" is "imsipsec $version" "$imsipsec" version
ok "imsipsec -V" is "imsipsec $version" "$imsipsec" -V
ok "dkms.conf" is "$version" dkms_version "$top"
ok "the modules" is "$version" module_version "$top"

# Another version, which all have to follow
mkdir "$tmp/top"
cp -r "$top/Kbuild" "$top/dkms.conf" "$top/kmod" "$tmp/top/"
echo 9.8.7 >"$tmp/top/VERSION"
ok "dkms.conf follows it" is 9.8.7 dkms_version "$tmp/top"
ln -s top "$tmp/source"
ok "dkms.conf follows it by a link" is 9.8.7 dkms_version "$tmp/source"
ok "the modules follow it" is 9.8.7 module_version "$tmp/top"
rm "$tmp/top/VERSION"
ok "no module is built without it" fails sh -c \
	"printf 'src := $tmp/top\ninclude $tmp/top/Kbuild\nall:\n' | env -u MAKEFLAGS -u MFLAGS make -s -f - all"

# The header has numbers, for programs to compare with
# shellcheck disable=SC2317
compiled() {	# CC...
	"$@" -fsyntax-only "$top/user/lib/version.c"
}
for wrong in MAJOR MINOR PATCH; do
	flags=
	for part in MAJOR MINOR PATCH; do
		number=IMSIPSEC_VERSION_$part
		[ $part != $wrong ] || number="($number+1)"
		flags="$flags -DVERSION_$part=$number"
	done
	# shellcheck disable=SC2086
	ok "a header of another $wrong is not compiled" fails compiled "$@" $flags
done
cat >"$tmp/a.c" <<E2
#include <string.h>
#include "imsipsec.h"
#if !IMSIPSEC_VERSION_AT_LEAST($(echo "$version" | tr . ,)) || \
	IMSIPSEC_VERSION_AT_LEAST(IMSIPSEC_VERSION_MAJOR, IMSIPSEC_VERSION_MINOR, IMSIPSEC_VERSION_PATCH + 1) || \
	IMSIPSEC_VERSION_AT_LEAST(IMSIPSEC_VERSION_MAJOR, IMSIPSEC_VERSION_MINOR + 1, 0) || \
	IMSIPSEC_VERSION_AT_LEAST(IMSIPSEC_VERSION_MAJOR + 1, 0, 0) || !IMSIPSEC_VERSION_AT_LEAST(0, 0, 0)
#error "not this version"
#endif
int main(void)
{
	return strcmp(imsipsec_version(), "$version") || strcmp(imsipsec_version(), IMSIPSEC_VERSION);
}
E2
lib=$(dirname "$imsipsec")/libimsipsec.a
ok "a program compares with it" "$@" -o "$tmp/a" "$tmp/a.c" "$lib" -lmnl
ok "the library says it" "$tmp/a"

# And nowhere else is it written
ok "no other file has it" fails grep -nF "$version" "$top/Kbuild" "$top/dkms.conf" "$top/user/Makefile" \
	"$top/user/lib/libimsipsec.pc.in" -r "$top/kmod"
ok_end

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# AUTOINSTALL="no" in dkms.conf
#
# One would guess: with AUTOINSTALL="no" DKMS leaves the module alone when a new kernel comes; dkms(8)
# says that "yes" has it built then.
# seen: DKMS 3.0.10 looks whether AUTOINSTALL has a value, and takes "no" for one: the module is
# built and installed for each new kernel. An empty AUTOINSTALL, or none, is what turns it off.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
command -v bash >/dev/null && command -v modinfo >/dev/null || exit 2
unpack dkms=3.0.10-8+deb12u1

# A module of one empty file, for a kernel that there is not, whose modules nobody lists
mkdir -p "$dir/bin" "$dir/src" "$dir/tree" "$dir/modules/0.1" "$dir/kernel/include"
touch "$dir/kernel/.config"
printf '#!/bin/sh\n' >"$dir/bin/depmod"
chmod +x "$dir/bin/depmod"
for value in yes no ''; do
	name=auto${value:-empty}
	mkdir "$dir/src/$name-1"
	touch "$dir/src/$name-1/Makefile"
	cat >"$dir/src/$name-1/dkms.conf" <<END
PACKAGE_NAME="$name"
PACKAGE_VERSION="1"
BUILT_MODULE_NAME[0]="$name"
DEST_MODULE_LOCATION[0]="/updates"
AUTOINSTALL="$value"
MAKE[0]="touch $name.ko"
CLEAN="true"
STRIP="no"
END
done
dkms() {
	bash "$dir/usr/sbin/dkms" --dkmstree "$dir/tree" --sourcetree "$dir/src" --installtree "$dir/modules" \
		--kernelsourcedir "$dir/kernel" "$@"
}

seen=$(
	dkms --version
	for name in autoyes autono autoempty; do
		dkms add "$name/1" >/dev/null 2>&1
	done
	echo 'a new kernel:'
	dkms autoinstall -k 0.1 >/dev/null 2>&1 || echo "dkms autoinstall ends with $?"
	dkms status
)

expected=$(cat <<'END'
dkms-3.0.10
a new kernel:
autoempty/1: added
autono/1, 0.1, x86_64: installed
autoyes/1, 0.1, x86_64: installed
END
)

compare "$seen" "$expected" '"no" turns it on'

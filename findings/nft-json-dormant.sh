#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# A dormant table in nft's JSON
#
# One would guess: "nft -j list ruleset" has flags dormant where "nft list ruleset" has them,
# and "nft -j -f" of that makes the same rule set.
# seen: nft 1.0.6 writes another string of its memory as the flags: the table's name, or that of
# nft's release. "nft -j -f" takes any flags of a table, with status 0, and heeds none, dormant
# neither: a chain with policy drop that slept is awake after a restore.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
unshare -n true || exit 2
# shellcheck disable=SC2086 # a list
unpack $nft_packages

seen=$(unshare -n sh -eu 2>&1 <<'END'
nft -v | cut -d' ' -f1,2
nft -f - <<'RULES'
table ip t {
	flags dormant;
	chain c { type filter hook input priority 0; policy drop; }
}
RULES
dormant() { grep -qE 'flags"?:? "?dormant' && echo dormant || echo 'not dormant'; }
echo "listed as text: $(nft list table ip t | dormant)"
json=$(nft -j list ruleset)
echo "listed as JSON: $(echo "$json" | dormant), with $(echo "$json" | grep -o '"flags": "' || echo no flags)..."

# With the flags that should stand there, and restored
json=$(echo "$json" | sed 's/"flags": "[^"]*"/"flags": "dormant"/')
echo "made right: $(echo "$json" | dormant)"
nft flush ruleset
echo "$json" | nft -j -f - && echo "restored: $(nft list table ip t | dormant)"
END
) || :

expected=$(cat <<'END'
nftables v1.0.6
listed as text: dormant
listed as JSON: not dormant, with "flags": "...
made right: dormant
restored: not dormant
END
)

compare "$seen" "$expected" 'a dormant table is not in the JSON, and wakes when restored'

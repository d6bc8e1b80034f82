#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# A set of SPIs, in nft's JSON
#
# One would guess: "nft -j -f" reads what "nft -j list ruleset" has written, as "nft -f" reads the text.
# seen: nft 1.0.6 writes a set of SPIs, or of an SA's reqids, as one of the type integer, without what says
# how long an integer, and refuses that on the way back; so it does with maps, and with "meta mark set
# socket mark", for which it writes what it takes in no statement. The whole rule set is refused,
# tables that have none of these neither: a backup in JSON is found to be none when it is needed.
# "nft -c -j -f" says so in time, and the text is read again in each case. An address and a port in
# one set come back by another name, type instead of typeof, and are the same set.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
unshare -n true || exit 2
# shellcheck disable=SC2086 # a list
unpack $nft_packages

export dir
seen=$(unshare -n sh -eu 2>&1 <<'END'
nft -v | cut -d' ' -f1,2
# again SET RULE: a table that has them, and another, listed and read again
again() {
	printf '%s\n' 'table ip other {' 'chain c {' 'drop' '}' '}' 'table ip t {' "$1" 'chain c {' "$2" '}' '}' >"$dir/rules"
	echo "${1:-$2}"
	for options in '' -j; do
		nft flush ruleset
		nft -f "$dir/rules"
		nft -s $options list ruleset >"$dir/list"
		nft flush ruleset
		status=0
		said=$(nft $options -f "$dir/list" 2>&1) || status=$?
		[ $status = 0 ] || ! nft -c $options -f "$dir/list" 2>/dev/null || echo "  -c finds nothing"
		echo "  nft${options:+ $options}: status $status, tables: $(nft list tables | wc -l)"
		[ $status = 0 ] || echo "$said" | sed -n '1s/internal:0:0-0: /    /p'
	done
}
again 'set s { typeof ip saddr . udp dport; elements = { 192.0.2.1 . 5063 }; }' 'ip saddr . udp dport @s accept'
again 'set s { typeof esp spi; elements = { 0x1000 }; }' 'esp spi @s accept'
again 'set s { typeof ipsec in reqid; elements = { 1 }; }' 'ipsec in reqid @s accept'
again 'map m { typeof esp spi : meta mark; elements = { 0x1000 : 0x10 }; }' 'meta mark set esp spi map @m'
again '' 'meta mark set socket mark'
END
) || :

expected=$(cat <<'END'
nftables v1.0.6
set s { typeof ip saddr . udp dport; elements = { 192.0.2.1 . 5063 }; }
  nft: status 0, tables: 2
  nft -j: status 0, tables: 2
set s { typeof esp spi; elements = { 0x1000 }; }
  nft: status 0, tables: 2
  nft -j: status 1, tables: 0
    Error: unqualified type integer specified in set definition. Try "typeof expression" instead of "type datatype".
set s { typeof ipsec in reqid; elements = { 1 }; }
  nft: status 0, tables: 2
  nft -j: status 1, tables: 0
    Error: unqualified type integer specified in set definition. Try "typeof expression" instead of "type datatype".
map m { typeof esp spi : meta mark; elements = { 0x1000 : 0x10 }; }
  nft: status 0, tables: 2
  nft -j: status 1, tables: 0
    Error: unqualified type integer specified in map definition. Try "typeof expression" instead of "type datatype".
meta mark set socket mark
  nft: status 0, tables: 2
  nft -j: status 1, tables: 0
    Error: Expression type socket not allowed in context (STMT).
END
)

compare "$seen" "$expected" 'JSON of a set of SPIs is not read again'

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Two text files of node-exporter with the same metric
#
# One would guess: node-exporter's collector of text files puts together what several files have of a
# metric, as for containers with a file each, if their labels differ; and a file that cannot be shown is
# seen by node_textfile_scrape_error.
# seen: node-exporter 1.5.0 shows the first file's alone where the other has another text for
# HELP, or none: after an update that words HELP anew, a file that a container of the older version
# writes loses its series, though every number is good. node_textfile_scrape_error stays 0, the file's
# mtime is shown as of one that was read, and HTTP says 200; a line in node-exporter's log alone tells.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
unshare -n true || exit 2
command -v python3 >/dev/null || exit 2
unpack prometheus-node-exporter=1.5.0-1+b6

write_scraper

export dir
seen=$(unshare -n sh -eu 2>&1 <<'END'
ip link set lo up
prometheus-node-exporter --version 2>&1 | grep -o '^node_exporter, version [0-9.]*'
# show WORDS HELP: a file with HELP, beside a file that says "Packets."
show() {
	echo "$1:"
	mkdir "$dir/text"
	printf '# HELP ims_total Packets.\n# TYPE ims_total counter\nims_total{netns="one"} 1\n' >"$dir/text/one.prom"
	printf '%b# TYPE ims_total counter\nims_total{netns="two"} 2\n' "$2" >"$dir/text/two.prom"
	prometheus-node-exporter --collector.disable-defaults --collector.textfile --collector.textfile.directory="$dir/text" \
		--web.listen-address=127.0.0.1:9100 2>"$dir/log" &
	server=$!
	trap 'kill $server' EXIT
	python3 "$dir/scrape.py" | sed 's#file=".*/\(.*\)"} .*#file="\1"} …#'
	kill $server
	wait
	trap - EXIT
	grep -o 'has help.*' "$dir/log" | sed 's/^/  log: /; s/[\\]//g' | sed 's# /tmp[^,"]*# …#g' || :
	rm -r "$dir/text"
}
show 'the same HELP' '# HELP ims_total Packets.\n'
show 'another HELP' '# HELP ims_total Packets of UEs.\n'
show 'no HELP' ''
END
) || :

expected=$(cat <<'END'
node_exporter, version 1.5.0
the same HELP:
  HTTP 200
  ims_total{netns="one"} 1
  ims_total{netns="two"} 2
  node_textfile_mtime_seconds{file="one.prom"} …
  node_textfile_mtime_seconds{file="two.prom"} …
  node_textfile_scrape_error 0
another HELP:
  HTTP 200
  ims_total{netns="one"} 1
  node_textfile_mtime_seconds{file="one.prom"} …
  node_textfile_mtime_seconds{file="two.prom"} …
  node_textfile_scrape_error 0
  log: has help "Packets of UEs." but should have "Packets.""
no HELP:
  HTTP 200
  ims_total{netns="one"} 1
  node_textfile_mtime_seconds{file="one.prom"} …
  node_textfile_mtime_seconds{file="two.prom"} …
  node_textfile_scrape_error 0
  log: has help "Metric read from …, …" but should have "Packets.""
END
)

compare "$seen" "$expected" 'another HELP, and the series is gone'

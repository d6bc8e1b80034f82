#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# promtool check metrics, of a text file for node-exporter; and Python's parser of OpenMetrics
#
# One would guess: a text file that "promtool check metrics" has nothing to say of is one that
# node-exporter shows; for what is wrong in such a file is what the check is for. And Prometheus' parser of
# OpenMetrics in Python, which refuses a blank line, refuses a series twice as well.
# seen: promtool 2.42.0 ends with 0, without a word, for the same series twice, for a time behind a
# value, and for a file of no bytes, as a collector leaves that has failed. node-exporter 1.5.0 shows
# the first of the two series, and none of a file that has one time in it, other metrics neither; that
# is an error in its log. What promtool does refuse is style: a counter whose name does not end in _total
# is shown, and a file without HELP as well. The parser of python3-prometheus-client 0.16.0 gives the
# first of the two, and no error: tests that have it read what a program writes do not see the second.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
unshare -n true || exit 2
command -v python3 >/dev/null || exit 2
unpack prometheus=2.42.0+ds-5+deb12u1 prometheus-node-exporter=1.5.0-1+b6 python3-prometheus-client=0.16.0-0.1

write_scraper

cat >"$dir/parse.py" <<'END'
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

for words, samples in (('a series twice', 'ims_total 1\nims_total 2\n'), ('a blank line', 'ims_total 1\n\n')):
    try:
        found = [(s.name, s.value) for f in parse(f'# TYPE ims counter\n{samples}# EOF\n') for s in f.samples]
    except ValueError as e:
        found = e
    print(f'OpenMetrics, {words}: {found}')
END

export dir
seen=$(unshare -n sh -eu 2>&1 <<'END'
ip link set lo up
promtool --version 2>&1 | grep -o '^promtool, version [0-9.]*'
prometheus-node-exporter --version 2>&1 | grep -o '^node_exporter, version [0-9.]*'
# show WORDS TEXT: a file with that text
show() {
	echo "$1:"
	mkdir "$dir/text"
	printf '%b' "$2" >"$dir/text/ims.prom"
	status=0
	said=$(promtool check metrics <"$dir/text/ims.prom" 2>&1) || status=$?
	echo "  promtool ends with $status${said:+: $said}"
	prometheus-node-exporter --collector.disable-defaults --collector.textfile --collector.textfile.directory="$dir/text" \
		--web.listen-address=127.0.0.1:9100 2>/dev/null &
	server=$!
	trap 'kill $server' EXIT
	python3 "$dir/scrape.py" | grep -v 'HTTP\|mtime'
	kill $server
	wait
	trap - EXIT
	rm -r "$dir/text"
}
one='# HELP ims_one_total Packets.\n# TYPE ims_one_total counter\nims_one_total 1\n'
two='# HELP ims_two_total Packets.\n# TYPE ims_two_total counter\n'
show 'a series twice' "${two}ims_two_total 1\nims_two_total 2\n"
show 'a time, and another metric' "$one${two}ims_two_total 2 1700000000000\n"
show 'nothing' ''
show 'a counter that is not _total' '# HELP ims Packets.\n# TYPE ims counter\nims 1\n'
show 'no HELP' '# TYPE ims_total counter\nims_total 1\n'
PYTHONPATH=$dir/usr/lib/python3/dist-packages python3 "$dir/parse.py"
END
) || :

expected=$(cat <<'END'
promtool, version 2.42.0
node_exporter, version 1.5.0
a series twice:
  promtool ends with 0
  ims_two_total 1
  node_textfile_scrape_error 0
a time, and another metric:
  promtool ends with 0
  node_textfile_scrape_error 1
nothing:
  promtool ends with 0
  node_textfile_scrape_error 0
a counter that is not _total:
  promtool ends with 3: ims counter metrics should have "_total" suffix
  ims 1
  node_textfile_scrape_error 0
no HELP:
  promtool ends with 3: ims_total no help text
  ims_total 1
  node_textfile_scrape_error 0
OpenMetrics, a series twice: [('ims_total', 1)]
OpenMetrics, a blank line: Received blank line
END
)

compare "$seen" "$expected" 'what promtool takes is not shown'

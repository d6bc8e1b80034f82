#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# promtool test rules, where no alert may fire
#
# One would guess: a test that an alert does not fire fails when no rule has that alert, when the file of
# rules is not there, or when there is no data at that time: it would test nothing.
# seen: promtool 2.42.0 has SUCCESS for each of them, and status 0; of a file that is not there it warns. An
# alert that was renamed, or a path that has changed, leaves such a test as good as before. A test whose
# alert has to fire fails in each case: only beside one does the other say anything.
set -eu

# shellcheck source=common
. "$(dirname "$0")/common"
unpack prometheus=2.42.0+ds-5+deb12u1

cd "$dir"
cat >rules.yml <<'END'
groups:
- name: ims
  rules:
  - alert: ImsDown
    expr: ims_up == 0
END
# ask WORDS FILE TIME ALERT [FIRES]
ask() {
	cat >test.yml <<-END
	rule_files:
	- $2
	tests:
	- interval: 1m
	  input_series:
	  - {series: ims_up, values: '0x20'}
	  alert_rule_test:
	  - {eval_time: $3, alertname: $4, exp_alerts: [${5:+{exp_labels: {\}\}}]}
	END
	status=0
	said=$(promtool test rules test.yml 2>&1) || status=$?
	echo "$1: status $status,$(echo "$said" | grep -oE 'WARNING: .*|SUCCESS|FAILED' | sed 's/^/ /' | paste -sd,)"
}
seen=$(
	promtool --version 2>&1 | grep -o '^promtool, version [0-9.]*'
	for fires in '' yes; do
		echo "expected to fire: ${fires:-no}"
		ask '  ImsDown' rules.yml 10m ImsDown $fires
		ask '  ImsDwon, which no rule has' rules.yml 10m ImsDwon $fires
		ask '  from a file that is not there' rule.yml 10m ImsDown $fires
		ask '  an hour after the data' rules.yml 80m ImsDown $fires
	done
)

expected=$(cat <<'END'
promtool, version 2.42.0
expected to fire: no
  ImsDown: status 1, FAILED
  ImsDwon, which no rule has: status 0, SUCCESS
  from a file that is not there: status 0, WARNING: no file match pattern rule.yml, SUCCESS
  an hour after the data: status 0, SUCCESS
expected to fire: yes
  ImsDown: status 0, SUCCESS
  ImsDwon, which no rule has: status 1, FAILED
  from a file that is not there: status 1, WARNING: no file match pattern rule.yml, FAILED
  an hour after the data: status 1, FAILED
END
)

compare "$seen" "$expected" 'no alert fires that there is not'

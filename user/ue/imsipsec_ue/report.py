# SPDX-License-Identifier: GPL-2.0-or-later
"""What has become of it: progress while it runs, a table and JSON at the end."""
import collections
import json
import math
import sys
import time

from .steps import INCOMING, LEAVE, STEPS

PERCENTILES = (50, 90, 99)
EXAMPLES = 3
COLUMNS = ('step', 'sent', 'good', 'failed', 'in clear', 'old set', 'lost', 'resent', *(f'p{p} ms' for p in PERCENTILES), 'max ms')


def percentile(values, p):
    """The smallest value that p percent are not above; values are in order."""
    return values[max(0, math.ceil(len(values) * p / 100) - 1)]


class Report:
    """Results of all phones, in the order in which they come. impus: of all phones, for calls among them."""

    def __init__(self, impus):
        self.results, self.impus = [], list(impus)
        self.next_of = dict(zip(self.impus, [*self.impus[1:], *self.impus[:1]]))
        self.start = time.monotonic()
        self.started = self.ended = 0

    def next_impu(self, impu):
        """Whom a phone calls if nobody is named: the next one, the last one the first."""
        return self.next_of[impu]

    def add(self, result):
        self.results.append(result)

    def seconds(self):
        return time.monotonic() - self.start

    # --- Figures

    def steps(self):
        """{step: figures}, in the order of STEPS."""
        out = {}
        for name in (*STEPS, INCOMING, LEAVE):
            mine = [r for r in self.results if r.step == name]
            if not mine:
                continue
            times = sorted(r.seconds * 1000 for r in mine if r.seconds is not None)
            out[name] = {
                'sent': len(mine), 'good': sum(not r.faults for r in mine), 'failed': sum(bool(r.faults) for r in mine),
                'in_clear': sum(r.clear for r in mine), 'old_set': sum(r.old for r in mine), 'lost': sum(r.lost() for r in mine),
                'resent': sum(r.resent for r in mine),
                'ms': {**{f'p{p}': round(percentile(times, p), 1) for p in PERCENTILES}, 'max': round(times[-1], 1)} if times else None}
        return out

    def reasons(self, kind):
        """Of faults or notes: [{step, code, reason, count, detail, ues}], the most frequent first. What a clean-up finds is a note."""
        found = collections.OrderedDict()
        for r in self.results:
            for code, text, detail in self.of_kind(r, kind):
                one = found.setdefault((r.step, code, text), {'step': r.step, 'code': code, 'reason': text, 'count': 0, 'detail': detail, 'ues': []})
                one['count'] += 1
                if len(one['ues']) < EXAMPLES:
                    one['ues'].append(r.impi)
        return sorted(found.values(), key=lambda x: -x['count'])

    @staticmethod
    def of_kind(r, kind):
        if kind == 'faults':
            return [] if r.step == LEAVE else r.faults
        return [*(r.faults if r.step == LEAVE else []), *r.notes]

    def failed(self):
        """Has something failed, other than the clean-up?"""
        return any(r.faults for r in self.results if r.step != LEAVE)

    # --- How it is shown

    def as_json(self, about):
        return json.dumps({**about, 'seconds': round(self.seconds(), 3), 'ok': not self.failed() and bool(self.results), 'steps': self.steps(),
                           'failures': self.reasons('faults'), 'notes': self.reasons('notes')}, indent=2)

    def table(self):
        rows = [COLUMNS]
        for name, x in self.steps().items():
            ms = x['ms'] or {}
            rows.append((name, *(str(x[k]) for k in ('sent', 'good', 'failed', 'in_clear', 'old_set', 'lost', 'resent')),
                         *(f'{ms[k]:.1f}' if ms else '-' for k in (*(f'p{p}' for p in PERCENTILES), 'max'))))
        widths = [max(len(r[i]) for r in rows) for i in range(len(COLUMNS))]
        lines = ['  '.join([r[0].ljust(widths[0]), *(x.rjust(w) for x, w in zip(r[1:], widths[1:]))]) for r in rows]
        for kind, title in (('faults', 'failed:'), ('notes', 'to know:')):
            reasons = self.reasons(kind)
            lines += ['', title] if reasons else []
            for x in reasons:
                more = f', of {x["count"]}' if x['count'] > len(x['ues']) else ''
                lines.append(f'  {x["count"]:>5} {x["step"]}: {x["reason"]} [{x["code"]}]')
                lines += [f'        {x["detail"]}'] if x['detail'] else []
                lines.append(f'        ({", ".join(x["ues"])}{more})')
        return '\n'.join(lines)

    def progress(self):
        """One line."""
        counts = ', '.join(f'{name} {x["good"]}' + (f' ({x["failed"]} failed)' if x['failed'] else '') for name, x in self.steps().items())
        return f'{self.seconds():6.1f} s: {self.started} of {len(self.impus)} started, {self.ended} ended; {counts or "nothing yet"}'


class Progress:
    """On standard error: a line that is written over on a terminal, else a line whenever there is something new."""

    def __init__(self, report, quiet):
        self.report, self.quiet, self.terminal, self.last = report, quiet, sys.stderr.isatty(), None

    def show(self, end=False):
        if self.quiet:
            return
        text = self.report.progress()
        new = text.partition(':')[2]
        if self.terminal:
            sys.stderr.write(f'\r\033[K{text}' + ('\n' if end else ''))
        elif new != self.last:
            sys.stderr.write(text + '\n')
        sys.stderr.flush()
        self.last = new

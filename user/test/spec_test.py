#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Do the YAML spec, the UAPI header and the library say the same?

spec_test.py SPEC HEADER OUTDIR COMPILER...

Works out from the spec what each constant of the header must be, has the
compiler say what it is, and compares; then looks whether the header has
constants that the spec does not account for.
"""
import os
import re
import subprocess
import sys

import yaml

spec_path, header_path, outdir, *compiler = sys.argv[1:]
with open(spec_path, encoding="utf-8") as f:
    spec = yaml.safe_load(f)
with open(header_path, encoding="utf-8") as f:
    header = f.read()

count = failed = 0


def ok(good, name, *why):
    global count, failed
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - {name}", flush=True)
    if not good:
        for line in why:
            print("#", line)


def c_name(*parts):
    return "_".join(parts).upper().replace("-", "_")


def entry_names(definition):
    return [e["name"] if isinstance(e, dict) else e for e in definition["entries"]]


PREFIX = "IMS_IPSEC"
# Enumerations of the spec, and what the library calls them
LIBRARY = {"auth-alg": "alg", "enc-alg": "ealg", "mode": "mode", "state": "state",
           "guard": "guard", "older": "older", "offload": "offload",
           "drop": "drop", "trace-kind": "trace_kind", "offload-reason": "offload_reason",
           "event-type": "event_type", "reason": "reason", "resource": "resource"}
LIBRARY_PREFIX = {"auth-alg": "ALG", "enc-alg": "EALG", "event-type": "EVENT"}

want = {}       # what the program prints, by its first word
program = []    # its lines


def show(constant, value):
    program.append(f"SHOW({constant})")
    want[constant] = str(value)


def text(constant, value):
    program.append(f"TEXT({constant})")
    want[constant] = value


text(f"{PREFIX}_FAMILY_NAME", spec["name"])
show(f"{PREFIX}_FAMILY_VERSION", spec.get("version", 1))
for group in spec["mcast-groups"]["list"]:
    text(c_name(PREFIX, "MCGRP", group["name"]), group["name"])

for d in spec["definitions"]:
    if d["type"] == "const":
        show(c_name(PREFIX, d["name"]), d["value"])
        continue
    names = entry_names(d)
    for value, name in enumerate(names, d["value-start"]):
        show(c_name(PREFIX, d["name"], name), value)
        lib = LIBRARY[d["name"]]
        show(c_name("IMSIPSEC", LIBRARY_PREFIX.get(d["name"], d["name"]), name), value)
        program.append(f"NAME({lib}, {value})")
        want[f"{lib}-{value}"] = name
    program.append(f"NAME({lib}, {d['value-start'] + len(names)})")
    want[f"{lib}-{d['value-start'] + len(names)}"] = "-"

sets = {s["name"]: [a["name"] for a in s["attributes"]] for s in spec["attribute-sets"]}
whole = {s["name"]: s.get("subset-of", s["name"]) for s in spec["attribute-sets"]}
for name, attributes in sets.items():
    if whole[name] != name:
        continue
    for value, attribute in enumerate(attributes, 1):
        show(c_name(PREFIX, "A", name, attribute), value)
    show(c_name(PREFIX, "A", name, "MAX"), len(attributes))

value = 0
for operation in spec["operations"]["list"]:
    value = operation.get("value", value + 1)
    show(c_name(PREFIX, "CMD", operation["name"]), value)
    attributes = sets[operation["attribute-set"]]
    for number, attribute in enumerate(attributes + ["-"], 1):
        program.append(f"ATTR({value}, {number})")
        want[f"attr-{value}-{number}"] = attribute
show(f"{PREFIX}_CMD_MAX", value)

os.makedirs(outdir, exist_ok=True)
with open(os.path.join(outdir, "constants.inc"), "w", encoding="utf-8") as f:
    f.write("\n".join(program) + "\n")

binary = os.path.join(outdir, "constants")
built = subprocess.run([*compiler, f"-I{outdir}", "-o", binary], check=False,
                       stderr=subprocess.PIPE, text=True)
ok(built.returncode == 0, "the header has every constant of the spec",
   *built.stderr.splitlines()[:20])
if built.returncode == 0:
    out = subprocess.run([binary], check=True, stdout=subprocess.PIPE, text=True).stdout
    got = dict(line.split(" ", 1) for line in out.splitlines())
    wrong = [f"{k}: {got.get(k)}, in the spec {v}" for k, v in want.items() if got.get(k) != v]

    def part(what, test):
        keys = [k for k in want if test(k)]
        ok(keys and not any(w.split(":")[0] in keys for w in wrong), f"{what} ({len(keys)})",
           *[w for w in wrong if w.split(":")[0] in keys])

    part("constants of the header are the spec's", lambda k: k.startswith("IMS_IPSEC_"))
    part("enumerations of the library are the spec's", lambda k: k.startswith("IMSIPSEC_"))
    part("names of the library are the spec's",
         lambda k: k[0].islower() and not k.startswith("attr-"))
    part("attribute names of the library are the spec's", lambda k: k.startswith("attr-"))

code = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
extra = sorted(set(re.findall(r"\bIMS_IPSEC_[A-Z0-9_]+\b", code)) - set(want))
ok(not extra, "the header has no constant that the spec does not have", *extra)

# The spec in itself: what it refers to is there.
errors = []
consts = {d["name"] for d in spec["definitions"] if d["type"] == "const"}
enums = {d["name"] for d in spec["definitions"] if d["type"] == "enum"}
for s in spec["attribute-sets"]:
    for a in s["attributes"]:
        if a["name"] not in sets.get(whole[s["name"]], []):
            errors.append(f"{s['name']}: {a['name']} of {whole[s['name']]}")
        for k, v in a.get("checks", {}).items():
            if isinstance(v, str) and v not in consts:
                errors.append(f"{s['name']}.{a['name']}: {k}: {v}")
        if a.get("enum", next(iter(enums))) not in enums:
            errors.append(f"{s['name']}.{a['name']}: enum {a['enum']}")
        if a.get("nested-attributes", s["name"]) not in sets:
            errors.append(f"{s['name']}.{a['name']}: nested-attributes")
for o in spec["operations"]["list"]:
    bodies = [m.get(k, {}) for m in (o.get("do", {}), o.get("dump", {}))
              for k in ("request", "reply")] + [o.get("event", {})]
    for body in bodies:
        for a in body.get("attributes", []):
            if a not in sets[o["attribute-set"]]:
                errors.append(f"{o['name']}: {a}")
ok(not errors, "the spec refers to nothing that it does not have", *errors)

print(f"1..{count}")
sys.exit(failed != 0)

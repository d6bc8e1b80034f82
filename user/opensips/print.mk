# SPDX-License-Identifier: GPL-2.0-or-later
#
# Read behind OpenSIPS's own makefiles: the definitions that its modules are compiled with, for the compiler's @FILE.

print:
	@printf '%s\n' $(DEFS) | sed 's/[" \\]/\\&/g'

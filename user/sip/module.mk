# SPDX-License-Identifier: GPL-2.0-or-later
#
# How a module of a SIP server is built out of that server's tree. Who includes this says before: NAME of the module; source,
# the server's; defs, what its loader compares; defs_file, where defs come from, if anywhere.
# MODULE_CFLAGS and MODULE_LDFLAGS are for who builds a package: the server's own files set CFLAGS.

# The server's Q is another one
override Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),@:,@printf '  %-7s %s\n')

warnings := -Wall -Wextra -Wmissing-prototypes -Wstrict-prototypes -Wno-unused-parameter -Wno-missing-field-initializers \
	    -Wno-cast-function-type
ifeq ($(WERROR),1)
warnings += -Werror
endif
# The server's own headers are not for our warnings
flags := -O2 -g -fPIC -MMD -MP $(warnings) -iquote $(CURDIR) -isystem $(source) $(defs) -D_GNU_SOURCE -I$(TOP)/user/lib \
	 $(MODULE_CFLAGS)
MNL_LIBS := $(shell $(PKG_CONFIG) --libs libmnl || echo -lmnl)

objects := $(patsubst %.c,$(BUILD)/%.o,$(wildcard *.c)) $(patsubst ../%.c,$(BUILD)/%.o,$(wildcard ../sip/*.c))
module := $(BUILD)/$(NAME).so

.DEFAULT_GOAL := all
all: $(module)

$(BUILD)/%.o: %.c $(defs_file)
	$(say) CC $(notdir $(CURDIR))/$<
	@mkdir -p $(@D)
	$(Q)$(CC) $(flags) $(CPPFLAGS) -c -o $@ $<

$(BUILD)/sip/%.o: ../sip/%.c $(defs_file)
	$(say) CC sip/$(<F)
	@mkdir -p $(@D)
	$(Q)$(CC) $(flags) $(CPPFLAGS) -c -o $@ $<

# What it uses of the server is the server's to have
$(module): $(objects) $(LIBRARY) $(NAME).map
	$(say) LD $(@F)
	$(Q)$(CC) $(MODULE_LDFLAGS) -shared -Wl,--version-script,$(NAME).map -Wl,-Bsymbolic -o $@ $(filter-out %.map,$^) $(MNL_LIBS)

install: all
	install -d $(DESTDIR)$(MODULES)
	install -m 644 $(module) $(DESTDIR)$(MODULES)/

clean:
	rm -rf $(BUILD)

-include $(objects:.o=.d)

.PHONY: all install clean

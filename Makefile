# SPDX-License-Identifier: GPL-2.0-only
#
#   make                   the module for the running kernel, and the user space
#   make install           both, below DESTDIR
#   make module-6.12       the module for a kernel that tests run on (6.1, 6.12, uml, 7.3)
#   make vm-setup          get all kernels that tests run on
#   make demo              a phone registers over IPsec, in a VM
#   make check             every test
#   make check-quick       one kernel, one test of each requirement: minutes
#   make check-long [PARTS=…]  what takes hours
#   make lint              what reads and builds, and runs nothing
#   make generate          what the kernel's generator makes of the netlink spec
#   make mutate [M=ID]     break each rule, and see its test fail
#   make soak              500 UEs re-registered at once, for ten minutes
#   make newest            every test on the newest kernel that Debian has
#   make suites            the kernel's own tests of XFRM, with the module loaded
#   make kamailio          Debian's Kamailios with our module, and with their own beside it
#   make opensips OPENSIPS=PROGRAM OPENSIPS_SRC=DIR  an OpenSIPS from outside with our module, and with proto_ipsec beside it
#   make bench             what it costs, beside the peers' way
#   make bench-long        what a million phones cost in one kernel: an hour or more, 11 GB
#   make clean

PREFIX ?= /usr/local
DESTDIR ?=
KERNELRELEASE ?= $(shell uname -r)
KDIR ?= /lib/modules/$(KERNELRELEASE)/build
export PREFIX DESTDIR

VM := $(CURDIR)/selftests/vm
test_kernels := 6.1 6.12 uml

all: modules user

# Out of the tree, a folder for each kernel: the sources are linked into
# build/KERNEL, so that objects of one kernel never meet those of another.
# All links are made anew each time, lest one stays of a source that is gone.
#
# $(call build_module,FOLDER,KDIR,TARGET,MORE)
define build_module
	@mkdir -p build/$(1)
	@find build/$(1) -type l -delete
	@ln -s $(CURDIR)/Kbuild $(CURDIR)/VERSION build/$(1)/
	@cp -rsf $(CURDIR)/kmod $(wildcard $(CURDIR)/include) build/$(1)/
	$(MAKE) -C $(2) M=$(CURDIR)/build/$(1) $(4) $(3)
endef

modules:
	@test -e $(KDIR)/Makefile || { echo "$(KDIR): no kernel headers; install linux-headers-$(KERNELRELEASE) or set KDIR" >&2; exit 1; }
	$(call build_module,$(KERNELRELEASE),$(KDIR),modules,W=1)

modules_install: modules
	$(MAKE) -C $(KDIR) M=$(CURDIR)/build/$(KERNELRELEASE) \
		INSTALL_MOD_PATH=$(DESTDIR) modules_install

user:
	$(MAKE) -C user

install: modules_install user
	$(MAKE) -C user install

# The lock: tests in several VMs at once may each want the module built.
#
# $(call build_locked,KERNEL,TARGET)
define build_locked
	@kdir=$$($(VM)/kernel builddir $(1)) && mkdir -p build && \
	exec flock build/.lock-$(1) $(MAKE) --no-print-directory $(2) test_kdir=$$kdir
endef

$(test_kernels:%=module-%) module-7.3: module-%:
	$(call build_locked,$*,build-for-$*)

# What VMs of several emulated CPUs load first
stale_code-6.1 stale_code-6.12 stale_code-7.3: stale_code-%:
	$(call build_locked,$*,build-stale_code-$*)

# A module that only tests use
#
# $(call build_for_tests,FOLDER,SOURCES,MORE)
define build_for_tests
	@mkdir -p build/$(1)
	@cp -sf $(CURDIR)/$(2)/* build/$(1)/
	$(MAKE) -C $(test_kdir) M=$(CURDIR)/build/$(1) modules W=1 $(3)
endef

# Without BTF: it would take pahole, and nothing here reads it. 6.12 has the network interface that tests make up
# as well, for what takes several CPUs, and 7.3, for drivers are called in another way there
build-for-6.1 build-for-6.12 build-for-7.3: build-for-%:
	$(call build_module,$*,$(test_kdir),modules,W=1 CONFIG_DEBUG_INFO_BTF_MODULES=)
	$(if $(filter 6.12 7.3,$*),$(call build_for_tests,$*-nic,selftests/offload,CONFIG_DEBUG_INFO_BTF_MODULES=))

# With the KUnit suites inside; and the network interface that tests make up
build-for-uml:
	$(call build_module,uml,$(test_kdir),modules,W=1 ARCH=um IMS_IPSEC_KUNIT=y)
	$(call build_for_tests,uml-nic,selftests/offload,ARCH=um)

build-stale_code-6.1 build-stale_code-6.12 build-stale_code-7.3: build-stale_code-%:
	$(call build_for_tests,stale_code-$*,selftests/vm/stale_code,CONFIG_DEBUG_INFO_BTF_MODULES=)

vm-setup:
	$(VM)/setup vm
	set -e; for kernel in $(test_kernels); do $(VM)/kernel get $$kernel; done

demo:
	$(VM)/setup vm kbuild user test
	$(MAKE) user
	selftests/kamailio/setup module 5.6
	$(VM)/run --kernel 6.12 -- selftests/demo/demo

check:
	selftests/check

check-quick:
	selftests/check --quick

check-long:
	selftests/check --long $(PARTS)

lint:
	selftests/check --lint

generate:
	$(VM)/setup fetch uml lint
	selftests/ynl/generate

mutate:
	selftests/mutate $(M)

soak:
	selftests/check -k 6.12 --long soak

# Not one of test_kernels: it is a large download, and what Debian 12 has not
newest:
	selftests/check -k 7.3

suites:
	selftests/check --long suites

kamailio:
	selftests/kamailio/compare
	selftests/kamailio/cost

opensips:
	OPENSIPS='$(OPENSIPS)' OPENSIPS_SRC='$(OPENSIPS_SRC)' selftests/opensips/compare

bench:
	selftests/bench/run

bench-long:
	selftests/bench/run --long

clean:
	rm -rf build
	if [ -e user/Makefile ]; then $(MAKE) -C user clean; fi

.PHONY: all modules modules_install user install vm-setup demo check check-quick check-long lint generate mutate soak newest suites kamailio opensips bench bench-long clean
.PHONY: $(test_kernels:%=module-%) $(test_kernels:%=build-for-%) module-7.3 build-for-7.3
.PHONY: $(foreach k,6.1 6.12 7.3,stale_code-$(k) build-stale_code-$(k))

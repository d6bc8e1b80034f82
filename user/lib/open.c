// SPDX-License-Identifier: LGPL-2.1-or-later
/* A handle that works: it is opened, and the kernel has answered a first request. */
#include <errno.h>

#include "internal.h"

int imsipsec_open(struct imsipsec **handle)
{
	const struct imsipsec_config *config;
	int err;

	err = imsipsec_nl_open(handle);
	if (err)
		return err;

	/* Whoever may not use the family shall hear it now, not at the first REGISTER. */
	err = imsipsec_config_get(*handle, &config);
	if (err) {
		imsipsec_close(*handle);
		*handle = NULL;
	}
	return err;
}

const char *imsipsec_open_strerror(int err)
{
	switch (err) {
	case -ENOENT:
		return "the kernel module ims_ipsec is not loaded";
	case -ENODEV:
		return "the kernel module ims_ipsec was unloaded meanwhile, open again";
	case -EPERM:
	case -EACCES:
		return "CAP_NET_ADMIN is needed in the network namespace";
	case -ENOMEM:
	case -ENOBUFS:
		return "out of memory";
	case -EMFILE:
		return "the process has too many open files (RLIMIT_NOFILE)";
	case -ENFILE:
		return "the host has too many open files (fs.file-max)";
	case -ENOSPC:
		return "the user watches too many files by epoll (fs.epoll.max_user_watches)";
	case -ESTALE:
		return "too many bundles came and went while they were dumped, open again";
	case -EBADMSG:
	case -EMSGSIZE:
	case -EINVAL:
	case -EOPNOTSUPP:
		return "this libimsipsec does not understand the kernel module ims_ipsec";
	case -EPROTONOSUPPORT:
	case -EAFNOSUPPORT:
		return "the kernel has no generic netlink";
	case -ENOPROTOOPT:
		return "the kernel is too old: its netlink has no extended acknowledgements";
	default:
		return "no netlink socket to be had";
	}
}

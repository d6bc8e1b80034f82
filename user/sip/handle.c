// SPDX-License-Identifier: GPL-2.0-or-later
/* How the kernel is reached from each process of a SIP server. */
#include <errno.h>
#include <string.h>

#include "sip.h"

#define CAPABILITY_CURE \
	SERVER_NAME " needs CAP_NET_ADMIN: in its unit, AmbientCapabilities=CAP_NET_ADMIN below User="

#define TIMEOUT		5000		/* milliseconds */

struct imsipsec *kernel_handle;
static pid_t handle_pid;
static bool lost;			/* the kernel module was unloaded: there is nothing of ours in it */

void to_addr(struct imsipsec_addr *addr, const struct ip_addr *ip)
{
	memset(addr, 0, sizeof(*addr));
	addr->family = ip->af;
	memcpy(&addr->in6, ip->u.addr, ip->len);
	/* A socket of both families has IPv4 addresses in IPv6 */
	if (ip->af == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&addr->in6)) {
		memcpy(&addr->in, ip->u.addr + 12, sizeof(addr->in));
		addr->family = AF_INET;
	}
}

bool addr_equal(const struct imsipsec_addr *a, const struct imsipsec_addr *b)
{
	return a->family == b->family &&
	       !memcmp(&a->in6, &b->in6, a->family == AF_INET6 ? sizeof(a->in6) : sizeof(a->in));
}

static void say_unreachable(int err)
{
	switch (err) {
	case -EPERM:
		LIMITED(LM_ERR,
			"the kernel module ims_ipsec may not be used: " CAPABILITY_CURE "\n");
		break;
	case -ENOENT:
		LIMITED(LM_ERR, "the kernel module ims_ipsec is not loaded: modprobe ims_ipsec\n");
		break;
	default:
		LIMITED(LM_ERR, "the kernel module ims_ipsec cannot be reached: %s\n",
			imsipsec_open_strerror(err));
		break;
	}
}

struct imsipsec *kernel(void)
{
	pid_t me = server_process();
	int err;

	if (kernel_handle && handle_pid == me)
		return kernel_handle;
	/* What another process opened is of no use here but to be closed. */
	imsipsec_close(kernel_handle);
	kernel_handle = NULL;
	err = imsipsec_open(&kernel_handle);
	if (err) {
		kernel_handle = NULL;
		say_unreachable(err);
		return NULL;
	}
	handle_pid = me;
	/* A worker that waits for ever serves nobody. */
	imsipsec_set_timeout(kernel_handle, TIMEOUT);
	if (lost) {
		lost = false;
		kernel_prepare();
	}
	return kernel_handle;
}

void kernel_close(void)
{
	imsipsec_close(kernel_handle);
	kernel_handle = NULL;
}

void kernel_lost(void)
{
	kernel_close();
	lost = true;
}

int kernel_failed(const char *what, int err)
{
	if (kernel_handle)
		LIMITED(LM_ERR, "%s: %s\n", what, imsipsec_strerror(kernel_handle));
	if (err == -EPERM)
		LIMITED(LM_ERR, CAPABILITY_CURE "\n");
	if (err == -ENODEV)
		kernel_lost();
	return err;
}

bool kernel_again(int err, bool *tried)
{
	if (err != -ENODEV || *tried)
		return false;
	*tried = true;
	kernel_lost();
	return kernel();
}

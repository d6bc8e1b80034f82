// SPDX-License-Identifier: LGPL-2.1-or-later
/* The handle, and exchanges of requests and replies with the kernel. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"

/* ---- What the kernel says when it refuses ---------------------------- */

struct extack {
	const char *msg;
	size_t msg_len;
	uint32_t offset;		/* in the request, 0: none */
	uint32_t miss_type;		/* 0: none */
};

static int extack_attr(const struct nlattr *attr, void *data)
{
	struct extack *ext = data;

	switch (mnl_attr_get_type(attr)) {
	case NLMSGERR_ATTR_MSG:
		ext->msg = mnl_attr_get_payload(attr);
		ext->msg_len = strnlen(ext->msg, mnl_attr_get_payload_len(attr));
		return 0;
	case NLMSGERR_ATTR_OFFS:
		return imsipsec_attr_u32(attr, &ext->offset);
	case NLMSGERR_ATTR_MISS_TYPE:
		return imsipsec_attr_u32(attr, &ext->miss_type);
	default:
		return 0;
	}
}

static const char *request_attr_name(const struct nlmsghdr *request, unsigned int type)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(request);

	/* The library's requests to nlctrl have nothing that could be wrong. */
	if (request->nlmsg_type == GENL_ID_CTRL)
		return NULL;
	return imsipsec_attr_name(genl->cmd, type);
}

/* The name of the attribute at @offset of a request. */
static const char *offset_name(const struct nlmsghdr *request, uint32_t offset)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, request, GENL_HDRLEN)
		if ((const char *)attr - (const char *)request == offset)
			return request_attr_name(request, mnl_attr_get_type(attr));
	return NULL;
}

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

/* As a word of its own: "Invalid" does not name "id". */
static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);
	const char *p;

	for (p = strstr(text, word); p; p = strstr(p + 1, word))
		if ((p == text || !is_name_char(p[-1])) && !is_name_char(p[len]))
			return true;
	return false;
}

static void describe(struct imsipsec *h, int err, const struct extack *ext,
		     const struct nlmsghdr *request)
{
	const char *name = NULL;
	char text[ERROR_MAX];

	if (ext->msg_len)
		snprintf(text, sizeof(text), "%.*s", (int)ext->msg_len, ext->msg);
	else if (strerror_r(-err, text, sizeof(text)))
		snprintf(text, sizeof(text), "error %d", -err);

	if (ext->miss_type)
		name = request_attr_name(request, ext->miss_type);
	else if (ext->offset)
		name = offset_name(request, ext->offset);

	/* Not twice, where the kernel's text has it. */
	if (!name || has_word(text, name))
		imsipsec_fail(h, err, "%s", text);
	else if (ext->miss_type)
		imsipsec_fail(h, err, "%s: %s is missing", text, name);
	else
		imsipsec_fail(h, err, "%s: %s", text, name);
}

/* An error in NLMSG_ERROR or NLMSG_DONE, with attributes at @offset of the payload. */
static int kernel_error(struct imsipsec_exchange *x, const struct nlmsghdr *nlh, int err,
			size_t offset)
{
	struct extack ext = { 0 };

	if (!err)
		return 0;
	if (err > 0)
		return imsipsec_fail(x->h, -EBADMSG, "malformed reply of the kernel");

	/* The error counts even if what explains it is malformed. */
	if (nlh->nlmsg_flags & NLM_F_ACK_TLVS && offset <= mnl_nlmsg_get_payload_len(nlh) &&
	    imsipsec_attr_walk(mnl_nlmsg_get_payload_offset(nlh, offset),
			       mnl_nlmsg_get_payload_len(nlh) - offset, extack_attr, &ext))
		ext = (struct extack){ 0 };
	/* The module never says so without a text; generic netlink does, of an old family id. */
	if (err == -ENOENT && !ext.msg_len && x->h->family &&
	    x->request->nlmsg_type == x->h->family)
		return imsipsec_fail(x->h, -ENODEV, "the kernel module ims_ipsec was unloaded");
	describe(x->h, err, &ext, x->request);
	return err;
}

static int input_error(struct imsipsec_exchange *x, const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);
	size_t offset = sizeof(*e);

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*e))
		return imsipsec_fail(x->h, -EBADMSG, "malformed reply of the kernel");
	/* Uncapped, it repeats the request. */
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED) && e->msg.nlmsg_len >= sizeof(e->msg))
		offset += NLMSG_ALIGN(e->msg.nlmsg_len - sizeof(e->msg));
	return kernel_error(x, nlh, e->error, offset);
}

static int input_done(struct imsipsec_exchange *x, const struct nlmsghdr *nlh)
{
	int err = 0;

	if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(err))
		memcpy(&err, mnl_nlmsg_get_payload(nlh), sizeof(err));
	return kernel_error(x, nlh, err, sizeof(err));
}

static void input_reply(struct imsipsec_exchange *x, const struct nlmsghdr *nlh)
{
	/* Once it failed or was ended, the rest is read only to be out of the way. */
	x->replied = true;
	if (x->err || !x->reply)
		return;
	x->err = x->reply(x->h, nlh, x->data);
	if (x->err == -EBADMSG)
		imsipsec_fail(x->h, x->err, "malformed reply of the kernel");
}

/* Unlike mnl_nlmsg_ok(), it does not take a length above 2^31 for a negative one. */
bool imsipsec_nl_ok(const struct nlmsghdr *nlh, int left)
{
	return left >= (int)sizeof(*nlh) && nlh->nlmsg_len >= sizeof(*nlh) &&
	       nlh->nlmsg_len <= (unsigned int)left;
}

/*
 * Take one datagram from the kernel. Returns true when the exchange is over.
 * Apart from the socket, so that the tests can feed it whatever they like.
 */
bool imsipsec_nl_input(struct imsipsec_exchange *x, const void *buf, size_t len)
{
	const struct nlmsghdr *nlh = buf;
	int left = len, err;

	for (; imsipsec_nl_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
		/* What an exchange that broke off has left behind. */
		if (nlh->nlmsg_seq != x->request->nlmsg_seq)
			continue;
		if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
			x->interrupted = true;

		switch (nlh->nlmsg_type) {
		case NLMSG_ERROR:
			err = input_error(x, nlh);
			break;
		case NLMSG_DONE:
			err = input_done(x, nlh);
			break;
		default:
			if (nlh->nlmsg_type == x->type)
				input_reply(x, nlh);
			if (x->once && x->replied)
				return true;
			continue;
		}

		if (err && !x->err)
			x->err = err;
		if (!x->err && x->interrupted)
			x->err = imsipsec_fail(x->h, -ESTALE, "changed while it was dumped");
		return true;
	}

	if (left <= 0)
		return false;
	x->err = imsipsec_fail(x->h, -EBADMSG, "malformed reply of the kernel");
	return true;
}

/* ---- The socket ------------------------------------------------------ */

/* One datagram of the kernel; what another process sent is dropped. */
int imsipsec_nl_recv(int fd, void *buf, size_t size, int flags, size_t *len)
{
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	struct sockaddr_nl from;
	struct msghdr msg = {
		.msg_name = &from,
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};
	ssize_t n;

	do {
		msg.msg_namelen = sizeof(from);
		n = recvmsg(fd, &msg, flags);
		if (n < 0 && errno != EINTR)
			return -errno;
	} while (n < 0 || from.nl_pid);

	if (msg.msg_flags & MSG_TRUNC)
		return -EMSGSIZE;
	*len = n;
	return 0;
}

static int send_request(struct imsipsec *h, const struct nlmsghdr *request)
{
	while (mnl_socket_sendto(h->nl, request, request->nlmsg_len) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int imsipsec_fail_system(struct imsipsec *h, int err)
{
	static const struct extack none;

	describe(h, err, &none, NULL);
	return err;
}

/* What a callback of the caller's returned, as the function returns it that called it */
int imsipsec_called(struct imsipsec *h, int ret)
{
	return ret < 0 ? imsipsec_fail(h, -ECANCELED, "a callback returned %d, which is negative", ret)
		       : ret;
}

static struct nlmsghdr *begin_request(struct imsipsec *h, uint16_t type, uint8_t cmd,
				      uint8_t version, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(h->request);
	struct genlmsghdr *genl;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	nlh->nlmsg_seq = ++h->seq;
	genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));
	genl->cmd = cmd;
	genl->version = version;
	return nlh;
}

/* A request of the family; attributes are to be appended. */
struct nlmsghdr *imsipsec_nl_request(struct imsipsec *h, uint8_t cmd, uint16_t flags)
{
	return begin_request(h, h->family, cmd, IMS_IPSEC_FAMILY_VERSION, flags);
}

/*
 * After fork() both processes have the socket, and each would get what the kernel answers
 * the other one.
 */
int imsipsec_nl_check_process(struct imsipsec *h)
{
	if (*h->opened_here)
		return 0;
	return imsipsec_fail(h, -ECHILD, "it was opened by another process: open one after fork()");
}

/* A page of which each process that fork() makes gets zeros; no call is needed to look. */
int imsipsec_nl_mark_process(struct imsipsec *h)
{
	const size_t size = sysconf(_SC_PAGESIZE);
	bool *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err;

	if (page == MAP_FAILED)
		return -errno;
	if (madvise(page, size, MADV_WIPEONFORK)) {
		err = -errno;
		munmap(page, size);
		return err;
	}
	*page = true;
	h->opened_here = page;
	return 0;
}

static void unmark_process(struct imsipsec *h)
{
	munmap((void *)h->opened_here, sysconf(_SC_PAGESIZE));
}

/*
 * What came too late for an exchange that was given up. Of a dump the kernel makes more when
 * something is read, until there is no more of it.
 */
static void drain(struct imsipsec *h)
{
	size_t len;

	while (!imsipsec_nl_recv(mnl_socket_get_fd(h->nl), h->reply, sizeof(h->reply), MSG_DONTWAIT,
				 &len))
		;
}

static int exchange_once(struct imsipsec_exchange *x)
{
	struct imsipsec *h = x->h;
	int fd, err;
	size_t len;

	fd = mnl_socket_get_fd(h->nl);
	err = send_request(h, x->request);
	if (err)
		return imsipsec_fail_system(h, err);
	do {
		err = imsipsec_nl_recv(fd, h->reply, sizeof(h->reply), 0, &len);
		if (err == -EAGAIN) {
			h->late = true;
			return imsipsec_fail(h, -ETIMEDOUT, "no answer of the kernel in time");
		}
		if (err)
			return imsipsec_fail_system(h, err);
	} while (!imsipsec_nl_input(x, h->reply, len));
	return x->err;
}

static int exchange(struct imsipsec_exchange *x, struct nlmsghdr *request)
{
	struct imsipsec *h = x->h;
	const bool late = h->late;
	int err;

	err = imsipsec_nl_check_process(h);
	if (err)
		return err;
	if (late) {
		drain(h);
		h->late = false;
	}
	err = exchange_once(x);
	if (!late || err != -EBUSY || !(request->nlmsg_flags & NLM_F_DUMP))
		return err;
	/* A dump was given up that nobody has read from. Now that something was, it ends. */
	drain(h);
	request->nlmsg_seq = ++h->seq;
	x->err = 0;
	return exchange_once(x);
}

/* Send a request, have @reply called for each reply, return how it ended. */
int imsipsec_nl_exchange(struct imsipsec *h, struct nlmsghdr *request,
			 imsipsec_reply_fn reply, void *data)
{
	struct imsipsec_exchange x = {
		.h = h, .request = request, .type = request->nlmsg_type,
		.reply = reply, .data = data,
	};

	return exchange(&x, request);
}

/*
 * Likewise, of a request that has one reply, or an error: to be acknowledged is not enough, and
 * takes the kernel and this process another message.
 */
int imsipsec_nl_get(struct imsipsec *h, struct nlmsghdr *request,
		    imsipsec_reply_fn reply, void *data)
{
	struct imsipsec_exchange x = {
		.h = h, .request = request, .type = request->nlmsg_type,
		.reply = reply, .data = data, .once = true,
	};
	int err;

	request->nlmsg_flags &= ~NLM_F_ACK;
	err = exchange(&x, request);
	if (err || x.replied)
		return err;
	return imsipsec_fail(h, -EBADMSG, "no reply of the kernel");
}

/*
 * Ask another netlink family, such as NETLINK_XFRM, which has @bus; what it answers has
 * @type. The request has its type, its flags and its header.
 */
int imsipsec_nl_ask(int bus, struct nlmsghdr *request, uint16_t type,
		    imsipsec_reply_fn reply, void *data)
{
	static const bool opened_here = true;
	struct imsipsec *h = calloc(1, sizeof(*h));
	struct imsipsec_exchange x = {
		.h = h, .request = request, .type = type, .reply = reply, .data = data,
	};
	int err = -ENOMEM;

	if (!h)
		return err;
	h->opened_here = &opened_here;
	request->nlmsg_seq = 1;
	h->nl = mnl_socket_open2(bus, SOCK_CLOEXEC);
	if (h->nl && !mnl_socket_bind(h->nl, 0, MNL_SOCKET_AUTOPID))
		err = exchange(&x, request);
	else
		err = -errno;
	if (h->nl)
		mnl_socket_close(h->nl);
	/* XFRM tells keys. */
	explicit_bzero(h->reply, sizeof(h->reply));
	free(h);
	return err;
}

/* ---- Opening and closing --------------------------------------------- */

struct group {
	const char *name;
	size_t name_len;
	uint32_t id;
};

static int group_attr(const struct nlattr *attr, void *data)
{
	struct group *group = data;

	switch (mnl_attr_get_type(attr)) {
	case CTRL_ATTR_MCAST_GRP_NAME:
		group->name = mnl_attr_get_payload(attr);
		group->name_len = strnlen(group->name, mnl_attr_get_payload_len(attr));
		return 0;
	case CTRL_ATTR_MCAST_GRP_ID:
		return imsipsec_attr_u32(attr, &group->id);
	default:
		return 0;
	}
}

static int groups_attr(const struct nlattr *attr, void *data)
{
	static const char events[] = IMS_IPSEC_MCGRP_EVENTS;
	struct group group = { 0 };
	struct imsipsec *h = data;
	int err;

	err = imsipsec_attr_walk_nest(attr, group_attr, &group);
	if (err)
		return err;
	if (group.name_len == strlen(events) && !memcmp(group.name, events, group.name_len))
		h->group = group.id;
	return 0;
}

static int family_attr(const struct nlattr *attr, void *data)
{
	struct imsipsec *h = data;

	switch (mnl_attr_get_type(attr)) {
	case CTRL_ATTR_FAMILY_ID:
		return imsipsec_attr_u16(attr, &h->family);
	case CTRL_ATTR_MCAST_GROUPS:
		return imsipsec_attr_walk_nest(attr, groups_attr, h);
	default:
		return 0;
	}
}

static int family_reply(struct imsipsec *h, const struct nlmsghdr *nlh, void *data)
{
	(void)data;
	return imsipsec_attr_walk_msg(nlh, family_attr, h);
}

/* The kernel loads the module at this request, if it can. */
static int resolve_family(struct imsipsec *h)
{
	struct nlmsghdr *nlh = begin_request(h, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1, 0);
	int err;

	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, IMS_IPSEC_FAMILY_NAME);
	err = imsipsec_nl_get(h, nlh, family_reply, NULL);
	if (err)
		return err;
	return h->family && h->group ? 0 : -EBADMSG;
}

static int set_options(struct imsipsec *h)
{
	int on = 1;

	/* Capped, an error does not carry the keys of the request back. */
	if (mnl_socket_setsockopt(h->nl, NETLINK_EXT_ACK, &on, sizeof(on)) ||
	    mnl_socket_setsockopt(h->nl, NETLINK_CAP_ACK, &on, sizeof(on)))
		return -errno;
	return 0;
}

int imsipsec_nl_open(struct imsipsec **handle)
{
	struct imsipsec *h;
	int err;

	*handle = NULL;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;

	err = imsipsec_nl_mark_process(h);
	if (err)
		goto free_handle;
	h->nl = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	if (!h->nl) {
		err = -errno;
		goto unmark_process;
	}
	if (mnl_socket_bind(h->nl, 0, MNL_SOCKET_AUTOPID)) {
		err = -errno;
		goto close_socket;
	}
	err = set_options(h);
	if (err)
		goto close_socket;
	err = resolve_family(h);
	if (err)
		goto close_socket;

	*handle = h;
	return 0;

close_socket:
	mnl_socket_close(h->nl);
unmark_process:
	unmark_process(h);
free_handle:
	free(h);
	return err;
}

void imsipsec_close(struct imsipsec *h)
{
	if (!h)
		return;
	mnl_socket_close(h->nl);
	unmark_process(h);
	free(h);
}

int imsipsec_set_timeout(struct imsipsec *h, uint64_t timeout)
{
	const struct timeval tv = {
		.tv_sec = timeout / 1000, .tv_usec = timeout % 1000 * 1000,
	};
	int err = imsipsec_nl_check_process(h);

	if (err)
		return err;
	if (setsockopt(mnl_socket_get_fd(h->nl), SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)))
		return imsipsec_fail_system(h, -errno);
	return 0;
}

int imsipsec_fd(const struct imsipsec *h)
{
	return mnl_socket_get_fd(h->nl);
}

const char *imsipsec_strerror(const struct imsipsec *h)
{
	return h->error;
}

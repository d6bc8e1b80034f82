// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes bundles with keys that nobody else has, and looks for them in all of
 * the machine's memory.
 *
 * A command a line; what it gives ends with a line "."
 *
 *   new SLOT ENDPOINT AUTH ENC ADDRESS SPI HOW
 *	bundle-new with the keys of a slot, AUTH and ENC being numbers, SPI the
 *	first of two; HOW is how it is wrong, see enum how.  Gives the errno, and
 *	whether the keys came back with it.
 *   scan
 *	Gives "SLOT KEY HALF ADDRESS FLAGS" for each place where there is half of
 *	a key: KEY is ik, ck or 3des, ADDRESS physical, FLAGS those of
 *	/proc/kpageflags.
 *
 * The program's own memory is searched, too.  So a key exists here as a mask and
 * what it masks, and is in clear only in the buffer of a request while that is
 * sent, put there and wiped byte by byte: neither a vector register, which the
 * kernel would save, nor half a key in any other one.
 */
#include <arpa/inet.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/ims_ipsec.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define SLOTS	64
#define KEY	IMS_IPSEC_KEY_LEN
#define PAGE	4096
#define CHUNK	(256 * PAGE)

enum how { GOOD, IK_TWICE, CK_TWICE, NO_ENDPOINT, SPI_SAME, NO_OWNER };

typedef volatile unsigned char byte;

/* IK and CK of each slot: the one XOR the other */
static byte masked[SLOTS][2 * KEY], mask[SLOTS][2 * KEY];

static byte request[1024], answer[16384];
static int sock;
static unsigned int family;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void wipe(byte *p, size_t n)
{
	while (n--)
		*p++ = 0;
}

/* --- Requests */

static unsigned int put(unsigned int at, unsigned int type, const void *data, unsigned int n)
{
	struct nlattr nla = { .nla_len = sizeof(nla) + n, .nla_type = type };
	const unsigned char *from = (const unsigned char *)&nla;
	unsigned int i;

	for (i = 0; i < sizeof(nla); i++)
		request[at + i] = from[i];
	from = data;
	for (i = 0; i < n; i++)
		request[at + sizeof(nla) + i] = from ? from[i] : 0;
	return at + NLA_ALIGN(sizeof(nla) + n);
}

static unsigned int put_u32(unsigned int at, unsigned int type, uint32_t value)
{
	return put(at, type, &value, sizeof(value));
}

static unsigned int put_be32(unsigned int at, unsigned int type, uint32_t value)
{
	return put_u32(at, type, htonl(value));
}

static unsigned int put_be16(unsigned int at, unsigned int type, uint16_t value)
{
	value = htons(value);
	return put(at, type, &value, sizeof(value));
}

/* IK is the first half of what a slot has, CK the second. */
static unsigned int put_key(unsigned int at, unsigned int type, int slot)
{
	const int first = type == IMS_IPSEC_A_BUNDLE_CK ? KEY : 0;
	unsigned int i, end = put(at, type, NULL, KEY);

	for (i = 0; i < KEY; i++)
		request[at + NLA_HDRLEN + i] = masked[slot][first + i] ^ mask[slot][first + i];
	return end;
}

static unsigned int begin(unsigned int type, unsigned int cmd)
{
	struct genlmsghdr *genl = (void *)(request + NLMSG_HDRLEN);
	struct nlmsghdr *nlh = (void *)request;

	wipe(request, sizeof(request));
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	genl->cmd = cmd;
	genl->version = 1;
	return NLMSG_HDRLEN + GENL_HDRLEN;
}

/* Is either key of a slot in what the kernel has answered? */
static int came_back(int slot, ssize_t n)
{
	ssize_t at;
	int half, i;

	for (at = 0; at + 8 <= n; at++)
		for (half = 0; half < 4; half++) {
			for (i = 0; i < 8; i++)
				if ((answer[at + i] ^ mask[slot][8 * half + i]) !=
				    masked[slot][8 * half + i])
					break;
			if (i == 8)
				return 1;
		}
	return 0;
}

/* Send it, wipe it, read answers up to the acknowledgement: its errno. */
static int say(unsigned int len, int slot, int *back, uint16_t *id)
{
	struct nlmsghdr *nlh = (void *)request;
	ssize_t n;

	nlh->nlmsg_len = len;
	n = send(sock, (void *)request, len, 0);
	wipe(request, sizeof(request));
	if (n < 0)
		die("send");
	for (;;) {
		n = recv(sock, (void *)answer, sizeof(answer), 0);
		if (n < 0)
			die("recv");
		if (slot >= 0)
			*back |= came_back(slot, n);
		nlh = (void *)answer;
		if (nlh->nlmsg_type == NLMSG_ERROR) {
			int err = -((struct nlmsgerr *)NLMSG_DATA(nlh))->error;

			wipe(answer, sizeof(answer));
			return err;
		}
		/* the answer to CTRL_CMD_GETFAMILY */
		if (id) {
			unsigned int at = NLMSG_HDRLEN + GENL_HDRLEN;

			while (at < nlh->nlmsg_len) {
				struct nlattr *nla = (void *)(answer + at);

				if (nla->nla_type == CTRL_ATTR_FAMILY_ID)
					*id = *(uint16_t *)(answer + at + NLA_HDRLEN);
				at += NLA_ALIGN(nla->nla_len);
			}
		}
	}
}

static void open_family(void)
{
	unsigned int at = begin(GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	uint16_t id = 0;

	sock = socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);
	if (sock < 0)
		die("socket");
	at = put(at, CTRL_ATTR_FAMILY_NAME, IMS_IPSEC_FAMILY_NAME, sizeof(IMS_IPSEC_FAMILY_NAME));
	errno = say(at, -1, NULL, &id);
	if (!id)
		die("family");
	family = id;
}

static void new_bundle(const char *args)
{
	unsigned int slot, ep, auth, enc, spi, how, at;
	char text[64];
	struct in_addr addr;
	int back = 0, err;

	if (sscanf(args, "%u %u %u %u %63s %u %u", &slot, &ep, &auth, &enc, text, &spi, &how) != 7 ||
	    slot >= SLOTS || inet_pton(AF_INET, text, &addr) != 1) {
		fprintf(stderr, "new: %s\n", args);
		exit(1);
	}
	at = begin(family, IMS_IPSEC_CMD_BUNDLE_NEW);
	at = put_u32(at, IMS_IPSEC_A_BUNDLE_ENDPOINT, how == NO_ENDPOINT ? 0x7fffffff : ep);
	if (how != NO_OWNER)
		at = put(at, IMS_IPSEC_A_BUNDLE_OWNER, "owner", 5);
	/* each a registration of its own */
	at = put(at, IMS_IPSEC_A_BUNDLE_CONTACT, &slot, sizeof(slot));
	at = put(at, IMS_IPSEC_A_BUNDLE_UE_ADDRESS, &addr, 4);
	at = put_key(at, IMS_IPSEC_A_BUNDLE_IK, slot);
	if (how == IK_TWICE)
		at = put_key(at, IMS_IPSEC_A_BUNDLE_IK, slot);
	at = put_key(at, IMS_IPSEC_A_BUNDLE_CK, slot);
	if (how == CK_TWICE)
		at = put_key(at, IMS_IPSEC_A_BUNDLE_CK, slot);
	at = put_be16(at, IMS_IPSEC_A_BUNDLE_PORT_UC, 10000 + slot);
	at = put_be16(at, IMS_IPSEC_A_BUNDLE_PORT_US, 8904);
	at = put_be32(at, IMS_IPSEC_A_BUNDLE_SPI_UC, spi);
	at = put_be32(at, IMS_IPSEC_A_BUNDLE_SPI_US, how == SPI_SAME ? spi : spi + 1);
	at = put_u32(at, IMS_IPSEC_A_BUNDLE_AUTH_ALG, auth);
	at = put_u32(at, IMS_IPSEC_A_BUNDLE_ENC_ALG, enc);
	err = say(at, slot, &back, NULL);
	printf("%d %d\n.\n", err, back);
}

/* --- Search */

struct half {
	uint32_t mask[2], masked[2];
	int slot, half, next;
	const char *key;
};

static struct half halves[SLOTS * 6];
static int n_halves;
/* By the first two bytes, which tell little: index of a half and 1 */
static uint16_t first[65536];
static unsigned char chunk[CHUNK] __attribute__((aligned(PAGE)));

static void add_half(int slot, const char *key, int at, int parity)
{
	struct half *h = &halves[n_halves];
	byte *x = (byte *)h->masked, *m = (byte *)h->mask;
	uint16_t start = 0;
	int i;

	for (i = 0; i < 8; i++) {
		m[i] = mask[slot][at + i];
		x[i] = masked[slot][at + i];
		/* the lowest bit of each byte of a key of DES makes its parity odd */
		if (parity && !(__builtin_popcount(m[i] ^ x[i]) & 1))
			x[i] ^= 1;
		if (i < 2)
			start |= (uint16_t)(m[i] ^ x[i]) << 8 * i;
	}
	h->slot = slot;
	h->key = key;
	h->half = at / 8 % 2;
	h->next = first[start];
	first[start] = ++n_halves;
}

static int kpageflags;

static int look(uint64_t paddr, const unsigned char *p)
{
	int i, found = 0;
	uint64_t flags;
	unsigned int at;

	for (at = 0; at + 8 <= PAGE; at += 4) {
		const uint32_t *w = (const uint32_t *)(p + at);

		for (i = first[*(const uint16_t *)w]; i; i = halves[i - 1].next) {
			const struct half *h = &halves[i - 1];

			if ((w[0] ^ h->mask[0]) != h->masked[0] || (w[1] ^ h->mask[1]) != h->masked[1])
				continue;
			flags = 0;
			if (pread(kpageflags, &flags, 8, (paddr + at) / PAGE * 8) != 8)
				flags = 0;
			printf("%d %s %d %#llx %#llx\n", h->slot, h->key, h->half,
			       (unsigned long long)paddr + at, (unsigned long long)flags);
			found = 1;
		}
	}
	return found;
}

static int is_zero(const unsigned char *p)
{
	const uint64_t *w = (const uint64_t *)p;
	int i;

	for (i = 0; i < PAGE / 8; i += 4)
		if (w[i] | w[i + 1] | w[i + 2] | w[i + 3])
			return 0;
	return 1;
}

/*
 * Keys lie at multiples of four bytes: in attributes, behind heads of XFRM's, in
 * contexts of ciphers, and where a compiler puts arrays of 16 bytes.
 */
static void scan(void)
{
	uint64_t at, pages = 0, used = 0;
	Elf64_Phdr phdr[64];
	Elf64_Ehdr ehdr;
	int fd, i, found;
	ssize_t n, j;

	fd = open("/proc/kcore", O_RDONLY);
	if (fd < 0)
		die("/proc/kcore");
	if (pread(fd, &ehdr, sizeof(ehdr), 0) != sizeof(ehdr) || ehdr.e_phnum > 64 ||
	    pread(fd, phdr, ehdr.e_phnum * sizeof(*phdr), ehdr.e_phoff) < 0)
		die("/proc/kcore");
	for (i = 0; i < ehdr.e_phnum; i++) {
		/* what is mapped directly is all of the memory */
		if (phdr[i].p_type != PT_LOAD || phdr[i].p_paddr == (Elf64_Addr)-1 ||
		    phdr[i].p_vaddr >= 0xffffffff80000000)
			continue;
		for (at = 0; at < phdr[i].p_memsz; at += n) {
			uint64_t left = phdr[i].p_memsz - at;

			n = pread(fd, chunk, left < CHUNK ? left : CHUNK, phdr[i].p_offset + at);
			if (n <= 0)
				die("/proc/kcore");
			for (j = 0, found = 0; j + PAGE <= n; j += PAGE, pages++) {
				if (is_zero(chunk + j))
					continue;
				used++;
				found |= look(phdr[i].p_paddr + at + j, chunk + j);
			}
			/* or it would be found here */
			if (found)
				wipe(chunk, sizeof(chunk));
		}
	}
	close(fd);
	printf("# %llu of %llu pages\n.\n", (unsigned long long)used, (unsigned long long)pages);
}

int main(void)
{
	char line[256];
	int i, at;

	if (getrandom((void *)masked, sizeof(masked), 0) != sizeof(masked) ||
	    getrandom((void *)mask, sizeof(mask), 0) != sizeof(mask))
		die("getrandom");
	for (i = 0; i < SLOTS; i++) {
		/* no half of CK has the parity of a key of DES already */
		for (at = KEY; at < 2 * KEY; at += 8)
			if (__builtin_popcount(masked[i][at] ^ mask[i][at]) & 1)
				masked[i][at] ^= 1;
		add_half(i, "ik", 0, 0);
		add_half(i, "ik", 8, 0);
		add_half(i, "ck", KEY, 0);
		add_half(i, "ck", KEY + 8, 0);
		add_half(i, "3des", KEY, 1);
		add_half(i, "3des", KEY + 8, 1);
	}
	kpageflags = open("/proc/kpageflags", O_RDONLY);
	open_family();
	while (fgets(line, sizeof(line), stdin)) {
		if (!strncmp(line, "new ", 4))
			new_bundle(line + 4);
		else if (!strncmp(line, "scan", 4))
			scan();
		else
			return 1;
		fflush(stdout);
	}
	return 0;
}

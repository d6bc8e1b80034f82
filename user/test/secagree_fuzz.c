// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Rules that hold for every input of the header parsers: the target of
 * libFuzzer, and of mutate_test.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <imsipsec.h>

#include "fuzz.h"
#include "headers.h"

const char *const fuzz_seeds[] = {
	PHONE_MD5_NULL, PHONE_TWO, PHONE_VERIFY, SERVER_LARGE_SPI, PHONE_BLANKS,
	SERVER_LIST, PHONE_BOTH,
	"tls;q=0.2, " PHONE_MD5_NULL ", sdes-srtp;mediasec;x=\"a,\\\"b;\",\r\n " PHONE_VERIFY,
	"SIP/2.0/UDP 10.0.0.5:6300;branch=z9hG4bK1;rport",
	"SIP / 2.0 / TLS [2001:db8::5] : 5062;branch=1, SIP/2.0/UDP ue1.ims.example",
	NULL
};

const char *const fuzz_pieces[] = {
	",", ";", "=", "\"", "\\", " ", "\r\n ", "\r\n", "\t", "0", "4294967296", "65536", "-1",
	"ipsec-3gpp", ";alg=hmac-sha-1-96", ";alg=null", ";ealg=null", ";ealg=aes-gcm",
	";spi-c=256", ";port-s=5060", ";q=0.9999", ";mod=UDP-enc-tun", ",tls", "10.0.0.5",
	"SIP/2.0/UDP ", "[::ffff:10.0.0.5]", ":5060", "ue.example", "\xff", "[::1]", NULL
};

static void check(bool good, const char *rule)
{
	if (good)
		return;
	fprintf(stderr, "%s\n", rule);
	abort();
}

static void check_mech(const struct imsipsec_mech *m)
{
	check(m->spi_c >= 256 && m->spi_s >= 256 && m->spi_c != m->spi_s, "B5: SPIs");
	check(m->port_c && m->port_s && m->port_c != m->port_s, "A9: ports");
	check(m->q <= 1000, "q");
	check(!m->alg || imsipsec_alg_name(m->alg), "alg");
	check(!m->ealg || imsipsec_ealg_name(m->ealg), "ealg");
	check(!m->mode || imsipsec_mode_name(m->mode), "mode");
}

/* The same input as a list of algorithms */
static void check_algs(const uint8_t *data, size_t size)
{
	struct imsipsec_pair algs[9];
	size_t i, n = 9;
	char *text = malloc(size + 1);
	int err;

	check(text, "memory");
	memcpy(text, data, size);
	text[size] = '\0';
	err = imsipsec_pairs_parse(text, algs, &n);
	check(err == 0 || err == -EINVAL, "errno of a list of algorithms");
	for (i = 0; !err && i < n; i++)
		check(imsipsec_alg_name(algs[i].alg) && imsipsec_ealg_name(algs[i].ealg), "pairs");
	free(text);
}

/* The same input as a Via */
static void check_via(const uint8_t *data, size_t size)
{
	struct imsipsec_addr addr, back, other = { .family = AF_INET };
	char text[INET6_ADDRSTRLEN], via[INET6_ADDRSTRLEN + 32];
	bool natted;
	uint16_t port, port_back;
	int err, len;

	err = imsipsec_via_sent_by((const char *)data, size, &addr, &port);
	check(err == imsipsec_via_is_natted((const char *)data, size, &other, &natted),
	      "both read a Via");
	check(err == 0 || err == -EINVAL || err == -EAFNOSUPPORT, "errno of a Via");
	if (err)
		return;
	check(port, "port of sent-by");
	check(addr.family == AF_INET ||
	      (addr.family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&addr.in6)), "family of sent-by");
	check(!imsipsec_via_is_natted((const char *)data, size, &addr, &natted) && !natted,
	      "no NAT at the address of sent-by");
	addr.in.s_addr ^= 1;
	check(!imsipsec_via_is_natted((const char *)data, size, &addr, &natted) && natted,
	      "a NAT at another address");
	addr.in.s_addr ^= 1;
	len = snprintf(via, sizeof(via), addr.family == AF_INET ? "SIP/2.0/UDP %s:%u" :
		       "SIP/2.0/UDP [%s]:%u", imsipsec_addr_format(&addr, text, sizeof(text)), port);
	check(!imsipsec_via_sent_by(via, len, &back, &port_back) && port_back == port &&
	      !imsipsec_via_is_natted(via, len, &addr, &natted) && !natted,
	      "sent-by, written and read");
}

/* What was written is read as it was meant. */
static void check_write(const struct imsipsec_mech *m)
{
	struct imsipsec_secagree *back = NULL;
	const struct imsipsec_mech *n;
	char buf[512];
	int len;

	len = imsipsec_secagree_write(buf, sizeof(buf), m, 1);
	check(len > 0 && len == (int)strlen(buf), "write");
	check(!imsipsec_secagree_parse(&back, buf, len), "read what was written");
	n = imsipsec_secagree_get(back, 0);
	check(n->alg == m->alg && n->ealg == m->ealg && n->mode == m->mode &&
	      n->spi_c == m->spi_c && n->spi_s == m->spi_s && n->port_c == m->port_c && n->port_s == m->port_s,
	      "what was written says the same");
	imsipsec_secagree_free(back);
}

/*
 * Security-Server after @m of @client was chosen: whether the UE goes by the
 * order or by q, the first that it offers is that.
 */
static void check_server(const struct imsipsec_secagree *client, const struct imsipsec_mech *m)
{
	const struct imsipsec_bundle bundle = {
		.mode = m->mode, .alg = m->alg, .ealg = m->ealg,
		.port_pc = m->port_c, .port_ps = m->port_s,
		.spi_pc = m->spi_c, .spi_ps = m->spi_s,
	};
	struct imsipsec_pair algs[9], pair;
	struct imsipsec_secagree *server = NULL;
	const struct imsipsec_mech *s, *chosen;
	size_t i, n = 9, last = 1001;
	char buf[2048];
	int len;

	check(!imsipsec_pairs_parse("aes-gcm,aes-gmac,hmac-sha-1-96,hmac-md5-96", algs, &n) &&
	      n == 9, "all pairs");
	len = imsipsec_secagree_write_server(buf, sizeof(buf), &bundle, algs, n);
	check(len > 0 && !imsipsec_secagree_parse(&server, buf, len), "read Security-Server");
	for (i = 0; (s = imsipsec_secagree_get(server, i)); i++) {
		check(s->q && s->q < last, "q falls");
		last = s->q;
	}
	check(i == n, "the whole list");
	for (i = 0; (s = imsipsec_secagree_get(server, i)); i++) {
		pair = (struct imsipsec_pair){ s->alg, s->ealg };
		if (!imsipsec_secagree_choose(client, &pair, 1, &s->mode, 1, &chosen))
			break;
	}
	check(s && s->alg == m->alg && s->ealg == m->ealg && s->mode == m->mode,
	      "E6: the UE chooses the same");
	imsipsec_secagree_free(server);
}

/* @modes: what the P-CSCF may choose from */
static void check_choose(const struct imsipsec_secagree *a, const enum imsipsec_mode *modes,
			 size_t n)
{
	const struct imsipsec_mech *m;
	size_t i;

	if (imsipsec_secagree_choose(a, NULL, 0, modes, n, &m))
		return;
	for (i = 0; i < n && m->mode != modes[i]; i++)
		;
	check(i < n, "a mode that may be chosen");
	check_write(m);
	check_server(a, m);
}

/* Behind a malformed mechanism, the same input has the same mechanisms. */
static void check_beside(const struct imsipsec_secagree *a, const uint8_t *data, size_t size)
{
	static const char bad[] = "ipsec-3gpp;spi-c=1,";
	struct imsipsec_secagree *beside = NULL;
	const struct imsipsec_mech *m, *n;
	char *text = malloc(sizeof(bad) - 1 + size);
	size_t i;
	int err;

	check(text, "memory");
	memcpy(text, bad, sizeof(bad) - 1);
	memcpy(text + sizeof(bad) - 1, data, size);
	err = imsipsec_secagree_parse(&beside, text, sizeof(bad) - 1 + size);
	/* The malformed ones may be too many now. */
	check(!err || err == -E2BIG, "beside a malformed one");
	if (!err) {
		for (i = 0; (m = imsipsec_secagree_get(a, i)); i++) {
			n = imsipsec_secagree_get(beside, i);
			check(n && n->alg == m->alg && n->ealg == m->ealg && n->mode == m->mode &&
			      n->spi_c == m->spi_c && n->port_s == m->port_s, "the same mechanisms");
		}
		check(!imsipsec_secagree_get(beside, i), "as many mechanisms");
		check(!imsipsec_secagree_equal(a, beside) && !imsipsec_secagree_equal(beside, a),
		      "E5: the malformed one is compared");
	}
	imsipsec_secagree_free(beside);
	free(text);
}

/* The static list for a random choice of pairs and modes */
static void check_static(const uint8_t *data, size_t size)
{
	struct imsipsec_secagree *list = NULL;
	struct imsipsec_pair algs[9];
	enum imsipsec_mode modes[2];
	size_t i, n = size < 9 ? size : 9, n_modes = size % 3;
	char buf[2048];
	int len;

	for (i = 0; i < n; i++)
		algs[i] = (struct imsipsec_pair){ data[i] % 6, data[i] / 6 % 6 };
	for (i = 0; i < n_modes; i++)
		modes[i] = data[i] % 4;
	len = imsipsec_secagree_write_static(buf, sizeof(buf), algs, n, modes, n_modes);
	check(len == -EINVAL || len == (int)strlen(buf), "write the static list");
	if (len < 0)
		return;
	check(!strstr(buf, "spi") && !strstr(buf, "port"), "no SPIs in the static list");
	check(imsipsec_secagree_parse(&list, buf, len) == -EINVAL && !imsipsec_secagree_count(list),
	      "nothing to be chosen in the static list");
	imsipsec_secagree_free(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum imsipsec_mode modes[] = {
		IMSIPSEC_MODE_TRANS, IMSIPSEC_MODE_UDP_ENC_TUN
	};
	struct imsipsec_secagree *a = NULL, *b = NULL;
	size_t i, n;
	int err;

	check_algs(data, size);
	check_via(data, size);
	check_static(data, size);
	err = imsipsec_secagree_parse(&a, (const char *)data, size);
	check(err == 0 || err == -EINVAL || err == -E2BIG, "errno");
	if (err) {
		check(!imsipsec_secagree_count(a), "nothing of what is refused");
		imsipsec_secagree_free(a);
		return 0;
	}

	n = imsipsec_secagree_count(a);
	for (i = 0; i < n; i++)
		check_mech(imsipsec_secagree_get(a, i));
	check(n <= 64 && !imsipsec_secagree_get(a, n), "count");
	check_choose(a, modes, 1);
	check_choose(a, modes + 1, 1);
	check_choose(a, modes, 2);
	if (n)
		check_beside(a, data, size);

	check(!imsipsec_secagree_parse(&b, (const char *)data, size), "parse again");
	check(imsipsec_secagree_equal(a, b) == (n > 0), "equal to itself");
	imsipsec_secagree_free(a);
	imsipsec_secagree_free(b);
	return 0;
}

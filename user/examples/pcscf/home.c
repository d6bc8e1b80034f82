// SPDX-License-Identifier: LGPL-2.1-or-later
/* What stands in for the home network. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <nettle/base64.h>
#include <nettle/md5.h>
#include <nettle/memops.h>

#include "home.h"
#include "sip.h"

#define TURNS_MAX	1000	/* vectors of an IMPI that are looked at */

/* A file of passing interest to anyone who can read our memory: wiped after use */
struct keys_file {
	FILE *stream;
	char buf[4096];
	char line[512];
};

static int unhex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The next word of *@line, in hex. Return: how many bytes, negative if wrong */
static int hex_word(char **line, uint8_t *buf, size_t min, size_t max)
{
	char *word = strtok_r(NULL, " \t\r\n", line);
	size_t len = word ? strlen(word) : 0;

	if (len % 2 || len / 2 < min || len / 2 > max)
		return -EINVAL;
	for (size_t i = 0; i < len / 2; i++) {
		int high = unhex(word[2 * i]), low = unhex(word[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		buf[i] = (uint8_t)(high << 4 | low);
	}
	return (int)(len / 2);
}

static int parse_vector(char *rest, struct home_vector *vector)
{
	uint8_t challenge[32];		/* RAND || AUTN */
	int len;

	if (hex_word(&rest, challenge, 16, 16) < 0 || hex_word(&rest, challenge + 16, 16, 16) < 0)
		return -EINVAL;
	base64_encode_raw(vector->nonce, sizeof(challenge), challenge);
	vector->nonce[BASE64_ENCODE_RAW_LENGTH(sizeof(challenge))] = '\0';
	len = hex_word(&rest, vector->xres, 4, sizeof(vector->xres));
	if (len < 0)
		return -EINVAL;
	vector->xres_len = (size_t)len;
	if (hex_word(&rest, vector->ck, 16, 16) < 0 || hex_word(&rest, vector->ik, 16, 16) < 0)
		return -EINVAL;
	return 0;
}

int home_vector(const char *file, const char *impi, unsigned int turn, struct home_vector *vector)
{
	struct keys_file f = { .stream = fopen(file, "re") };
	unsigned int n = 0, seen = 0;
	char *word, *rest;
	int err = -ENOENT;

	if (!f.stream)
		return -errno;
	setvbuf(f.stream, f.buf, _IOFBF, sizeof(f.buf));
	/* Once to count the lines of this IMPI, once to take one of them */
	for (int pass = 0; pass < 2 && err == -ENOENT; pass++) {
		rewind(f.stream);
		while (fgets(f.line, sizeof(f.line), f.stream)) {
			word = strtok_r(f.line, " \t\r\n", &rest);
			if (!word || strcmp(word, impi))
				continue;
			if (pass == 0) {
				n++;
			} else if (seen++ == turn % n) {
				err = parse_vector(rest, vector);
				break;
			}
		}
	}
	fclose(f.stream);
	explicit_bzero(&f, sizeof(f));
	return err;
}

int home_vector_of(const char *file, const char *impi, const char *authorization,
		   struct home_vector *vector)
{
	char nonce[HOME_NONCE_MAX], first[HOME_NONCE_MAX] = "";
	unsigned int turn;
	int err;

	if (!authorization || !sip_digest_param(authorization, "nonce", nonce, sizeof(nonce)))
		return -ENOENT;
	/* Those of an IMPI come round again. */
	for (turn = 0; turn < TURNS_MAX; turn++) {
		err = home_vector(file, impi, turn, vector);
		if (err || !strcmp(vector->nonce, nonce))
			return err;
		if (!turn)
			strcpy(first, vector->nonce);
		else if (!strcmp(vector->nonce, first))
			break;
	}
	explicit_bzero(vector, sizeof(*vector));
	return -ENOENT;
}

/* MD5 of the parts, joined by ':', in hex */
struct part {
	const void *data;
	size_t len;
};

static void md5_hex(char *hex, const struct part *parts, size_t n)
{
	uint8_t digest[MD5_DIGEST_SIZE];
	struct md5_ctx ctx;

	md5_init(&ctx);
	for (size_t i = 0; i < n; i++) {
		if (i)
			md5_update(&ctx, 1, (const uint8_t *)":");
		md5_update(&ctx, parts[i].len, parts[i].data);
	}
	md5_digest(&ctx, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		sprintf(hex + 2 * i, "%02x", digest[i]);
}

#define MD5_HEX			(2 * MD5_DIGEST_SIZE + 1)
#define TEXT(s)			{ (s), strlen(s) }

bool home_check(const struct home_vector *vector, const char *impi, const char *realm,
		const char *method, const char *authorization)
{
	char username[160], uri[256], nonce[HOME_NONCE_MAX], response[MD5_HEX];
	char qop[16], cnonce[128], nc[16];
	char ha1[MD5_HEX], ha2[MD5_HEX], expected[MD5_HEX];

	if (!authorization ||
	    !sip_digest_param(authorization, "username", username, sizeof(username)) ||
	    !sip_digest_param(authorization, "uri", uri, sizeof(uri)) ||
	    !sip_digest_param(authorization, "nonce", nonce, sizeof(nonce)) ||
	    !sip_digest_param(authorization, "response", response, sizeof(response)) ||
	    strlen(response) != MD5_HEX - 1 ||
	    strcmp(username, impi) || strcmp(nonce, vector->nonce))
		return false;

	/* RFC 3310: RES, as it is and not in hex, is the password. */
	md5_hex(ha1, (struct part[]) {
		TEXT(username), TEXT(realm), { vector->xres, vector->xres_len } }, 3);
	md5_hex(ha2, (struct part[]) { TEXT(method), TEXT(uri) }, 2);
	if (!sip_digest_param(authorization, "qop", qop, sizeof(qop))) {
		md5_hex(expected, (struct part[]) { TEXT(ha1), TEXT(nonce), TEXT(ha2) }, 3);
	} else if (!strcmp(qop, "auth") &&
		   sip_digest_param(authorization, "cnonce", cnonce, sizeof(cnonce)) &&
		   sip_digest_param(authorization, "nc", nc, sizeof(nc))) {
		md5_hex(expected, (struct part[]) {
			TEXT(ha1), TEXT(nonce), TEXT(nc), TEXT(cnonce), TEXT(qop), TEXT(ha2) }, 6);
	} else {
		return false;
	}
	return memeql_sec(expected, response, MD5_HEX - 1);
}

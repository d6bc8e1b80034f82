// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What Record-Route says to a phone: the port that its requests are to come to, and whose the
 * dialog is.
 *
 * Nothing is kept of dialogs. With check_identity 2 the URIs of Record-Route have a parameter that
 * nobody else can make for a subscriber and a Call-ID; what the phone sends within the dialog
 * brings it back in Route.
 */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "core/crypto/sha256.h"
#include "core/data_lump.h"
#include "core/dprint.h"
#include "core/lump_struct.h"
#include "core/mem/mem.h"
#include "core/parser/parse_to.h"
#include "modules/rr/api.h"

#include "ims_ipsec.h"

#define PARAM ";ims-dialog="
#define DIGITS 32
#define PARAM_LEN (sizeof(PARAM) - 1 + DIGITS)

static rr_api_t rr;
static uint8_t key[SHA256_DIGEST_LENGTH];

/* The machine's, so that dialogs live on when Kamailio is started again */
static bool make_key(void)
{
	char id[64];
	SHA256_CTX ctx;
	size_t len = 0;
	FILE *f = fopen("/etc/machine-id", "r");

	if (f) {
		len = fread(id, 1, sizeof(id), f);
		fclose(f);
	}
	if (len < DIGITS) {
		LM_NOTICE("check_identity 2: there is no /etc/machine-id: what phones send within "
			  "dialogs from before a restart will be refused\n");
		len = sizeof(id);
		if (getrandom(id, len, 0) != (ssize_t)len)
			return false;
	}
	sr_SHA256_Init(&ctx);
	sr_SHA256_Update(&ctx, (const uint8_t *)PARAM, sizeof(PARAM));
	sr_SHA256_Update(&ctx, (const uint8_t *)id, len);
	sr_SHA256_Final(key, &ctx);
	return true;
}

int dialog_init(void)
{
	if (settings.check_identity < 2)
		return 0;
	if (!find_export("load_rr", 0, 0) || rr_load_api(&rr)) {
		LM_ERR("check_identity 2: rr is to be loaded before\n");
		return -1;
	}
	if (!make_key()) {
		LM_ERR("check_identity 2: no random numbers\n");
		return -1;
	}
	return 0;
}

/* The parameter of a dialog with a subscriber; false: the message has no Call-ID */
static bool param_of(struct sip_msg *msg, const struct imsipsec_bundle *b, char *text)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	uint8_t owner_len = b->owner_len;
	SHA256_CTX ctx;

	if (parse_headers(msg, HDR_CALLID_F, 0) < 0 || !msg->callid)
		return false;
	sr_SHA256_Init(&ctx);
	sr_SHA256_Update(&ctx, key, sizeof(key));
	sr_SHA256_Update(&ctx, &owner_len, 1);
	sr_SHA256_Update(&ctx, b->owner, owner_len);
	sr_SHA256_Update(&ctx, (uint8_t *)msg->callid->body.s, msg->callid->body.len);
	sr_SHA256_Update(&ctx, key, sizeof(key));
	sr_SHA256_Final(digest, &ctx);
	text += sprintf(text, PARAM);
	for (int i = 0; i < DIGITS / 2; i++)
		text += sprintf(text, "%02x", digest[i]);
	return true;
}

void dialog_begins(struct sip_msg *msg, const struct imsipsec_bundle *b)
{
	char text[PARAM_LEN + 1];
	str param = { text, PARAM_LEN };

	if (settings.check_identity < 2 ||
	    !(msg->first_line.u.request.method_value &
	      (METHOD_INVITE | METHOD_SUBSCRIBE | METHOD_REFER)) ||
	    !param_of(msg, b, text))
		return;
	rr.add_rr_param(msg, &param);
}

bool dialog_holds(struct sip_msg *msg, const struct imsipsec_bundle *over)
{
	struct hdr_field *h = NULL;
	char text[PARAM_LEN + 1];

	if (settings.check_identity < 2)
		return true;
	if (!param_of(msg, over, text))
		return false;
	while ((h = next_header(msg, "Route", h))) {
		if (memmem(h->body.s, h->body.len, text, PARAM_LEN))
			return true;
	}
	return false;
}

/*
 * Kamailio writes into the first Record-Route what it sends from, which is port_pc. To that port
 * the phone has no SA from its client port, and requests are to come to port_ps (TS 24.229 clause
 * 5.2.6.4).
 *
 * In a failure route and in a branch route what is there is a copy, of which Kamailio frees none of
 * the texts. It frees those of new ones: the text comes behind what it takes the place of.
 */
void dialog_to_server_port(struct sip_msg *msg, const struct imsipsec_bundle *b, int proto)
{
	struct lump *anchor, *l;
	char text[128];
	int len;

	/* Without "sip:", as it stands in the header already */
	len = uri_host_port(text, sizeof(text), &b->address, b->port_ps,
			    proto == PROTO_TCP ? ";transport=tcp" : "") -
	      4;
	for (anchor = msg->add_rm; anchor; anchor = anchor->next) {
		if (anchor->type != HDR_RECORDROUTE_T)
			continue;
		for (l = anchor->after; l; l = l->after) {
			char *s;

			if (l->op != LUMP_ADD_SUBST ||
			    (l->u.subst != SUBST_SND_ALL && l->u.subst != SUBST_SND_ALL_EX))
				continue;
			s = pkg_malloc(len);
			if (!s) {
				LM_ERR("no memory\n");
				return;
			}
			memcpy(s, text + 4, len);
			if (!insert_new_lump_after(l, s, len, HDR_RECORDROUTE_T)) {
				pkg_free(s);
				return;
			}
			/* It adds nothing any more. */
			l->op = LUMP_ADD;
			l->u.value = NULL;
			l->len = 0;
		}
	}
}

// SPDX-License-Identifier: GPL-2.0-or-later
/* What a set of SAs is made of, and how. */
#include <errno.h>

#include "sip.h"

void locate_phone(const struct sip_msg *req, const struct imsipsec_bundle *over, bool nat,
		  bool marks, struct imsipsec_bundle_params *p)
{
	struct hdr_field *h = next_header(req, "Via", NULL);
	struct imsipsec_addr source, sent_by;
	char text[INET6_ADDRSTRLEN];
	bool natted;

	to_addr(&source, &req->rcv.src_ip);
	p->ue_address = source;
	p->mode = IMSIPSEC_MODE_TRANS;
	if (over) {
		p->mode = over->mode;
		p->ue_address = over->ue_address;
		p->ue_nat_address = over->ue_nat_address;
		p->unmarked = over->unmarked;
		return;
	}
	if (!h)
		h = next_header(req, "v", NULL);
	if (!h || imsipsec_via_is_natted(h->body.s, h->body.len, &source, &natted) || !natted)
		return;
	imsipsec_addr_format(&source, text, sizeof(text));
	if (!nat) {
		LIMITED(LM_WARN,
			"%s: there is a NAT between the phone and here, for its Via says another "
			"address: ESP will not come through. For phones that have mod=UDP-enc-tun: "
			SERVER_NAT "\n",
			text);
		return;
	}
	p->mode = IMSIPSEC_MODE_UDP_ENC_TUN;
	p->ue_nat_address = source;
	p->unmarked = !marks;
	if (!imsipsec_via_sent_by(h->body.s, h->body.len, &sent_by, NULL) &&
	    sent_by.family == source.family)
		p->ue_address = sent_by;
}

void say_refused(const struct imsipsec_bundle_params *p, int err)
{
	char text[INET6_ADDRSTRLEN];

	LIMITED(LM_ERR, "no set of SAs for %.*s at %s\n", (int)p->owner_len, (const char *)p->owner,
		imsipsec_addr_format(&p->ue_address, text, sizeof(text)));
	kernel_failed("ipsec_create", err);
}

int bundle_new(struct imsipsec_bundle_params *p, const uint32_t *endpoint,
	       const struct imsipsec_bundle **made)
{
	bool tried = false;
	int err;

	do {
		if (!kernel())
			return -EIO;
		p->endpoint = *endpoint;
		err = imsipsec_bundle_new(kernel(), p, made);
	} while (kernel_again(err, &tried));
	if (err != -ENOENT || kernel_prepare())
		return err;
	p->endpoint = *endpoint;
	return imsipsec_bundle_new(kernel(), p, made);
}

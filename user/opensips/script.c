// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Each message before the script: the P-CSCF goes by the SA that it came over, whatever identity it
 * names (TS 24.229 clause 5.2).
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "context.h"
#include "dprint.h"
#include "parser/parse_to.h"
#include "script_cb.h"

#include "proto_ims_ipsec.h"

/* What is known of the message that this process handles */
static struct {
	const struct sip_msg *msg;
	unsigned int id;
	bool has, made;
	struct imsipsec_bundle b;
} current;

static bool is_current(const struct sip_msg *msg)
{
	return current.msg == msg && current.id == msg->id;
}

int script_over(struct sip_msg *msg, struct imsipsec_bundle *b)
{
	if (is_current(msg) && (current.has || current.made)) {
		*b = current.b;
		return 0;
	}
	return kernel_over(&msg->rcv, b);
}

void script_made(struct sip_msg *msg, const struct imsipsec_bundle *b)
{
	current.msg = msg;
	current.id = msg->id;
	current.has = false;
	current.made = true;
	current.b = *b;
}

static bool same_list(struct sip_msg *msg, const char *name, const char *text)
{
	struct imsipsec_secagree *said = secagree_of(msg, name), *was = NULL;
	bool same = !imsipsec_secagree_parse(&was, text, strlen(text)) &&
		    imsipsec_secagree_equal(said, was);

	imsipsec_secagree_free(said);
	imsipsec_secagree_free(was);
	return same;
}

/* After a restart the headers of the first REGISTER are not known: what the set is has to be said.
 */
static bool names_set(struct sip_msg *msg, const struct imsipsec_bundle *b)
{
	struct imsipsec_secagree *client = secagree_of(msg, "Security-Client");
	const struct imsipsec_mech *mech;
	char server[2048];
	bool named = false;

	for (size_t i = 0; !named && (mech = imsipsec_secagree_get(client, i)); i++)
		named = mech->alg == b->alg && mech->ealg == b->ealg && mech->spi_c == b->spi_uc &&
			mech->spi_s == b->spi_us && mech->port_c == b->port_uc &&
			mech->port_s == b->port_us;
	imsipsec_secagree_free(client);
	return named && imsipsec_secagree_write_server(server, sizeof(server), b, NULL, 0) > 0 &&
	       (settings.whole_list || same_list(msg, "Security-Verify", server));
}

/* TS 33.203 clause 7.2: against bidding down. The answer to the challenge has to repeat both. */
static bool agrees(struct sip_msg *msg, const struct imsipsec_bundle *b)
{
	struct record record;

	if (!record_get(b->id, &record) || !*record.server)
		return names_set(msg, b);
	return same_list(msg, "Security-Verify", record.server) &&
	       same_list(msg, "Security-Client", record.client);
}

static void cut_protected(struct sip_msg *msg, const struct hdr_field *h)
{
	struct span value = header_text(h), found, whole;

	while (text_param(value, "integrity-protected", &found, &whole)) {
		cut_text(msg, whole);
		value.len -= whole.s + whole.len - value.s;
		value.s = whole.s + whole.len;
	}
}

/* integrity-protected, as TS 24.229 clause 5.2.2 has it; one that the phone has written goes. */
static void say_protected(struct sip_msg *msg, const struct imsipsec_bundle *b)
{
	struct hdr_field *h = NULL;
	struct span found;
	bool response, yes;

	while ((h = next_header(msg, "Authorization", h))) {
		cut_protected(msg, h);
		response = text_param(header_text(h), "response", &found, NULL) && found.len;
		/*
		 * Over the new set with an answer to the challenge, or over one that is confirmed:
		 * there are phones that repeat the last answer.
		 */
		yes = response || b->state != IMSIPSEC_STATE_TEMPORARY;
		add_text(msg, h->body.s + h->body.len,
			 yes ? ",integrity-protected=yes" : ",integrity-protected=no");
	}
}

static bool is_owner(const struct imsipsec_bundle *b, const char *s, size_t len)
{
	return len == b->owner_len && !memcmp(s, b->owner, len);
}

/* Each username that a header has: which one the S-CSCF reads is not known here. */
static bool names_owner(const struct hdr_field *h, const struct imsipsec_bundle *b)
{
	struct span value = header_text(h), name, whole;
	bool named = false;

	while (text_param(value, "username", &name, &whole)) {
		if (!is_owner(b, name.s, name.len))
			return false;
		named = true;
		value.len -= whole.s + whole.len - value.s;
		value.s = whole.s + whole.len;
	}
	return named;
}

static bool is_owners(struct sip_msg *msg, const struct imsipsec_bundle *b)
{
	struct hdr_field *h = NULL;
	str public;

	/* The first REGISTER had no Authorization: it was known by To. */
	if (b->owner_len > 4 && !strncasecmp((const char *)b->owner, "sip:", 4)) {
		public = public_of(msg);
		return is_owner(b, public.s, public.len);
	}
	while ((h = next_header(msg, "Authorization", h))) {
		if (!names_owner(h, b))
			return false;
	}
	return true;
}

static int handle_register(struct sip_msg *msg, const struct imsipsec_bundle *b)
{
	if (!is_owners(msg, b)) {
		LIMITED(LM_WARN, "REGISTER of another subscriber over a set of %.*s: dropped\n",
			(int)b->owner_len, (const char *)b->owner);
		return SCB_DROP_MSG;
	}
	if (b->state == IMSIPSEC_STATE_TEMPORARY && !agrees(msg, b)) {
		LIMITED(LM_WARN,
			"%.*s: Security-Verify is not the Security-Server that was sent, or "
			"Security-Client is not that of the first REGISTER: dropped\n",
			(int)b->owner_len, (const char *)b->owner);
		return SCB_DROP_MSG;
	}
	cut_headers(msg, "Security-Client");
	cut_headers(msg, "Security-Verify");
	say_protected(msg, b);
	return SCB_RUN_ALL;
}

/*
 * A dialog whose two sides were of one socket is recorded with one Record-Route: both sides are
 * phones. Of two, loose_route() takes the other one's socket.
 */
static bool is_between_phones(struct sip_msg *msg)
{
	return msg->to && (msg->to->parsed || !parse_to_header(msg)) && get_to(msg)->tag_value.len;
}

/* What comes in clear to where phones come is not protected, whatever it says. */
static int handle_clear(struct sip_msg *msg)
{
	struct hdr_field *h = NULL;

	if (msg->first_line.type != SIP_REQUEST || msg->REQ_METHOD != METHOD_REGISTER ||
	    !gm_of(&msg->rcv.dst_ip))
		return SCB_RUN_ALL;
	if (parse_headers(msg, HDR_EOH_F, 0) < 0)
		return SCB_DROP_MSG;
	while ((h = next_header(msg, "Authorization", h)))
		cut_protected(msg, h);
	return SCB_RUN_ALL;
}

static int handle(struct sip_msg *msg)
{
	struct imsipsec_bundle *b = &current.b;
	int err;

	if (!is_hidden(msg->rcv.bind_address))
		return handle_clear(msg);
	err = kernel_over(&msg->rcv, b);
	if (err) {
		if (err == -ENOENT && settings.bypass)
			return handle_clear(msg);
		LIMITED(LM_WARN, "from %s port %u to port %u, over no set: dropped\n",
			ip_addr2a(&msg->rcv.src_ip), msg->rcv.src_port, msg->rcv.dst_port);
		return SCB_DROP_MSG;
	}
	current.has = true;
	if (parse_headers(msg, HDR_EOH_F, 0) < 0)
		return SCB_DROP_MSG;
	if (msg->first_line.type != SIP_REQUEST)
		return SCB_RUN_ALL;
	/*
	 * Towards the core by a socket that is not protected, which Via and Record-Route name. OpenSIPS
	 * takes the one that a datagram came to; what came over TCP leaves by the first of its protocol.
	 */
	if (msg->rcv.proto == PROTO_UDP && !is_between_phones(msg))
		msg->force_send_socket = open_socket(msg->rcv.bind_address);
	if (msg->REQ_METHOD == METHOD_REGISTER)
		return handle_register(msg, b);
	if (b->state == IMSIPSEC_STATE_TEMPORARY) {
		LIMITED(LM_WARN, "%.*s: %.*s before the registration: dropped\n",
			(int)b->owner_len, (const char *)b->owner,
			msg->first_line.u.request.method.len, msg->first_line.u.request.method.s);
		return SCB_DROP_MSG;
	}
	return SCB_RUN_ALL;
}

static int before(struct sip_msg *msg, void *param)
{
	int result;

	memset(&current, 0, sizeof(current));
	if (!msg || msg == FAKED_REPLY)
		return SCB_RUN_ALL;
	current.msg = msg;
	current.id = msg->id;
	result = handle(msg);
	if (result == SCB_DROP_MSG)
		current.msg = NULL;
	return result;
}

static int after(struct sip_msg *msg, void *param)
{
	current.msg = NULL;
	return SCB_RUN_ALL;
}

const struct sip_msg *script_register(void)
{
	/* after() is not called where the script stopped, or waits: then the message has gone. */
	const struct sip_msg *msg = current_processing_ctx ? current.msg : NULL;

	return msg && msg->first_line.type == SIP_REQUEST && msg->REQ_METHOD == METHOD_REGISTER
		? msg : NULL;
}

bool script_in_clear(void)
{
	return current_processing_ctx && current.msg && !current.has &&
	       current.msg->first_line.type == SIP_REQUEST;
}

int script_init(void)
{
	if (!register_script_cb(before, REQ_TYPE_CB | RPL_TYPE_CB | PRE_SCRIPT_CB, NULL) &&
	    !register_script_cb(after, REQ_TYPE_CB | RPL_TYPE_CB | POST_SCRIPT_CB, NULL))
		return 0;
	LM_ERR("no memory\n");
	return -1;
}

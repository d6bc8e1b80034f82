// SPDX-License-Identifier: GPL-2.0-or-later
/* ims_ipsec:list and ims_ipsec:trace, for opensips-cli. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

#include "dprint.h"
#include "mi/mi.h"

#include "proto_ims_ipsec.h"

/* From 4.0 on the module's name is put in front of it. */
#ifdef MI_EXPORT_ALIASES
#define MI_NAME(name) name
#else
#define MI_NAME(name) "ims_ipsec:" name
#endif

#define NUMBER(item, name, value) add_mi_number(item, MI_SSTR(name), value)

static int add_text_item(mi_item_t *item, const char *name, const char *text)
{
	return add_mi_string(item, (char *)name, strlen(name), (char *)text, strlen(text));
}

static int add_addr(mi_item_t *item, const char *name, const struct imsipsec_addr *addr)
{
	char text[INET6_ADDRSTRLEN];

	return add_text_item(item, name, imsipsec_addr_format(addr, text, sizeof(text)));
}

/* An answer is built in memory of the process, and a datagram has to hold it. */
#define PAGE_SETS	50

/**
 * struct page - a part of the sets
 * @sets: gets them
 * @owner: whose they are to be, NULL: anybody's
 * @from: the first number
 * @n: how many there are of the part
 * @more: some are left out
 */
struct page {
	mi_item_t *sets;
	str owner;
	uint32_t from;
	unsigned int n;
	bool more;
};

static bool is_in(const struct page *page, const struct imsipsec_bundle *b)
{
	return b->id >= page->from &&
	       (!page->owner.s || (b->owner_len == (size_t)page->owner.len &&
				   !memcmp(b->owner, page->owner.s, b->owner_len)));
}

static int add_set(const struct imsipsec_bundle *b, void *data)
{
	struct page *page = data;
	mi_item_t *set;

	if (!is_in(page, b))
		return 0;
	page->more = page->n++ == PAGE_SETS;
	if (page->more)
		return 1;
	set = add_mi_object(page->sets, NULL, 0);
	if (!set || NUMBER(set, "id", b->id) ||
	    add_mi_string(set, MI_SSTR("owner"), (char *)b->owner, b->owner_len) ||
	    add_mi_string(set, MI_SSTR("contact"), (char *)b->contact, b->contact_len) ||
	    add_text_item(set, "state", imsipsec_state_name(b->state)) ||
	    add_text_item(set, "mode", imsipsec_mode_name(b->mode)) ||
	    add_text_item(set, "alg", imsipsec_alg_name(b->alg)) ||
	    add_text_item(set, "ealg", imsipsec_ealg_name(b->ealg)) ||
	    add_addr(set, "address", &b->address) || add_addr(set, "ue", &b->ue_address) ||
	    NUMBER(set, "port-uc", b->port_uc) || NUMBER(set, "port-us", b->port_us) ||
	    NUMBER(set, "port-pc", b->port_pc) || NUMBER(set, "port-ps", b->port_ps) ||
	    NUMBER(set, "spi-uc", b->spi_uc) || NUMBER(set, "spi-us", b->spi_us) ||
	    NUMBER(set, "spi-pc", b->spi_pc) || NUMBER(set, "spi-ps", b->spi_ps) ||
	    NUMBER(set, "lifetime", b->lifetime / 1000) ||
	    NUMBER(set, "rx-packets", b->rx_packets) || NUMBER(set, "tx-packets", b->tx_packets))
		return -ENOMEM;
	if (b->mode == IMSIPSEC_MODE_UDP_ENC_TUN &&
	    (add_addr(set, "nat", &b->ue_nat_address) || NUMBER(set, "nat-port", b->ue_nat_port)))
		return -ENOMEM;
	return 0;
}

static mi_response_t *not_reached(void)
{
	return init_mi_error(500, MI_SSTR("the kernel module ims_ipsec has not answered as it "
					  "should: the log says more"));
}

/* Whoever does not say where to begin is not given a part of the sets for all of them. */
static mi_response_t *too_many(mi_response_t *response)
{
	free_mi_response(response);
	return init_mi_error(413, MI_SSTR("there are more than 50 sets: ask for those of an owner, or "
					  "give from, 0 at first and then one more than the last id; "
					  "imsipsec bundle show has all"));
}

static mi_response_t *list(const struct imsipsec_bundle_filter *filter, str owner, bool paged,
			   uint32_t from)
{
	mi_response_t *response;
	int err;

	/* What a dump that broke off has given is not repeated. */
	for (int tries = 0; tries < 3; tries++) {
		struct page page = { .owner = owner, .from = from };

		response = init_mi_result_array(&page.sets);
		if (!response || !kernel())
			break;
		err = imsipsec_bundle_dump(kernel(), filter, add_set, &page);
		if (err >= 0)
			return page.more && !paged ? too_many(response) : response;
		free_mi_response(response);
		response = NULL;
		kernel_failed("ims_ipsec:list", err);
		if (err != -ENODEV && err != -ESTALE)
			break;
	}
	if (response)
		free_mi_response(response);
	return not_reached();
}

static mi_response_t *list_all(const mi_params_t *params, struct mi_handler *async)
{
	return list(NULL, (str) { NULL, 0 }, false, 0);
}

static mi_response_t *list_owner(const mi_params_t *params, struct mi_handler *async)
{
	struct imsipsec_bundle_filter filter = { 0 };
	str owner;

	if (get_mi_string_param(params, "owner", &owner.s, &owner.len) < 0)
		return init_mi_param_error();
	filter.owner = owner.s;
	filter.owner_len = owner.len;
	return list(&filter, owner, false, 0);
}

/* Those of all, which come by their numbers, are gone through: those of an owner do not. */
static mi_response_t *list_page(const mi_params_t *params, struct mi_handler *async)
{
	str owner;
	int from;

	if (get_mi_string_param(params, "owner", &owner.s, &owner.len) < 0 ||
	    get_mi_int_param(params, "from", &from) < 0)
		return init_mi_param_error();
	if (from < 0)
		return init_mi_error(400, MI_SSTR("from is the number of a set"));
	if (!owner.len)
		owner.s = NULL;
	return list(NULL, owner, true, from);
}

static int add_refusal(mi_item_t *item, const struct imsipsec_trace *trace)
{
	if (add_mi_string(item, MI_SSTR("owner"), (char *)trace->owner, trace->owner_len) ||
	    add_mi_string(item, MI_SSTR("contact"), (char *)trace->contact, trace->contact_len) ||
	    NUMBER(item, "port-uc", trace->port_uc) || NUMBER(item, "port-us", trace->port_us) ||
	    NUMBER(item, "error", trace->error) || add_text_item(item, "text", trace->text))
		return -ENOMEM;
	return trace->ue_address.family && add_addr(item, "ue", &trace->ue_address) ? -ENOMEM : 0;
}

static int add_drop(mi_item_t *item, const struct imsipsec_trace *trace)
{
	if (add_text_item(item, "drop", imsipsec_drop_name(trace->drop) ?: "?") ||
	    add_addr(item, "source", &trace->source) ||
	    NUMBER(item, "source-port", trace->source_port) ||
	    add_addr(item, "destination", &trace->destination) ||
	    NUMBER(item, "destination-port", trace->destination_port) ||
	    NUMBER(item, "protocol", trace->protocol) || NUMBER(item, "spi", trace->spi))
		return -ENOMEM;
	return 0;
}

static int add_trace(const struct imsipsec_trace *trace, void *data)
{
	mi_item_t *item = add_mi_object(data, NULL, 0);

	if (!item || add_text_item(item, "kind", imsipsec_trace_kind_name(trace->kind) ?: "?") ||
	    NUMBER(item, "ago", trace->ago_ms / 1000) || NUMBER(item, "count", trace->count))
		return -ENOMEM;
	return trace->kind == IMSIPSEC_TRACE_KIND_REFUSAL ? add_refusal(item, trace)
							  : add_drop(item, trace);
}

static mi_response_t *trace_of(const struct imsipsec_addr *ue)
{
	mi_response_t *response;
	mi_item_t *all;
	int err;

	for (int tries = 0; tries < 2 && kernel(); tries++) {
		response = init_mi_result_array(&all);
		if (!response)
			break;
		err = imsipsec_trace_dump(kernel(), ue, add_trace, all);
		if (!err)
			return response;
		free_mi_response(response);
		if (kernel_failed("ims_ipsec:trace", err) != -ENODEV)
			break;
	}
	return not_reached();
}

static mi_response_t *trace_all(const mi_params_t *params, struct mi_handler *async)
{
	return trace_of(NULL);
}

static mi_response_t *trace_ue(const mi_params_t *params, struct mi_handler *async)
{
	char text[INET6_ADDRSTRLEN + 2], *s;
	struct imsipsec_addr ue;
	int len;

	if (get_mi_string_param(params, "ue", &s, &len) < 0)
		return init_mi_param_error();
	if (len < 0 || len >= (int)sizeof(text))
		return init_mi_error(400, MI_SSTR("ue is an address"));
	memcpy(text, s, len);
	text[len] = '\0';
	if (imsipsec_addr_parse(&ue, text))
		return init_mi_error(400, MI_SSTR("ue is an address"));
	return trace_of(&ue);
}

const mi_export_t mi_commands[] = {
	{ MI_NAME("list"),
	  "Sets of SAs: all, or those of a subscriber (owner, the private identity). 50 at "
	  "most: of more, those that begin with the number from; then owner may be \"\", for all",
	  0, NULL,
	  { { list_all, { 0 } },
	    { list_owner, { "owner", 0 } },
	    { list_page, { "owner", "from", 0 } },
	    { EMPTY_MI_RECIPE } } },
	{ MI_NAME("trace"),
	  "What was refused and dropped of late: all, or what is of a phone (ue, its address)",
	  0, NULL,
	  { { trace_all, { 0 } }, { trace_ue, { "ue", 0 } }, { EMPTY_MI_RECIPE } } },
	{ EMPTY_MI_EXPORT }
};

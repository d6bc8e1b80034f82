// SPDX-License-Identifier: GPL-2.0-or-later
/* $ipsec(…) and $ipsec_ue(…): the set that a message came over, for the script. */
#include <string.h>

#include "dprint.h"
#include "mem/mem.h"
#include "pvar.h"
#include "ut.h"

#include "proto_ims_ipsec.h"

enum field {
	ALG,
	EALG,
	MODE,
	IP,
	SPI_C,
	SPI_S,
	PORT_C,
	PORT_S,
	IK,
	CK,
	/* proto_ipsec has not got these: whose set it is, and where it stands */
	ID,
	STATE,
	OWNER,
	CONTACT,
};

static const char *const names[] = {
	[ALG] = "alg",
	[EALG] = "ealg",
	[MODE] = "mode",
	[IP] = "ip",
	[SPI_C] = "spi-c",
	[SPI_S] = "spi-s",
	[PORT_C] = "port-c",
	[PORT_S] = "port-s",
	[IK] = "ik",
	[CK] = "ck",
	[ID] = "id",
	[STATE] = "state",
	[OWNER] = "owner",
	[CONTACT] = "contact",
};

static int field_of(const str *text)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strlen(names[i]) == (size_t)text->len && !memcmp(names[i], text->s, text->len))
			return i;
	}
	return -1;
}

int var_parse(pv_spec_p spec, const str *text)
{
	pv_elem_t *format;

	if (pv_parse_format(text, &format)) {
		LM_ERR("$ipsec(%.*s): it cannot be parsed\n", text->len, text->s);
		return -1;
	}
	/* A name that stands in a variable is known when it is read. */
	if (format->next || format->spec.type != PVT_NONE) {
		spec->pvp.pvn.type = PV_NAME_PVAR;
		spec->pvp.pvn.u.dname = format;
		return 0;
	}
	spec->pvp.pvn.type = PV_NAME_INTSTR;
	spec->pvp.pvn.u.isname.name.n = field_of(&format->text);
	if (spec->pvp.pvn.u.isname.name.n >= 0)
		return 0;
	LM_ERR("$ipsec(%.*s): there is no such thing\n", text->len, text->s);
	return -1;
}

static int give_bytes(pv_value_t *value, const void *bytes, size_t len)
{
	value->rs = (str) { (char *)bytes, len };
	value->flags = PV_VAL_STR;
	return 0;
}

static int give_text(pv_value_t *value, const char *text)
{
	return give_bytes(value, text, strlen(text));
}

static int give_number(pv_value_t *value, uint32_t number)
{
	value->ri = number;
	value->rs.s = int2str(number, &value->rs.len);
	value->flags = PV_VAL_STR | PV_VAL_INT | PV_TYPE_INT;
	return 0;
}

/* Its texts are read when this has returned. */
static int get_field(struct sip_msg *msg, pv_param_t *param, pv_value_t *value, enum field field,
		     bool ue)
{
	static char text[INET6_ADDRSTRLEN > KEY_TEXT ? INET6_ADDRSTRLEN : KEY_TEXT + 1];
	static struct imsipsec_bundle b;
	static struct record record;

	/* In clear, or over a set that has gone */
	if (script_over(msg, &b))
		return pv_get_null(msg, param, value);
	switch (field) {
	case ALG:
		return give_text(value, imsipsec_alg_name(b.alg));
	case EALG:
		return give_text(value, imsipsec_ealg_name(b.ealg));
	case MODE:
		return give_text(value, imsipsec_mode_name(b.mode));
	case STATE:
		return give_text(value, imsipsec_state_name(b.state));
	case IP:
		return give_text(value, imsipsec_addr_format(ue ? &b.ue_address : &b.address, text,
							     sizeof(text)));
	case SPI_C:
		return give_number(value, ue ? b.spi_uc : b.spi_pc);
	case SPI_S:
		return give_number(value, ue ? b.spi_us : b.spi_ps);
	case PORT_C:
		return give_number(value, ue ? b.port_uc : b.port_pc);
	case PORT_S:
		return give_number(value, ue ? b.port_us : b.port_ps);
	case ID:
		return give_number(value, b.id);
	case OWNER:
		return give_bytes(value, b.owner, b.owner_len);
	case CONTACT:
		return give_bytes(value, b.contact, b.contact_len);
	case IK:
	case CK:
		/* After a restart without a database nobody knows them. */
		if (!record_get(b.id, &record) || !*record.ik)
			break;
		memcpy(text, field == IK ? record.ik : record.ck, KEY_TEXT + 1);
		explicit_bzero(&record, sizeof(record));
		return give_text(value, text);
	}
	return pv_get_null(msg, param, value);
}

static int get(struct sip_msg *msg, pv_param_t *param, pv_value_t *value, bool ue)
{
	int field = param->pvn.u.isname.name.n;
	str name;

	if (param->pvn.type == PV_NAME_PVAR) {
		if (pv_printf_s(msg, param->pvn.u.dname, &name))
			return -1;
		field = field_of(&name);
		if (field < 0)
			return pv_get_null(msg, param, value);
	}
	return get_field(msg, param, value, field, ue);
}

int var_get(struct sip_msg *msg, pv_param_t *param, pv_value_t *value)
{
	return msg && value ? get(msg, param, value, false) : -1;
}

int var_get_ue(struct sip_msg *msg, pv_param_t *param, pv_value_t *value)
{
	return msg && value ? get(msg, param, value, true) : -1;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/* $ipsec(…): the set that a message came over, for the script. */
#include <string.h>

#include "core/dprint.h"
#include "core/pvar.h"

#include "ims_ipsec.h"

enum name {
	STATE,
	ID,
	OWNER,
	CONTACT,
	ALG,
	EALG,
	MODE,
	SPI_UC,
	SPI_US,
	SPI_PC,
	SPI_PS,
	PORT_UC,
	PORT_US,
	PORT_PC,
	PORT_PS
};

static const char *const names[] = {
	[STATE] = "state",     [ID] = "id",	      [OWNER] = "owner",     [CONTACT] = "contact",
	[ALG] = "alg",	       [EALG] = "ealg",	      [MODE] = "mode",	     [SPI_UC] = "spi-uc",
	[SPI_US] = "spi-us",   [SPI_PC] = "spi-pc",   [SPI_PS] = "spi-ps",   [PORT_UC] = "port-uc",
	[PORT_US] = "port-us", [PORT_PC] = "port-pc", [PORT_PS] = "port-ps",
};

static int get_text(struct sip_msg *msg, pv_param_t *param, pv_value_t *value, const char *text)
{
	str s = { (char *)text, text ? strlen(text) : 0 };

	return text ? pv_get_strval(msg, param, value, &s) : pv_get_null(msg, param, value);
}

int var_get(struct sip_msg *msg, pv_param_t *param, pv_value_t *value)
{
	/* Its texts are read when this has returned. */
	static struct imsipsec_bundle over;
	struct imsipsec_bundle *b = &over;
	str s;

	if (!msg || !param)
		return -1;
	/* In clear, or over a set that has gone */
	if (kernel_over(msg, b))
		return pv_get_null(msg, param, value);
	switch (param->pvn.u.isname.name.n) {
	case STATE:	return get_text(msg, param, value, imsipsec_state_name(b->state));
	case ID:	return pv_get_uintval(msg, param, value, b->id);
	case OWNER:
		s = (str) { (char *)b->owner, b->owner_len };
		return pv_get_strval(msg, param, value, &s);
	case CONTACT:
		s = (str) { (char *)b->contact, b->contact_len };
		return pv_get_strval(msg, param, value, &s);
	case ALG:	return get_text(msg, param, value, imsipsec_alg_name(b->alg));
	case EALG:	return get_text(msg, param, value, imsipsec_ealg_name(b->ealg));
	case MODE:	return get_text(msg, param, value, imsipsec_mode_name(b->mode));
	case SPI_UC:	return pv_get_uintval(msg, param, value, b->spi_uc);
	case SPI_US:	return pv_get_uintval(msg, param, value, b->spi_us);
	case SPI_PC:	return pv_get_uintval(msg, param, value, b->spi_pc);
	case SPI_PS:	return pv_get_uintval(msg, param, value, b->spi_ps);
	case PORT_UC:	return pv_get_uintval(msg, param, value, b->port_uc);
	case PORT_US:	return pv_get_uintval(msg, param, value, b->port_us);
	case PORT_PC:	return pv_get_uintval(msg, param, value, b->port_pc);
	case PORT_PS:	return pv_get_uintval(msg, param, value, b->port_ps);
	}
	return pv_get_null(msg, param, value);
}

int var_parse(pv_spec_t *spec, str *text)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strlen(names[i]) == (size_t)text->len &&
		    !strncmp(names[i], text->s, text->len)) {
			spec->pvp.pvn.type = PV_NAME_INTSTR;
			spec->pvp.pvn.u.isname.type = 0;
			spec->pvp.pvn.u.isname.name.n = i;
			return 0;
		}
	}
	LM_ERR("$ipsec(%.*s): there is no such thing\n", text->len, text->s);
	return -1;
}

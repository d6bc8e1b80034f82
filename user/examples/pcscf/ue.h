/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The UEs that the P-CSCF knows, each with its bundle. */
#ifndef PCSCF_UE_H
#define PCSCF_UE_H

#include <stdbool.h>

#include <imsipsec.h>

#include "home.h"
#include "net.h"

#define UES_MAX		1024

enum ue_state {
	UE_CHALLENGED,		/* the digest is awaited */
	UE_REGISTERED,
	UE_LEAVING,		/* the bundle lingers, so that a repeated request is answered */
};

/* A UE with its bundle. One that registers anew has two of them for a while. */
struct ue {
	struct ue *next;
	enum ue_state state;
	struct net_local *local;
	uint32_t bundle;
	uint32_t over;		/* the bundle that its REGISTER came over, 0: in clear, or unknown */
	bool taken_over;	/* from a process before this one */
	char owner[IMSIPSEC_OWNER_MAX + 1];
	char contact[IMSIPSEC_CONTACT_MAX + 1];	/* which of the owner's registrations */
	char uri[IMSIPSEC_CONTACT_MAX + 1];	/* of Contact, where requests go; "": unknown */
	struct imsipsec_addr address;		/* within the tunnel, if there is one */
	struct imsipsec_addr nat;		/* where ESP in UDP goes; family 0: it is not in UDP */
	uint16_t port_uc, port_us, port_pc;
	uint32_t mark;				/* of what is sent to it, 0: none */
	struct imsipsec_secagree *client;	/* as first received; NULL if taken over */
	struct imsipsec_secagree *server;	/* as sent */
	struct home_vector vector;		/* without the keys, which the kernel has */
	/* The REGISTER answered last, and its answer, lest a repeated REGISTER counts twice */
	char *request;
	char *last_answer;
	size_t last_answer_len;
};

/* All of them, the newest first */
extern struct ue *ues;

/* Return: NULL without memory, or with UES_MAX of them. */
struct ue *ue_new(struct net_local *local, enum ue_state state);

/* Forget a UE whose bundle is gone; the kernel ends connections over it. */
void ue_drop(struct ue *ue);

struct ue *ue_of_bundle(uint32_t id);

/*
 * Send over the set of @ue, over UDP: from port_pc to port_us (TS 33.203 clause 7.1). A UE
 * that names its port_uc in Via or Contact, @port, has that socket alone: it is sent to
 * from port_ps, which is the other pair that the set has an SA for.
 */
void ue_send(const struct ue *ue, uint16_t port, const char *text, size_t len);

#endif /* PCSCF_UE_H */

// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A small P-CSCF that shows how a SIP server uses libimsipsec. This is the
 * file to begin with; what has to do with IPsec is here, in register.c, bundle.c
 * and kernel.c. The others are what a SIP server has already.
 *
 * What it does with the library, in the order in which it happens:
 *
 *   start	   the algorithms that may be used; endpoint (the ports shut), then
 *		   the protected sockets; bundles that a process before this one
 *		   made are taken over, and their UEs go on: see take_over() in kernel.c
 *   REGISTER	   in clear: is there a NAT, parse Security-Client, choose, make the
 *		   bundle, and only then the 401 with Security-Server
 *   REGISTER	   over the new SAs: compare Security-Verify and Security-Client, check
 *		   the digest, confirm the bundle, 200 OK
 *   REGISTER	   again, over the SAs: 200 OK, the bundle lives longer; or, asked to
 *		   reauthenticate, a new bundle beside it, and a new challenge
 *   any message   its mark says which UE and which bundle it came over, whatever
 *		   identity it names
 *   OPTIONS	   to the UE, if asked to: imsipsec_tx() says over which bundle
 *   Expires: 0	   over the SAs: the bundles go a moment later, after the 200 OK
 *   events	   the kernel ends a bundle whose time ran out: forget the UE
 *   end	   endpoint and bundles stay, unless --delete-endpoint is given
 *
 * What leaves toward the UE over UDP leaves from port_pc to port_us, of the set that
 * the request came over, or from port_ps to port_uc where the UE names that: see
 * ue_send(). Over TCP an answer takes the connection of its request (TS 33.203 clause
 * 7.1). Through a NAT it needs the mark of its registration, as UEs behind NATs may have
 * the same address and ports: over UDP here, while a TCP connection has the one that it
 * was accepted with (net.ipv4.tcp_fwmark_accept = 1).
 *
 * It stands in for the whole of the IMS: it knows the AKA vectors, answers
 * OPTIONS and MESSAGE itself, and forwards nothing.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <imsipsec.h>

#include "answer.h"
#include "bundle.h"
#include "identity.h"
#include "kernel.h"
#include "net.h"
#include "options.h"
#include "register.h"
#include "sip.h"
#include "ue.h"

static int signals;

/* ---- What comes in --------------------------------------------------- */

/*
 * The bundle that a message came over. Return: is there one? For TCP its addresses and
 * ports tell it, as a connection may outlive the bundle that it was opened over. Its mark
 * tells that one, where net.ipv4.tcp_fwmark_accept is 1: whose it is has to agree, and if
 * it is the newer one, the UE has lost its state, and registers anew with the same ports.
 */
static bool bundle_of(const struct net_source *source, struct imsipsec_bundle *bundle)
{
	struct imsipsec_found found;
	bool marked = !imsipsec_rx_mark(cache, source->mark, &found);

	if (marked)
		*bundle = *found.bundle;
	if (!source->conn)
		return marked;
	if (imsipsec_rx_tuple(cache, &source->local->address, opt.port_ps, &source->address,
			      source->port, &found))
		return false;
	if (marked && bundle->id > found.bundle->id && bundle->port_uc == source->port &&
	    net_addr_equal(&bundle->ue_address, &source->address))
		return true;
	if (marked && bundle->registration != found.bundle->registration)
		return false;
	*bundle = *found.bundle;
	return true;
}

static void receive_protected(const struct sip_msg *msg, const struct net_source *source)
{
	struct imsipsec_bundle bundle;
	struct ue *ue = bundle_of(source, &bundle) ? ue_of_bundle(bundle.id) : NULL;

	if (!ue) {
		/* Over the SAs of a bundle that is gone, or not ours */
		if (msg->method)
			answer(msg, source, NULL, "403 Forbidden", NULL);
		return;
	}
	log("%s over bundle %u, %s, of %s", msg->method ? msg->method : "an answer", bundle.id,
	    imsipsec_state_name(bundle.state), ue->owner);
	if (!msg->method)
		return;
	if (!names_only(msg, ue->owner))
		answer(msg, source, ue, "403 Forbidden", "not the identity of this registration");
	else if (!strcmp(msg->method, "REGISTER"))
		register_protected(msg, source, ue);
	else if (bundle.state == IMSIPSEC_STATE_TEMPORARY)
		/* nothing but REGISTER before the 200 OK (TS 24.229 clause 5.2.6) */
		answer(msg, source, ue, "403 Forbidden", "register first");
	else if (!strcmp(msg->method, "OPTIONS") || !strcmp(msg->method, "MESSAGE"))
		/* Here one would assert ue->owner's identity and forward. */
		answer(msg, source, ue, "200 OK", NULL);
	else
		answer(msg, source, ue,
		       "405 Method Not Allowed\r\nAllow: REGISTER, OPTIONS, MESSAGE", NULL);
}

static void receive(const struct net_source *source, char *text, size_t len)
{
	struct sip_msg msg;

	if (!sip_parse(&msg, text, len)) {
		log("malformed message from %s port %u", ADDR(&source->address), source->port);
		return;
	}
	if (msg.method && !strcmp(msg.method, "ACK"))
		return;
	if (source->protected)
		receive_protected(&msg, source);
	else if (!msg.method)
		return;
	else if (!strcmp(msg.method, "REGISTER"))
		register_in_clear(&msg, source);
	else
		answer(&msg, source, NULL, "403 Forbidden", "register first");
}

/* ---- Events and signals ----------------------------------------------- */

static bool ready(int fd)
{
	int err;

	if (fd == signals)
		return false;
	err = imsipsec_cache_dispatch(cache, on_event, NULL);
	if (err)
		error("events: %s", imsipsec_cache_strerror(cache));
	/* Without the module there is nothing left to do. */
	return err != -ENODEV;
}

/* ---- Start ----------------------------------------------------------- */

static bool has_our_ports(const struct imsipsec_endpoint *endpoint)
{
	size_t i, j;

	for (i = 0; i < opt.n_port_pc; i++) {
		for (j = 0; j < endpoint->n_port_pc && endpoint->port_pc[j] != opt.port_pc[i]; j++)
			;
		if (j == endpoint->n_port_pc)
			return false;
	}
	return endpoint->n_port_pc == opt.n_port_pc;
}

/* The endpoint that a process before this one left, if it has our address and ports */
static int on_endpoint(const struct imsipsec_endpoint *endpoint, void *data)
{
	struct net_local *local = data;

	if (net_addr_equal(&endpoint->address, &local->address) &&
	    endpoint->port_ps == opt.port_ps && has_our_ports(endpoint) &&
	    (!opt.nat || endpoint->nat_traversal))
		local->endpoint = endpoint->id;
	return 0;
}

static int make_endpoint(struct net_local *local)
{
	struct imsipsec_endpoint_params params = {
		.address = local->address,
		.port_ps = opt.port_ps,
		.port_pc = opt.port_pc,
		.n_port_pc = opt.n_port_pc,
		.nat_traversal = opt.nat ? IMSIPSEC_CHOICE_ON : IMSIPSEC_CHOICE_CONFIG,
	};
	const struct imsipsec_endpoint *endpoint;
	int err;

	err = imsipsec_endpoint_dump(ipsec, on_endpoint, local);
	if (err || local->endpoint)
		return err;
	err = imsipsec_endpoint_add(ipsec, &params, &endpoint);
	if (!err)
		local->endpoint = endpoint->id;
	return err;
}

/* The endpoint first: from the moment on that they are bound, the ports are shut. */
static bool start_local(struct net_local *local)
{
	uint16_t ports[NET_N_SOCKETS] = {
		[NET_UDP] = opt.port, [NET_TCP] = opt.port,
		[NET_UDP_PS] = opt.port_ps, [NET_TCP_PS] = opt.port_ps,
	};
	int err = make_endpoint(local);

	memcpy(&ports[NET_UDP_PC], opt.port_pc, sizeof(opt.port_pc));

	if (err) {
		error("endpoint %s: %s", ADDR(&local->address), imsipsec_strerror(ipsec));
		return false;
	}
	for (size_t i = 0; i < NET_UDP_PC + opt.n_port_pc; i++) {
		err = net_bind(local, (enum net_socket)i, ports[i]);
		if (err) {
			error("%s port %u: %s", ADDR(&local->address), ports[i], strerror(-err));
			return false;
		}
	}
	log("endpoint %u at %s: port %u, port_ps %u, %zu port_pc", local->endpoint,
	    ADDR(&local->address), opt.port, opt.port_ps, opt.n_port_pc);
	return true;
}

static bool start(void)
{
	sigset_t mask;
	int err;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signals = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
	if (signals < 0) {
		error("signalfd: %s", strerror(errno));
		return false;
	}
	err = bundle_begin();
	if (err) {
		error("getrandom: %s", strerror(-err));
		return false;
	}
	err = imsipsec_open(&ipsec);
	if (!err)
		err = imsipsec_cache_open(&cache);
	if (err) {
		error("ims_ipsec: %s", err == -ENOENT ? "the module is not loaded" : strerror(-err));
		return false;
	}
	if (!opt.algs_text)
		err = imsipsec_pairs_get(ipsec, opt.algs, &opt.n_algs);
	if (err) {
		error("algorithms: %s", imsipsec_strerror(ipsec));
		return false;
	}
	for (size_t i = 0; i < n_locals; i++) {
		if (!start_local(&locals[i]))
			return false;
	}
	/* After subscribing, so that nothing is missed in between */
	err = synchronize();
	if (err)
		error("bundles: %s", imsipsec_strerror(ipsec));
	return !err;
}

static void stop(void)
{
	if (cache)
		net_close(locals, n_locals);
	while (ues)
		ue_drop(ues);
	for (size_t i = 0; i < n_locals; i++) {
		if (opt.delete_endpoint && locals[i].endpoint &&
		    imsipsec_endpoint_delete(ipsec, locals[i].endpoint, true))
			error("endpoint %u: %s", locals[i].endpoint, imsipsec_strerror(ipsec));
	}
	imsipsec_cache_close(cache);
	imsipsec_close(ipsec);
	if (signals > 0)
		close(signals);
}

int main(int argc, char **argv)
{
	int err = -1;

	options(argc, argv);
	if (start()) {
		const int extra[] = { imsipsec_cache_fd(cache), signals };

		log("ready");
		err = net_loop(locals, n_locals, extra, 2, ready, receive);
		if (err)
			error("%s", strerror(-err));
	}
	stop();
	return err ? 1 : 0;
}

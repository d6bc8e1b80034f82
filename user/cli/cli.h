/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CLI_H
#define CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <imsipsec.h>

#include "json.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Exit statuses, as of iproute2. */
enum {
	EXIT_OK = 0,
	EXIT_USAGE = 1,		/* the command line is wrong, nothing was asked of the kernel */
	EXIT_KERNEL = 2,	/* the kernel refused, or output failed */
};

/* output.c */

extern bool json_wanted;
extern struct json json_out;
/* What messages begin with: "bundle add"; before that, in a file of commands, "FILE:LINE" */
extern char command_name[64];
extern const char *command_place;

void __attribute__((noreturn, format(printf, 2, 3))) die(int status, const char *fmt, ...);
int __attribute__((format(printf, 1, 2))) fail(const char *fmt, ...);

/* open.c */

void __attribute__((noreturn)) die_of_open(int err);
struct imsipsec *open_or_die(void);
struct imsipsec *begin_list(void);
int end_list(struct imsipsec *h, int err);

/* command.c */

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *args;		/* for the usage line */
	const char *help;
};

/* Behind the args of a command that takes algorithms */
#define HELP_ALGS						\
	"\n      ALG := { hmac-md5-96 | hmac-sha-1-96 | aes-gmac | null }" \
	"\n      EALG := { null | aes-cbc | des-ede3-cbc | aes-gcm }"	\
	"\n      LIST := { ALG=EALG | ALG | EALG }[,LIST]"

void set_commands(const struct command *commands, size_t n);
void usage(FILE *to, const struct command *commands, size_t n);
int run_command(const struct command *commands, size_t n, const char *fallback,
		int argc, char **argv);
int run_words(const char *place, int argc, char **argv);
bool in_batch(void);

/* The commands, which main.c's table has */

int cmd_endpoint(int argc, char **argv);
int cmd_bundle(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_algorithms(int argc, char **argv);
int cmd_offload(int argc, char **argv);
int cmd_stats(int argc, char **argv);
int cmd_trace(int argc, char **argv);
int cmd_monitor(int argc, char **argv);
int cmd_capture(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_batch(int argc, char **argv);
int cmd_version(int argc, char **argv);

/* batch.c */

extern bool force_wanted;		/* a file of commands goes on after an error */

/* args.c: pairs of a keyword and a value */

struct arg {
	const char *name;
	bool (*parse)(const char *text, void *to);	/* NULL: a flag */
	void *to;
	bool required;
	bool given;			/* out */
};

void parse_args(int argc, char **argv, struct arg *args, size_t n);

struct ports {
	uint16_t port[IMSIPSEC_PORT_PC_MAX];
	size_t n;
};

struct trusted {
	const char *prefix[IMSIPSEC_TRUSTED_MAX];
	size_t n;
	char text[IMSIPSEC_TRUSTED_MAX * (IMSIPSEC_TRUSTED_LEN + 1)];
};

struct bytes {
	uint8_t data[IMSIPSEC_CONTACT_MAX];
	size_t len;
};

struct keys {
	uint8_t ik[IMSIPSEC_KEY_LEN];
	uint8_t ck[IMSIPSEC_KEY_LEN];
};

bool parse_u32(const char *text, void *to);
bool parse_id(const char *text, void *to);
bool parse_port(const char *text, void *to);
bool parse_ports(const char *text, void *to);
bool parse_trusted(const char *text, void *to);
bool parse_time(const char *text, void *to);
bool parse_addr(const char *text, void *to);
bool parse_string(const char *text, void *to);
bool parse_on_off(const char *text, void *to);
bool parse_choice(const char *text, void *to);
bool parse_text(const char *text, void *to);
bool parse_hex(const char *text, void *to);
bool parse_key(const char *text, void *to);
bool parse_keys_file(const char *path, void *to);
bool parse_alg(const char *text, void *to);
bool parse_ealg(const char *text, void *to);
bool parse_preferred_alg(const char *text, void *to);
bool parse_preferred_ealg(const char *text, void *to);
bool parse_mode(const char *text, void *to);
bool parse_state(const char *text, void *to);
bool parse_guard(const char *text, void *to);
bool parse_older(const char *text, void *to);
bool parse_offload(const char *text, void *to);
bool parse_interface(const char *text, void *to);

/* show.c: values for people and for JSON */

void show_time(uint64_t milliseconds);
void show_ago(uint64_t milliseconds);
void show_size(uint64_t bytes);
void show_bytes(const uint8_t *data, size_t len);
#define PEER_LEN	(INET6_ADDRSTRLEN + 8)
int format_peer(char *buf, size_t size, const struct imsipsec_addr *addr, uint16_t port);
void json_bytes(struct json *j, const char *key, const uint8_t *data, size_t len);
void json_addr(struct json *j, const char *key, const struct imsipsec_addr *addr);
void json_name(struct json *j, const char *key, const char *name, unsigned int value);
const char *name_or_unknown(const char *name);

/* bundle.c */

void json_bundle(struct json *j, const char *key, const struct imsipsec_bundle *b);
void text_bundle(const struct imsipsec_bundle *b);

/* metrics.c */

enum metrics_format {
	METRICS_OPENMETRICS,
	METRICS_PROMETHEUS,		/* its older text format */
};

int write_metrics(enum metrics_format format, const char *netns, const char *path);

/* offload.c */

/* Behind the args of a command that sets it */
#define HELP_OFFLOAD						\
	"\n      [ hw-offload-interface { NAME | none } ]"	\
	"\n      [ hw-offload { off | software | crypto | packet } ]" \
	"\n      [ hw-offload-required { on | off } ]"

void json_endpoint_offload(struct json *j, const struct imsipsec_endpoint *e);
void text_endpoint_offload(const struct imsipsec_endpoint *e);
void text_endpoint_fallbacks(const struct imsipsec_endpoint *e);
void json_bundle_offload(struct json *j, const struct imsipsec_bundle *b);
void text_bundle_offload(const struct imsipsec_bundle *b);

#endif /* CLI_H */

// SPDX-License-Identifier: GPL-2.0-only
#include <kunit/test.h>
#include <linux/ims_ipsec.h>
#include <linux/netlink.h>

#include "config.h"

enum ims_config_member {
	IMS_MIN_SPI,
	IMS_MAX_SPI,
	IMS_TEMPORARY_TIMEOUT,
	IMS_MAX_ENDPOINTS,
	IMS_MAX_BUNDLES,
	IMS_MAX_PENDING,
	IMS_MAX_SETS,
	IMS_OLD_TIMEOUT,
	IMS_IDLE_TIMEOUT,
	IMS_MARK_MASK,
	IMS_NAT_PORT,
};

struct ims_config_case {
	const char *name;
	enum ims_config_member member;
	u64 val;
	int err;
};

/* Each changes one member of a good configuration: SPIs 65536 to 1048575. */
static const struct ims_config_case ims_config_cases[] = {
	{ "B1 min_spi 256", IMS_MIN_SPI, 256, 0 },
	{ "B1 min_spi 255", IMS_MIN_SPI, 255, -EINVAL },
	{ "min_spi 0", IMS_MIN_SPI, 0, -EINVAL },
	{ "min_spi, two a bundle", IMS_MIN_SPI, 1048575 + 1 - 2 * 262144, 0 },
	{ "min_spi, less", IMS_MIN_SPI, 1048575 + 2 - 2 * 262144, -EINVAL },
	{ "min_spi one below max_spi", IMS_MIN_SPI, 1048574, -EINVAL },
	{ "min_spi at max_spi", IMS_MIN_SPI, 1048575, -EINVAL },
	{ "max_spi largest", IMS_MAX_SPI, U32_MAX, 0 },
	{ "max_spi, two a bundle", IMS_MAX_SPI, 65536 - 1 + 2 * 262144, 0 },
	{ "max_spi, less", IMS_MAX_SPI, 65536 - 2 + 2 * 262144, -EINVAL },
	{ "max_spi one above min_spi", IMS_MAX_SPI, 65537, -EINVAL },
	{ "max_spi at min_spi", IMS_MAX_SPI, 65536, -EINVAL },
	{ "max_spi below min_spi", IMS_MAX_SPI, 65535, -EINVAL },
	{ "temporary_timeout least", IMS_TEMPORARY_TIMEOUT, IMS_IPSEC_TIMEOUT_MIN, 0 },
	{ "temporary_timeout less", IMS_TEMPORARY_TIMEOUT, IMS_IPSEC_TIMEOUT_MIN - 1, -EINVAL },
	{ "temporary_timeout most", IMS_TEMPORARY_TIMEOUT, IMS_IPSEC_TIMEOUT_MAX, 0 },
	{ "temporary_timeout more", IMS_TEMPORARY_TIMEOUT, IMS_IPSEC_TIMEOUT_MAX + 1, -EINVAL },
	{ "max_endpoints 0", IMS_MAX_ENDPOINTS, 0, -EINVAL },
	{ "max_endpoints 1024", IMS_MAX_ENDPOINTS, 1024, 0 },
	{ "max_endpoints 1025", IMS_MAX_ENDPOINTS, 1025, -EINVAL },
	{ "max_bundles 0", IMS_MAX_BUNDLES, 0, -EINVAL },
	{ "max_bundles, two SPIs each", IMS_MAX_BUNDLES, (1048575 + 1 - 65536) / 2, 0 },
	{ "max_bundles, more", IMS_MAX_BUNDLES, (1048575 + 1 - 65536) / 2 + 1, -EINVAL },
	{ "max_bundles 4194305", IMS_MAX_BUNDLES, 4194305, -EINVAL },
	{ "max_pending 0", IMS_MAX_PENDING, 0, -EINVAL },
	{ "max_pending 4194305", IMS_MAX_PENDING, 4194305, -EINVAL },
	{ "C2 max_sets 0", IMS_MAX_SETS, 0, -EINVAL },
	{ "C2 max_sets 1", IMS_MAX_SETS, 1, 0 },
	{ "C2 max_sets 4", IMS_MAX_SETS, 4, 0 },
	{ "C2 max_sets 5", IMS_MAX_SETS, 5, -EINVAL },
	{ "old_timeout least", IMS_OLD_TIMEOUT, IMS_IPSEC_TIMEOUT_MIN, 0 },
	{ "old_timeout less", IMS_OLD_TIMEOUT, IMS_IPSEC_TIMEOUT_MIN - 1, -EINVAL },
	{ "old_timeout more", IMS_OLD_TIMEOUT, IMS_IPSEC_TIMEOUT_MAX + 1, -EINVAL },
	{ "idle_timeout never", IMS_IDLE_TIMEOUT, 0, 0 },
	{ "idle_timeout less", IMS_IDLE_TIMEOUT, IMS_IPSEC_TIMEOUT_MIN - 1, -EINVAL },
	{ "mark_mask none", IMS_MARK_MASK, 0, 0 },
	{ "mark_mask high", IMS_MARK_MASK, 0xff000000, 0 },
	{ "mark_mask all", IMS_MARK_MASK, U32_MAX, 0 },
	{ "mark_mask three bits", IMS_MARK_MASK, 0x38, 0 },
	{ "mark_mask two bits", IMS_MARK_MASK, 0x30, -EINVAL },
	{ "mark_mask with a hole", IMS_MARK_MASK, 0xff0f, -EINVAL },
	{ "G4 nat_port 0", IMS_NAT_PORT, 0, -EINVAL },
	{ "G4 nat_port 4501", IMS_NAT_PORT, 4501, 0 },
};

static void ims_config_case_desc(const struct ims_config_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(ims_config, ims_config_cases, ims_config_case_desc);

static const struct ims_config ims_config_good = {
	.spi = { 65536, 1048575 },
	.temporary_timeout = 30000,
	.port_pc = { htons(5062), htons(5064) },
	.n_port_pc = 2,
	.port_ps = htons(5063),
	.max_endpoints = 16,
	.max_bundles = 262144,
	.max_pending = 16384,
	.max_sets = 3,
	.old_timeout = 128000,
	.mark_mask = 0xffffff,
	.nat_port = htons(4500),
};

static void ims_config_check_test(struct kunit *test)
{
	const struct ims_config_case *c = test->param_value;
	struct ims_config config = ims_config_good;
	struct netlink_ext_ack extack = {};

	KUNIT_ASSERT_EQ(test, ims_config_check(&config, NULL), 0);

	switch (c->member) {
	case IMS_MIN_SPI:
		config.spi.min = c->val;
		break;
	case IMS_MAX_SPI:
		config.spi.max = c->val;
		break;
	case IMS_TEMPORARY_TIMEOUT:
		config.temporary_timeout = c->val;
		break;
	case IMS_MAX_ENDPOINTS:
		config.max_endpoints = c->val;
		break;
	case IMS_MAX_BUNDLES:
		config.max_bundles = c->val;
		break;
	case IMS_MAX_PENDING:
		config.max_pending = c->val;
		break;
	case IMS_MAX_SETS:
		config.max_sets = c->val;
		break;
	case IMS_OLD_TIMEOUT:
		config.old_timeout = c->val;
		break;
	case IMS_IDLE_TIMEOUT:
		config.idle_timeout = c->val;
		break;
	case IMS_MARK_MASK:
		config.mark_mask = c->val;
		break;
	case IMS_NAT_PORT:
		config.nat_port = htons(c->val);
		break;
	}
	KUNIT_EXPECT_EQ(test, ims_config_check(&config, &extack), c->err);
	/* an error has a text, and only an error */
	KUNIT_EXPECT_EQ(test, !!extack._msg, !!c->err);
}

static void ims_config_ports_test(struct kunit *test)
{
	static const u16 bad[] = { 0, 5060, 5061 };
	struct ims_config config;
	int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		KUNIT_EXPECT_FALSE(test, ims_port_is_protectable(htons(bad[i])));
		config = ims_config_good;
		config.port_pc[i % 2] = htons(bad[i]);
		KUNIT_EXPECT_EQ(test, ims_config_check(&config, NULL), -EINVAL);
		config = ims_config_good;
		config.port_ps = htons(bad[i]);
		KUNIT_EXPECT_EQ(test, ims_config_check(&config, NULL), -EINVAL);
	}
	KUNIT_EXPECT_TRUE(test, ims_port_is_protectable(htons(1)));
	KUNIT_EXPECT_TRUE(test, ims_port_is_protectable(htons(5059)));
	KUNIT_EXPECT_TRUE(test, ims_port_is_protectable(htons(5062)));
	KUNIT_EXPECT_TRUE(test, ims_port_is_protectable(htons(65535)));

	config = ims_config_good;
	for (i = 0; i < 2; i++) {
		config = ims_config_good;
		config.port_ps = config.port_pc[i];
		KUNIT_EXPECT_EQ(test, ims_config_check(&config, NULL), -EINVAL);
	}
	config = ims_config_good;
	config.port_pc[1] = config.port_pc[0];
	KUNIT_EXPECT_EQ(test, ims_config_check(&config, NULL), -EINVAL);
	/* what is behind the last one does not count */
	config.n_port_pc = 1;
	KUNIT_EXPECT_EQ(test, ims_config_check(&config, NULL), 0);
}

/* The deprecated being disabled must leave something. */
static void ims_config_algs_test(struct kunit *test)
{
	struct ims_config config = ims_config_good;
	struct netlink_ext_ack extack = {};

	config.algs.disable_deprecated = true;
	KUNIT_EXPECT_EQ(test, ims_config_check(&config, NULL), 0);
	KUNIT_ASSERT_EQ(test, ims_alg_list_parse(&config.algs.allowed, "hmac-md5-96", 11, NULL), 0);
	KUNIT_EXPECT_EQ(test, ims_config_check(&config, &extack), -EINVAL);
	KUNIT_EXPECT_NOT_NULL(test, extack._msg);
	config.algs.disable_deprecated = false;
	KUNIT_EXPECT_EQ(test, ims_config_check(&config, NULL), 0);
}

static struct kunit_case ims_config_test_cases[] = {
	KUNIT_CASE_PARAM(ims_config_check_test, ims_config_gen_params),
	KUNIT_CASE(ims_config_ports_test),
	KUNIT_CASE(ims_config_algs_test),
	{}
};

static struct kunit_suite ims_config_test_suite = {
	.name = "ims_ipsec_config",
	.test_cases = ims_config_test_cases,
};

kunit_test_suite(ims_config_test_suite);

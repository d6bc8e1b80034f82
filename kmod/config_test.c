// SPDX-License-Identifier: GPL-2.0-only
#include <kunit/test.h>
#include <linux/ims_ipsec.h>
#include <linux/netlink.h>

#include "config.h"

struct ims_config_case {
	const char *name;
	size_t offset;
	size_t size;
	u64 val;
	int err;
};

#define IMS_CASE(_name, _member, _val, _err) { \
	_name, offsetof(struct ims_config, _member), \
	sizeof_field(struct ims_config, _member), _val, _err }

/* Each changes one member of a good configuration: SPIs 65536 to 262144. */
static const struct ims_config_case ims_config_cases[] = {
	IMS_CASE("B1 min_spi 256", spi.min, 256, 0),
	IMS_CASE("B1 min_spi 255", spi.min, 255, -EINVAL),
	IMS_CASE("min_spi 0", spi.min, 0, -EINVAL),
	IMS_CASE("min_spi one below max_spi", spi.min, 262143, 0),
	IMS_CASE("min_spi at max_spi", spi.min, 262144, -EINVAL),
	IMS_CASE("max_spi largest", spi.max, U32_MAX, 0),
	IMS_CASE("max_spi one above min_spi", spi.max, 65537, 0),
	IMS_CASE("max_spi at min_spi", spi.max, 65536, -EINVAL),
	IMS_CASE("max_spi below min_spi", spi.max, 65535, -EINVAL),
	IMS_CASE("temporary_timeout least", temporary_timeout, IMS_IPSEC_TIMEOUT_MIN, 0),
	IMS_CASE("temporary_timeout less", temporary_timeout, IMS_IPSEC_TIMEOUT_MIN - 1, -EINVAL),
	IMS_CASE("temporary_timeout most", temporary_timeout, IMS_IPSEC_TIMEOUT_MAX, 0),
	IMS_CASE("temporary_timeout more", temporary_timeout, IMS_IPSEC_TIMEOUT_MAX + 1, -EINVAL),
	IMS_CASE("max_endpoints 0", max_endpoints, 0, -EINVAL),
	IMS_CASE("max_endpoints 1024", max_endpoints, 1024, 0),
	IMS_CASE("max_endpoints 1025", max_endpoints, 1025, -EINVAL),
	IMS_CASE("max_bundles 0", max_bundles, 0, -EINVAL),
	IMS_CASE("max_bundles 4194304", max_bundles, 4194304, 0),
	IMS_CASE("max_bundles 4194305", max_bundles, 4194305, -EINVAL),
	IMS_CASE("max_pending 0", max_pending, 0, -EINVAL),
	IMS_CASE("max_pending 4194305", max_pending, 4194305, -EINVAL),
};

static void ims_config_case_desc(const struct ims_config_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(ims_config, ims_config_cases, ims_config_case_desc);

static const struct ims_config ims_config_good = {
	.spi = { 65536, 262144 },
	.temporary_timeout = 30000,
	.port_pc = htons(5062),
	.port_ps = htons(5063),
	.max_endpoints = 16,
	.max_bundles = 262144,
	.max_pending = 16384,
};

static void ims_config_check_test(struct kunit *test)
{
	const struct ims_config_case *c = test->param_value;
	struct ims_config config = ims_config_good;
	struct netlink_ext_ack extack = {};
	u32 val = c->val;

	KUNIT_ASSERT_EQ(test, ims_config_check(&config, NULL), 0);

	if (c->size == sizeof(u64))
		memcpy((u8 *)&config + c->offset, &c->val, c->size);
	else
		memcpy((u8 *)&config + c->offset, &val, sizeof(val));
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
		config.port_pc = htons(bad[i]);
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
	config.port_ps = config.port_pc;
	KUNIT_EXPECT_EQ(test, ims_config_check(&config, NULL), -EINVAL);
}

static struct kunit_case ims_config_test_cases[] = {
	KUNIT_CASE_PARAM(ims_config_check_test, ims_config_gen_params),
	KUNIT_CASE(ims_config_ports_test),
	{}
};

static struct kunit_suite ims_config_test_suite = {
	.name = "ims_ipsec_config",
	.test_cases = ims_config_test_cases,
};

kunit_test_suite(ims_config_test_suite);

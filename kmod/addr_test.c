// SPDX-License-Identifier: GPL-2.0-only
#include <kunit/test.h>

#include "addr.h"

#define V4(a, b, c, d)	{ a, b, c, d }
#define V6_DOC		{ 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 }

struct ims_addr_case {
	const char *name;
	u8 bytes[17];
	size_t len;
	int err;
	bool host;
};

static const struct ims_addr_case ims_addr_cases[] = {
	{ "IPv4 host", V4(192, 0, 2, 1), 4, 0, true },
	{ "IPv4 unspecified", V4(0, 0, 0, 0), 4, 0, false },
	{ "IPv4 multicast", V4(224, 0, 0, 1), 4, 0, false },
	{ "IPv4 broadcast", V4(255, 255, 255, 255), 4, 0, false },
	{ "IPv4 loopback", V4(127, 0, 0, 1), 4, 0, true },
	{ "IPv6 host", V6_DOC, 16, 0, true },
	{ "IPv6 unspecified", {}, 16, 0, false },
	{ "IPv6 multicast", { 0xff, 0x02, [15] = 1 }, 16, 0, false },
	{ "IPv6 with an IPv4 address inside", { [10] = 0xff, 0xff, 192, 0, 2, 1 }, 16, 0, false },
	{ "no bytes", {}, 0, -EINVAL },
	{ "3 bytes", {}, 3, -EINVAL },
	{ "5 bytes", {}, 5, -EINVAL },
	{ "15 bytes", {}, 15, -EINVAL },
	{ "17 bytes", {}, 17, -EINVAL },
};

static void ims_addr_case_desc(const struct ims_addr_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(ims_addr, ims_addr_cases, ims_addr_case_desc);

static void ims_addr_set_test(struct kunit *test)
{
	const struct ims_addr_case *c = test->param_value;
	struct ims_addr addr;

	KUNIT_ASSERT_EQ(test, ims_addr_set(&addr, c->bytes, c->len), c->err);
	if (c->err)
		return;
	KUNIT_EXPECT_EQ(test, addr.family, c->len == 4 ? AF_INET : AF_INET6);
	KUNIT_EXPECT_EQ(test, ims_addr_len(&addr), c->len);
	KUNIT_EXPECT_EQ(test, memcmp(&addr.in6, c->bytes, c->len), 0);
	KUNIT_EXPECT_EQ(test, ims_addr_is_host(&addr), c->host);
}

static void ims_addr_equal_test(struct kunit *test)
{
	static const u8 v4[] = V4(192, 0, 2, 1), v4_other[] = V4(192, 0, 2, 2);
	static const u8 v6[] = V6_DOC;
	/* the same first four bytes as v4 */
	static const u8 v6_like_v4[16] = V4(192, 0, 2, 1);
	struct ims_addr a, b;

	ims_addr_set(&a, v4, sizeof(v4));
	ims_addr_set(&b, v4, sizeof(v4));
	KUNIT_EXPECT_TRUE(test, ims_addr_equal(&a, &b));
	ims_addr_set(&b, v4_other, sizeof(v4_other));
	KUNIT_EXPECT_FALSE(test, ims_addr_equal(&a, &b));
	ims_addr_set(&b, v6_like_v4, sizeof(v6_like_v4));
	KUNIT_EXPECT_FALSE(test, ims_addr_equal(&a, &b));
	ims_addr_set(&a, v6, sizeof(v6));
	KUNIT_EXPECT_FALSE(test, ims_addr_equal(&a, &b));
	ims_addr_set(&b, v6, sizeof(v6));
	KUNIT_EXPECT_TRUE(test, ims_addr_equal(&a, &b));
}

static struct kunit_case ims_addr_test_cases[] = {
	KUNIT_CASE_PARAM(ims_addr_set_test, ims_addr_gen_params),
	KUNIT_CASE(ims_addr_equal_test),
	{}
};

static struct kunit_suite ims_addr_test_suite = {
	.name = "ims_ipsec_addr",
	.test_cases = ims_addr_test_cases,
};

kunit_test_suite(ims_addr_test_suite);

// SPDX-License-Identifier: GPL-2.0-only
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/xarray.h>

#include "spi.h"

static int ims_spi_test_init(struct kunit *test)
{
	struct xarray *spis = kunit_kzalloc(test, sizeof(*spis), GFP_KERNEL);

	if (!spis)
		return -ENOMEM;
	xa_init_flags(spis, XA_FLAGS_ALLOC1);
	test->priv = spis;
	return 0;
}

static void ims_spi_test_exit(struct kunit *test)
{
	if (test->priv)
		xa_destroy(test->priv);
}

/* Nobody else has any. */
static bool ims_spi_none_taken(u32 spi, const void *data)
{
	return false;
}

/* Somebody else has all but one. */
static bool ims_spi_all_but_taken(u32 spi, const void *data)
{
	return spi != *(const u32 *)data;
}

struct ims_spi_case {
	const char *name;
	struct ims_spi_range range;
};

static const struct ims_spi_case ims_spi_cases[] = {
	{ "two SPIs", { 256, 257 } },
	{ "lowest", { 256, 511 } },
	{ "across 2^31", { 0x7fffff80, 0x8000007f } },
	{ "highest", { U32_MAX - 255, U32_MAX } },
};

static void ims_spi_case_desc(const struct ims_spi_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(ims_spi, ims_spi_cases, ims_spi_case_desc);

/* B1: every SPI of the range is handed out once, none besides, then no more. */
static void ims_spi_fill_test(struct kunit *test)
{
	const struct ims_spi_case *c = test->param_value;
	u32 n = c->range.max - c->range.min + 1;
	struct xarray *spis = test->priv;
	unsigned long *seen = kunit_kzalloc(test, BITS_TO_LONGS(n) * sizeof(long), GFP_KERNEL);
	u32 i, spi, next = 0;

	KUNIT_ASSERT_NOT_NULL(test, seen);
	for (i = 0; i < n; i++) {
		KUNIT_ASSERT_EQ(test, 0, ims_spi_alloc(spis, &c->range, &next, test,
						       ims_spi_none_taken, NULL, &spi));
		KUNIT_ASSERT_GE(test, spi, c->range.min);
		KUNIT_ASSERT_LE(test, spi, c->range.max);
		KUNIT_ASSERT_FALSE(test, __test_and_set_bit(spi - c->range.min, seen));
		KUNIT_ASSERT_PTR_EQ(test, xa_load(spis, spi), (void *)test);
	}
	KUNIT_EXPECT_EQ(test, -ENOSPC, ims_spi_alloc(spis, &c->range, &next, test,
						     ims_spi_none_taken, NULL, &spi));
	/* one given back is the one that is had again */
	ims_spi_free(spis, c->range.min);
	KUNIT_EXPECT_EQ(test, 0, ims_spi_alloc(spis, &c->range, &next, test,
					       ims_spi_none_taken, NULL, &spi));
	KUNIT_EXPECT_EQ(test, spi, c->range.min);
}

/* B3: what somebody else has is passed over, wherever the search begins. */
static void ims_spi_taken_test(struct kunit *test)
{
	const struct ims_spi_case *c = test->param_value;
	const u32 free[] = { c->range.min, c->range.max };
	struct xarray *spis = test->priv;
	u32 spi, next = 0;
	int i, j;

	for (i = 0; i < ARRAY_SIZE(free); i++) {
		for (j = 0; j < 10; j++) {
			KUNIT_ASSERT_EQ(test, 0, ims_spi_alloc(spis, &c->range, &next, test,
							       ims_spi_all_but_taken, &free[i],
							       &spi));
			KUNIT_EXPECT_EQ(test, spi, free[i]);
			ims_spi_free(spis, spi);
		}
	}
	/* and nothing is left of those that were tried */
	KUNIT_EXPECT_TRUE(test, xa_empty(spis));
}

/* B5: the first search does not begin at the same SPI each time. */
static void ims_spi_random_test(struct kunit *test)
{
	static const struct ims_spi_range range = { 65536, 262144 };
	struct xarray *spis = test->priv;
	u32 spi, next, first, same = 0;
	int i;

	for (i = 0; i < 16; i++) {
		next = 0;
		KUNIT_ASSERT_EQ(test, 0, ims_spi_alloc(spis, &range, &next, test,
						       ims_spi_none_taken, NULL, &spi));
		ims_spi_free(spis, spi);
		if (!i)
			first = spi;
		else if (spi == first)
			same++;
	}
	KUNIT_EXPECT_LT(test, same, 8);
}

/* The later ones go on from there, and round the end of the range. */
static void ims_spi_next_test(struct kunit *test)
{
	static const struct ims_spi_range range = { 1000, 1009 }, other = { 2000, 2009 };
	struct xarray *spis = test->priv;
	u32 spi, next = 1008;
	static const u32 expected[] = { 1008, 1009, 1000, 1001 };
	int i;

	for (i = 0; i < ARRAY_SIZE(expected); i++) {
		KUNIT_ASSERT_EQ(test, 0, ims_spi_alloc(spis, &range, &next, test,
						       ims_spi_none_taken, NULL, &spi));
		KUNIT_EXPECT_EQ(test, spi, expected[i]);
		/* given back, it is not had again at once */
		ims_spi_free(spis, spi);
	}
	/* the range has changed */
	KUNIT_ASSERT_EQ(test, 0, ims_spi_alloc(spis, &other, &next, test,
					       ims_spi_none_taken, NULL, &spi));
	KUNIT_EXPECT_GE(test, spi, other.min);
	KUNIT_EXPECT_LE(test, spi, other.max);
}

/* Each is looked at once before the first one is again, and those in a row are spread. */
static void ims_spi_turn_test(struct kunit *test)
{
	static const struct ims_spi_range range = { 1000, 1000 + 37 * 256 + 9 };
	const u32 n = range.max - range.min + 1;
	unsigned long *seen = kunit_kzalloc(test, BITS_TO_LONGS(n) * sizeof(long), GFP_KERNEL);
	struct xarray *spis = test->priv;
	u32 i, spi, last = 0, far = 0, next = 0;

	KUNIT_ASSERT_NOT_NULL(test, seen);
	for (i = 0; i < n; i++) {
		KUNIT_ASSERT_EQ(test, 0, ims_spi_alloc(spis, &range, &next, test,
						       ims_spi_none_taken, NULL, &spi));
		KUNIT_ASSERT_FALSE(test, __test_and_set_bit(spi - range.min, seen));
		ims_spi_free(spis, spi);
		if (i && spi != last + 1) {
			KUNIT_EXPECT_GE(test, abs((s32)(spi - last)), n / 4);
			far++;
		}
		last = spi;
	}
	KUNIT_EXPECT_GE(test, far, 37);
}

static struct kunit_case ims_spi_test_cases[] = {
	KUNIT_CASE_PARAM(ims_spi_fill_test, ims_spi_gen_params),
	KUNIT_CASE_PARAM(ims_spi_taken_test, ims_spi_gen_params),
	KUNIT_CASE(ims_spi_random_test),
	KUNIT_CASE(ims_spi_next_test),
	KUNIT_CASE(ims_spi_turn_test),
	{}
};

static struct kunit_suite ims_spi_test_suite = {
	.name = "ims_ipsec_spi",
	.init = ims_spi_test_init,
	.exit = ims_spi_test_exit,
	.test_cases = ims_spi_test_cases,
};

kunit_test_suite(ims_spi_test_suite);

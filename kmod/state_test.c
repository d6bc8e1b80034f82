// SPDX-License-Identifier: GPL-2.0-only
#include <kunit/test.h>
#include <linux/ims_ipsec.h>
#include <linux/string.h>

#include "state.h"

struct ims_state_case {
	const char *name;
	enum ims_event event;
	/* from TEMPORARY, ESTABLISHED, ACTIVE, OLD; the first letter of each, "gone", "refused" */
	const char *next;
};

/* By the requirements, not by the table of state.c. */
static const struct ims_state_case ims_state_cases[] = {
	{ "D2 a new challenge ends what waits for the last", IMS_EVENT_CHALLENGE, "gEAO" },
	{ "D4 the 200 OK", IMS_EVENT_CONFIRM, "EEAr" },
	{ "D5 a 200 OK without a challenge", IMS_EVENT_EXTEND, "rEAr" },
	{ "D8 D9 D10 taken into use", IMS_EVENT_USE, "TAAO" },
	{ "D8 a newer one is in use", IMS_EVENT_SUPERSEDE, "TOOO" },
	{ "D14 deleted after a while", IMS_EVENT_LINGER, "OOOO" },
	{ "D1 D11 the end", IMS_EVENT_END, "gggg" },
};

static void ims_state_case_desc(const struct ims_state_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(ims_state, ims_state_cases, ims_state_case_desc);

static char ims_state_letter(u8 state)
{
	switch (state) {
	case IMS_IPSEC_STATE_TEMPORARY:
		return 'T';
	case IMS_IPSEC_STATE_ESTABLISHED:
		return 'E';
	case IMS_IPSEC_STATE_ACTIVE:
		return 'A';
	case IMS_IPSEC_STATE_OLD:
		return 'O';
	case IMS_STATE_GONE:
		return 'g';
	case IMS_STATE_REFUSED:
		return 'r';
	default:
		return '?';
	}
}

static void ims_state_next_test(struct kunit *test)
{
	const struct ims_state_case *c = test->param_value;
	u8 state;

	for (state = IMS_IPSEC_STATE_TEMPORARY; state <= IMS_IPSEC_STATE_OLD; state++)
		KUNIT_EXPECT_EQ(test, ims_state_letter(ims_state_next(state, c->event)),
				c->next[state - IMS_IPSEC_STATE_TEMPORARY]);
}

/* Every event is above, and what is no state or no event is refused. */
static void ims_state_whole_test(struct kunit *test)
{
	u32 seen = 0;
	int i;

	for (i = 0; i < ARRAY_SIZE(ims_state_cases); i++)
		seen |= BIT(ims_state_cases[i].event);
	KUNIT_EXPECT_EQ(test, seen, BIT(IMS_EVENTS) - 1);

	for (i = 0; i < IMS_EVENTS; i++) {
		KUNIT_EXPECT_EQ(test, ims_state_next(0, i), IMS_STATE_REFUSED);
		KUNIT_EXPECT_EQ(test, ims_state_next(IMS_IPSEC_STATE_OLD + 1, i),
				IMS_STATE_REFUSED);
		KUNIT_EXPECT_EQ(test, ims_state_next(U8_MAX, i), IMS_STATE_REFUSED);
	}
	for (i = 0; i <= IMS_IPSEC_STATE_OLD; i++) {
		KUNIT_EXPECT_EQ(test, ims_state_next(i, IMS_EVENTS), IMS_STATE_REFUSED);
		KUNIT_EXPECT_EQ(test, ims_state_next(i, (enum ims_event)-1), IMS_STATE_REFUSED);
	}
}

static struct kunit_case ims_state_test_cases[] = {
	KUNIT_CASE_PARAM(ims_state_next_test, ims_state_gen_params),
	KUNIT_CASE(ims_state_whole_test),
	{}
};

static struct kunit_suite ims_state_test_suite = {
	.name = "ims_ipsec_state",
	.test_cases = ims_state_test_cases,
};

kunit_test_suite(ims_state_test_suite);

// SPDX-License-Identifier: GPL-2.0-only
#include <linux/module.h>

static int __init ims_init(void)
{
	return 0;
}

static void __exit ims_exit(void)
{
}

module_init(ims_init);
module_exit(ims_exit);
MODULE_DESCRIPTION("IMS access security (ipsec-3gpp) for P-CSCFs");
MODULE_LICENSE("GPL");

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_INPUT_CACHE_H
#define _IMS_INPUT_CACHE_H

struct net;

void ims_input_cache_check(struct net *net);

#endif /* _IMS_INPUT_CACHE_H */

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_INPUT_CACHE_H
#define _IMS_INPUT_CACHE_H

int ims_input_cache_init(void);
void ims_input_cache_exit(void);

#endif /* _IMS_INPUT_CACHE_H */

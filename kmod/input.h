/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_INPUT_H
#define _IMS_INPUT_H

int ims_input_init(void);
void ims_input_exit(void);

#endif /* _IMS_INPUT_H */

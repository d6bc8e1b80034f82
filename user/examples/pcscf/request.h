/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests to UEs */
#ifndef PCSCF_REQUEST_H
#define PCSCF_REQUEST_H

#include "ue.h"

/* OPTIONS, over the bundle that the registration of @ue is sent over now; its answer is logged. */
void request_options(const struct ue *ue);

#endif /* PCSCF_REQUEST_H */

/* host_internal.h - the parts of host_look(); private to src/doctor. */
#pragma once
#include "doctor/host.h"

void host_look_at_disks(const struct host_question *q, struct arena *arena, struct host_facts *f);
void host_look_at_network(const struct host_question *q, struct arena *arena, struct host_facts *f);

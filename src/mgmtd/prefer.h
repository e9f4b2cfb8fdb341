/* prefer.h - brings full chains back to their preferred order, one displacement at a time. */
#pragma once
#include "mgmtd/state.h"

/* A fiber of the primary's: until the state is retired, or cancelled. @state is not referenced. */
int prefer_run(void *state) fiber_fn;

/* uring_none.c - stands in for uring.c in a build without liburing. */
#include "loop/backend.h"

int loop_uring_new(struct loop **ret, const char **ret_why)
{
    *ret_why = "built without liburing";
    return -ERR_NOT_SUPPORTED;
}

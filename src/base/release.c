/* release.c - the release, as the build found it. */
#include "base/release.h"

const char *release_text(void)
{
    return C3FS_RELEASE;
}

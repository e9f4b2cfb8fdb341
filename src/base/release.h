/* release.h - which release this is, as operators of 3FS read it:
 * <date>-<dev|rel>-<patch>-<build>-<commit>. */
#pragma once

const char *release_text(void);

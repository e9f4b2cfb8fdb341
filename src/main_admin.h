/* main_admin.h - the admin tool as a command of the binary. */
#pragma once

/* c3fs admin, admin_cli: options, then a command; without one, lines from standard input. */
int admin_main(int argc, char *const *argv);

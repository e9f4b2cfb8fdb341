/* main_run.h - several roles as nodes of one loop in one process. */
#pragma once

/* run ROLE:FILE...: argv[0] is the command. The exit status. */
int run_main(int argc, char *const *argv);

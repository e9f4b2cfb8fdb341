/* main_join.h - c3fs join ADDRESS: this machine becomes a storage of a cluster. */
#pragma once

int join_main(int argc, char *const *argv);

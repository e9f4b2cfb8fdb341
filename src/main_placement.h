/* main_placement.h - the two tools of data placement; the exit status. */
#pragma once

int data_placement_main(int argc, char *const *argv);
int gen_chain_table_main(int argc, char *const *argv);

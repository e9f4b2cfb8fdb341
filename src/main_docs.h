/* main_docs.h - docs/configuration.md, made from the tables that the program itself reads. */
#pragma once

/* c3fs config-docs: writes the document to standard output. */
int config_docs_main(int argc, char *const *argv);

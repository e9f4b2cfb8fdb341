"""gen_chain_table.py - the path that 3FS's guide names; the tool itself is part of c3fs."""
import os
import sys

os.execvp("gen_chain_table", ["gen_chain_table", *sys.argv[1:]])

"""data_placement.py - the path that 3FS's guide names; the tool itself is part of c3fs."""
import os
import sys

os.execvp("data_placement", ["data_placement", *sys.argv[1:]])

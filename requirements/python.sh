#!/bin/sh
# Prints the first Python on the PATH that this project runs on; $PYTHON comes before all others.
for python in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python3.10; do
    if "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null
    then
        echo "$python"
        exit 0
    fi
done
echo "Python 3.10 to 3.13 is needed and none was found; name one with PYTHON=/path/to/python." >&2
exit 1

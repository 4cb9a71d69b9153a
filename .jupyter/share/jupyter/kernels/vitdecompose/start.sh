# Starts GoNB for one notebook, from whichever folder:
#
#	sh start.sh CONNECTION_FILE [PREFIX [CHECKOUT]]
#
# PREFIX is that of Jupyter's own Python. What the kernel needs lies in the checkout that this file belongs to, where
# `make lab` puts it, or in CHECKOUT: `vitdecompose kernel install` copies this file to where Jupyter looks for it.
connection=$1 prefix=$2 checkout=$3
here=$(dirname "$0")

# Where the kernel cannot start, a stand-in says so in the notebook: Jupyter shows nothing of what a kernel writes that ends.
missing() {
	line="the notebook kernel cannot start: $1"
	echo "vitdecompose: $line" >&2
	[ -n "$prefix" ] && "$prefix/bin/python" -c 'import jupyter_client, zmq' 2>/dev/null || exit 1
	exec "$prefix/bin/python" "$here/unavailable.py" "$connection" "$line, then restart the kernel"
}

if [ -n "$checkout" ]; then
	start="$checkout/.jupyter/share/jupyter/kernels/vitdecompose/start.sh"
	[ -f "$start" ] || missing "$checkout is gone: call \`bin/vitdecompose kernel install\` where the checkout lies now"
	exec sh "$start" "$connection" "$prefix"
fi

root=$(cd "$here/../../../../.." && pwd -P) || missing "the folder of $0 cannot be read"
PATH="$root/.jupyter/bin:$PATH"
command -v go >/dev/null || missing "go is not on the PATH: install Go 1.26 or newer"
for tool in gonb goimports gopls; do
	command -v $tool >/dev/null || missing "$tool is missing: run \`make kernel\` in $root"
done

# GoMLX must not fetch another plugin than the one that setup checked.
export PATH GOMLX_NO_AUTO_INSTALL=1

# A cell is a program that is linked each time: without symbols, by Go's own linker, which a larger heap makes quicker too,
# and with the tag that leaves out what few cells use. What users set counts more.
export GOFLAGS="${GOFLAGS:-'-ldflags=-s -w -linkmode=internal' -buildvcs=false -tags=cell}" GOGC="${GOGC:-400}"

# GoNB keeps a notebook's program in a folder of its own and finds the checkout's packages through a workspace. Its log
# tells of every step; what goes wrong in a cell stands in the notebook.
unset GOWORK
exec gonb --kernel "$connection" -go_work="$root" -logtostderr=false -log_file=/dev/null -stderrthreshold=FATAL

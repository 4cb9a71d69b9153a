# Starts GoNB for one notebook: sh start.sh CONNECTION_FILE, from whichever folder. What it needs lies in the checkout
# that this file belongs to; `make lab` puts it there.
missing() {
	echo "vitdecompose: the notebook kernel cannot start: $1" >&2
	exit 1
}

root=$(cd "$(dirname "$0")/../../../../.." && pwd -P) || missing "the folder of $0 cannot be read"
PATH="$root/.jupyter/bin:$PATH"
command -v go >/dev/null || missing "go is not on the PATH: install Go 1.26 or newer"
for tool in gonb goimports gopls; do
	command -v $tool >/dev/null || missing "$tool is missing: run \`make kernel\` in $root"
done

# GoMLX must not fetch another plugin than the one that setup checked.
export PATH GOMLX_NO_AUTO_INSTALL=1

# GoNB keeps a notebook's program in a folder of its own and finds the checkout's packages through a workspace. Its log
# tells of every step; what goes wrong in a cell stands in the notebook.
unset GOWORK
exec gonb --kernel "$1" -go_work="$root" -logtostderr=false -log_file=/dev/null -stderrthreshold=FATAL

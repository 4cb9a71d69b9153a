# Copies GoNB's source into a directory, with what this project adds to it: see advise.go. `make kernel` builds the copy.
#
#	sh patch.sh DIRECTORY MODFILE
#
# MODFILE becomes the go.mod, with its go.sum, that builds the kernel's programs with the copy. It is run in jupyter/tools.
set -eu
here=$(cd "$(dirname "$0")" && pwd -P) to=$1 modfile=$2
from=$(go list -m -f '{{.Dir}}' github.com/janpfeifer/gonb)
rm -rf "$to"
mkdir -p "$to"
cp -R "$from/." "$to"
chmod -R u+w "$to"
for name in errorpublish execcode goexec; do
	file=internal/goexec/$name.go
	sed -f "$here/patch.sed" "$from/$file" >"$to/$file"
	if cmp -s "$from/$file" "$to/$file"; then
		echo "make: patch.sed finds nothing to change in GoNB's $file: it is of another version" >&2
		exit 1
	fi
done
cp "$here/advise.go" "$here/leave_out.go" "$to/internal/goexec/"
cp go.mod "$modfile"
cp go.sum "${modfile%.mod}.sum"
go mod edit -replace "github.com/janpfeifer/gonb=$to" "$modfile"

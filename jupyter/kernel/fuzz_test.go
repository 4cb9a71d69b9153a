package kernel

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A kernelspec is Jupyter's file, which others may have written.
func FuzzReadable(f *testing.F) {
	dir := f.TempDir()
	path, script := filepath.Join(dir, "kernel.json"), filepath.Join(dir, "start.sh")
	require.NoError(f, os.WriteFile(script, nil, 0o777))
	f.Add([]byte(`{"argv": ["bash", "{resource_dir}/start.sh", "{connection_file}"], "display_name": "Go", "language": "go"}`))
	f.Add([]byte(`{"argv": ["bash", "{resource_dir}/gone.sh", "{connection_file}", "/nowhere"]}`))
	f.Add([]byte(`{"argv": ["x"]}`))
	f.Fuzz(func(t *testing.T, spec []byte) {
		require.NoError(t, os.WriteFile(path, spec, 0o666))
		if err := readable(path); err != nil {
			require.ErrorContains(t, err, path)
		}
	})
}

package kernel

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// programs makes a directory with executable stand-ins.
func programs(t *testing.T, dir string, names ...string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for _, name := range names {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho "+name+" \"$@\"\n"), 0o755))
	}
}

// checkout is a copy of the committed kernelspec in a directory whose name has a space, with stand-ins for the
// kernel's programs.
func checkout(t *testing.T, built ...string) Checkout {
	t.Helper()
	own, err := Find()
	require.NoError(t, err)
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	c := Checkout(filepath.Join(root, "my models"))
	require.NoError(t, os.MkdirAll(filepath.Dir(c.start()), 0o755))
	require.NoError(t, os.CopyFS(c.Specs(), os.DirFS(own.Specs())))
	require.NoError(t, os.WriteFile(filepath.Join(string(c), "go.mod"), []byte("module vitdecompose\n"), 0o644))
	programs(t, c.bin(), built...)
	return c
}

// system leaves only these programs on the PATH, beside the shell's own.
func system(t *testing.T, names ...string) {
	t.Helper()
	dir := t.TempDir()
	programs(t, dir, names...)
	for _, name := range []string{"sh", "dirname"} {
		path, err := exec.LookPath(name)
		require.NoError(t, err)
		require.NoError(t, os.Symlink(path, filepath.Join(dir, name)))
	}
	t.Setenv("PATH", dir)
}

func readSpec(t *testing.T, path string) spec {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	var s spec
	require.NoError(t, json.Unmarshal(b, &s))
	return s
}

// TestStart starts the kernel as Jupyter does, from another directory.
func TestStart(t *testing.T) {
	c := checkout(t, "gonb", "goimports", "gopls")
	system(t, "go")
	start := exec.Command("sh", c.start(), "/run/connection 1.json")
	start.Dir = t.TempDir()
	out, err := start.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, "gonb --kernel /run/connection 1.json -go_work="+string(c)+
		" -logtostderr=false -log_file=/dev/null -stderrthreshold=FATAL\n", string(out))
}

// TestMissing holds what the script and Check say about a program that is not there.
func TestMissing(t *testing.T) {
	for _, test := range []struct {
		name          string
		built, system []string
		script, check string
	}{
		{"go", tools[1:], nil, "go is not on the PATH: install Go 1.26 or newer", "needs go: install Go 1.26 or newer"},
		{"gopls", tools[1:3], tools[:1], "gopls is missing: run `make kernel` in ", "needs gopls: run `make kernel` in "},
		{"all", nil, tools[:1], "gonb is missing: run `make kernel` in ", "needs gonb, goimports, gopls: run `make kernel` in "},
		{"none: they are on the PATH", nil, tools, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := checkout(t, test.built...)
			system(t, test.system...)
			out, err := exec.Command("sh", c.start(), "connection").CombinedOutput()
			if test.script == "" {
				require.NoError(t, err)
				require.NoError(t, c.Check())
				return
			}
			require.Error(t, err)
			require.Contains(t, string(out), "vitdecompose: the notebook kernel cannot start: "+test.script)
			require.ErrorContains(t, c.Check(), test.check)
			_, err = c.Install(t.TempDir())
			require.ErrorContains(t, err, test.check)
		})
	}
}

func TestInstall(t *testing.T) {
	c := checkout(t, "gonb", "goimports", "gopls")
	system(t, "go")
	data := t.TempDir()
	path, err := c.Install(data)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(data, "kernels", "vitdecompose", "kernel.json"), path)
	s := readSpec(t, path)
	committed := readSpec(t, filepath.Join(specDir(c.Specs()), "kernel.json"))
	require.Equal(t, []string{"sh", "{resource_dir}/start.sh", "{connection_file}", "{prefix}"}, committed.Argv)
	require.Equal(t, append(committed.Argv, string(c)), s.Argv)
	committed.Argv = s.Argv
	require.Equal(t, committed, s)

	start := func() (string, error) { // as Jupyter does
		out, err := exec.Command("sh", filepath.Join(filepath.Dir(path), "start.sh"), "connection", "/no/prefix", string(c)).CombinedOutput()
		return string(out), err
	}
	out, err := start()
	require.NoError(t, err, out)
	require.Contains(t, out, "gonb --kernel connection -go_work="+string(c)+" ")
	moved := string(c) + " moved"
	require.NoError(t, os.Rename(string(c), moved))
	out, err = start()
	require.Error(t, err)
	require.Contains(t, out, "cannot start: "+string(c)+" is gone: call `bin/vitdecompose kernel install` where the checkout lies now")
	require.NoError(t, os.Rename(moved, string(c)))

	_, err = c.Install(data) // again
	require.NoError(t, err)
	_, err = c.Install(path) // a file where a directory should be
	require.ErrorContains(t, err, "the kernelspec cannot be written")
}

func TestInstalled(t *testing.T) {
	c := checkout(t, "gonb", "goimports", "gopls")
	system(t, "go")
	user, prefix := t.TempDir(), t.TempDir()
	t.Setenv("JUPYTER_PATH", "")
	t.Setenv("CONDA_PREFIX", "")
	t.Setenv("JUPYTER_DATA_DIR", user)
	t.Setenv("VIRTUAL_ENV", prefix)
	_, err := Installed()
	require.ErrorIs(t, err, fs.ErrNotExist)

	inPrefix, err := c.Install(PrefixDir(prefix))
	require.NoError(t, err)
	got, err := Installed()
	require.NoError(t, err)
	require.Equal(t, inPrefix, got)

	ofUser, err := c.Install(user)
	require.NoError(t, err)
	got, err = Installed()
	require.NoError(t, err)
	require.Equal(t, ofUser, got)

	t.Setenv("JUPYTER_PATH", c.Specs())
	got, err = Installed()
	require.NoError(t, err)
	require.Equal(t, filepath.Join(specDir(c.Specs()), "kernel.json"), got)
	t.Setenv("JUPYTER_PATH", "")

	require.NoError(t, os.RemoveAll(string(c)))
	_, err = Installed()
	require.ErrorContains(t, err, "which is gone: run `vitdecompose kernel install` again")
	for content, want := range map[string]string{"{": "not a kernelspec", `{"argv": ["gonb"]}`: "does not say what to start"} {
		require.NoError(t, os.WriteFile(ofUser, []byte(content), 0o644))
		_, err = Installed()
		require.ErrorContains(t, err, want)
	}
}

func TestUserDir(t *testing.T) {
	t.Setenv("JUPYTER_DATA_DIR", "/data/jupyter")
	dir, err := UserDir()
	require.NoError(t, err)
	require.Equal(t, "/data/jupyter", dir)
	t.Setenv("JUPYTER_DATA_DIR", "")
	t.Setenv("HOME", "")
	_, err = UserDir()
	require.ErrorContains(t, err, "set JUPYTER_DATA_DIR or name a --prefix")
}

func TestFind(t *testing.T) {
	c := checkout(t)
	below := filepath.Join(string(c), "notebooks", "deep")
	require.NoError(t, os.MkdirAll(below, 0o755))
	got, err := find(t.TempDir(), below)
	require.NoError(t, err)
	require.Equal(t, c, got)
	require.NoError(t, os.WriteFile(filepath.Join(string(c), "go.mod"), []byte("module another\n"), 0o644))
	_, err = find(below)
	require.ErrorContains(t, err, "run bin/vitdecompose from a checkout")
}

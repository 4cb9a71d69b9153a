package headless

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/experiments/cache"
	"vitdecompose/gomlxvit/backend"
	"vitdecompose/jupyter/check"
	"vitdecompose/jupyter/kernel"
)

// reading is a cell that takes a few scenes apart, reads them by text and prints a number.
const reading = `import "vitdecompose/notebook"

var model = notebook.Open(notebook.Options{Model: "clip-mini", Data: "scenes:12", Blocks: "5", Batch: 2})

%%
fmt.Printf("agreement %.9f\n", model.Ranking(notebook.RankingConfig{}).Result.Models[0].Between)
`

// jupyter is that of the checkout; a test without it is skipped.
func jupyter(t *testing.T) (Jupyter, kernel.Checkout) {
	t.Helper()
	if os.Getenv("VITDECOMPOSE_FAULTS") == "" {
		t.Skip("make notebook-faults executes notebooks in Jupyter")
	}
	checkout, err := kernel.Find()
	require.NoError(t, err)
	j := Of(checkout)
	require.FileExists(t, j.Python, "make notebook-faults installs Jupyter")
	require.NoError(t, checkout.Check())
	return j.With("JUPYTER_CONFIG_DIR="+t.TempDir(), "JUPYTER_DATA_DIR="+t.TempDir(), "JUPYTER_RUNTIME_DIR="+t.TempDir(), "GOMLX_BACKEND="), checkout
}

func execute(t *testing.T, j Jupyter, sources ...string) Executed {
	t.Helper()
	e, err := j.Execute(t.Context(), t.TempDir(), sources...)
	require.NoError(t, err)
	return e
}

// checked is what `make notebooks` says of an executed notebook.
func checked(t *testing.T, e Executed) error {
	t.Helper()
	f, err := os.Open(e.Path)
	require.NoError(t, err)
	defer f.Close()
	return check.Notebook(f)
}

// withPlugin names where XLA's plugin is; the tests move the directory where it usually lies.
func withPlugin(t *testing.T) string {
	t.Helper()
	plugin, err := backend.Find("cpu")
	require.NoError(t, err, "make setup fetches it")
	return "PJRT_PLUGIN_LIBRARY_PATH=" + filepath.Dir(plugin.Path)
}

// withoutPlugin leaves no directory with one.
func withoutPlugin(t *testing.T) []string {
	t.Helper()
	return []string{"PJRT_PLUGIN_LIBRARY_PATH=" + t.TempDir(), "VITDECOMPOSE_CACHE=" + t.TempDir()}
}

// TestCacheCannotBeWritten puts the cache below a file: root may write into every directory.
func TestCacheCannotBeWritten(t *testing.T) {
	j, _ := jupyter(t)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o666))
	e := execute(t, j.With(withPlugin(t), "VITDECOMPOSE_CACHE="+filepath.Join(file, "cache")), reading)
	const says = "the cache cannot be written: mkdir "
	require.Equal(t, says+file+": not a directory; set VITDECOMPOSE_CACHE to a directory that can\nexit status 1\n", e.Stderr)
	require.ErrorContains(t, checked(t, e), "cell [1]: exit status 1, after it said: "+says)
}

func TestNoPlugin(t *testing.T) {
	j, _ := jupyter(t)
	j = j.With(withoutPlugin(t)...)
	t.Run("asked for", func(t *testing.T) {
		e := execute(t, j.With("GOMLX_BACKEND=xla:cpu"), reading)
		require.Regexp(t, "^GOMLX_BACKEND: no XLA plugin for cpu in .*; `vitdecompose setup` fetches it\nexit status 1\n$", e.Stderr)
		require.ErrorContains(t, checked(t, e), "cell [1]: exit status 1, after it said: GOMLX_BACKEND: no XLA plugin")
	})
	t.Run("not asked for", func(t *testing.T) {
		e := execute(t, j, reading)
		require.Equal(t, backend.FallbackLine+"\n", e.Stderr)
		require.Contains(t, e.Stdout, "agreement ")
		require.NoError(t, checked(t, e))
	})
}

// TestTwoNotebooks: two begin at once with the same work and an empty cache.
func TestTwoNotebooks(t *testing.T) {
	j, _ := jupyter(t)
	dir := t.TempDir()
	j = j.With(withPlugin(t), "VITDECOMPOSE_CACHE="+dir)
	var executed [2]Executed
	var failed [2]error
	var both sync.WaitGroup
	for i := range executed {
		both.Go(func() { executed[i], failed[i] = j.Execute(t.Context(), t.TempDir(), reading) })
	}
	both.Wait()
	for i, e := range executed {
		require.NoError(t, failed[i])
		require.NoError(t, checked(t, e))
		require.Empty(t, e.Stderr)
	}
	require.Contains(t, executed[0].Stdout, "agreement ")
	require.Equal(t, executed[0].Stdout, executed[1].Stdout)

	stores, err := cache.List(filepath.Join(dir, "contributions"))
	require.NoError(t, err)
	require.Len(t, stores, 1)
	require.True(t, stores[0].Complete)
	require.Equal(t, 6, stores[0].Chunks, "12 pictures, 2 at a time")
}

// TestNoKernel: where the kernel cannot start, the notebook says why.
func TestNoKernel(t *testing.T) {
	j, checkout := jupyter(t)
	bare := kernel.Checkout(t.TempDir()) // where `make kernel` was not run
	require.NoError(t, os.CopyFS(bare.Specs(), os.DirFS(checkout.Specs())))
	path := withoutTools(t)

	t.Run("not built", func(t *testing.T) {
		j := j.With(path)
		j.Path = bare.Specs()
		e := execute(t, j, reading)
		require.Equal(t, "the notebook kernel cannot start: gonb is missing: run `make kernel` in "+string(bare)+", then restart the kernel", e.Error)
		require.ErrorContains(t, checked(t, e), "cell [1]: No kernel: the notebook kernel cannot start: gonb is missing: run `make kernel`")
	})
	t.Run("moved", func(t *testing.T) {
		data := t.TempDir()
		_, err := checkout.Install(data)
		require.NoError(t, err)
		spec := filepath.Join(data, "kernels", kernel.Name, "kernel.json")
		content, err := os.ReadFile(spec)
		require.NoError(t, err)
		gone := string(bare) + " gone"
		require.NoError(t, os.WriteFile(spec, []byte(strings.ReplaceAll(string(content), string(checkout), gone)), 0o666))
		j.Path = data
		e := execute(t, j, reading)
		require.Equal(t, "the notebook kernel cannot start: "+gone+" is gone: call `bin/vitdecompose kernel install` where the checkout lies now, "+
			"then restart the kernel", e.Error)
	})
}

// withoutTools is a PATH with no kernel's program beside go.
func withoutTools(t *testing.T) string {
	t.Helper()
	var dirs []string
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, "gonb")); err != nil {
			dirs = append(dirs, dir)
		}
	}
	return "PATH=" + strings.Join(dirs, string(filepath.ListSeparator))
}

// TestForeignJupyter executes a notebook with the kernelspec that `vitdecompose kernel install` writes, in another folder,
// and with nothing of the project's settings or of the network.
func TestForeignJupyter(t *testing.T) {
	j, checkout := jupyter(t)
	data := t.TempDir()
	_, err := checkout.Install(data)
	require.NoError(t, err)
	j.Path = data
	j = j.With(withPlugin(t), "VITDECOMPOSE_CACHE="+t.TempDir(), "GOPROXY=off", "HTTP_PROXY=http://127.0.0.1:9", "HTTPS_PROXY=http://127.0.0.1:9")
	e := execute(t, j, reading)
	require.Empty(t, e.Error)
	require.Empty(t, e.Stderr)
	require.NoError(t, checked(t, e))
}

// TestAdvice: a cell that cannot be compiled gets a sentence that helps, before what the compiler says.
func TestAdvice(t *testing.T) {
	j, _ := jupyter(t)
	first, _, _ := strings.Cut(reading, "%%")
	for _, c := range []struct {
		name, says string
		cells      []string
	}{
		{"no %%", "begins with a line that has %% alone", []string{"fmt.Println(1)"}},
		{"no first cell", "does not know model: run the first cell", []string{"%%\nmodel.Show()"}},
		{"a typo", "There is no model.Rankin", []string{first + "%%\nmodel.Rankin()"}},
		{"an unknown field", "has no field Modle", []string{strings.Replace(first, "Model:", "Modle:", 1) + "%%\nmodel.Show()"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := execute(t, j, c.cells...)
			require.NotEmpty(t, e.Error)
			require.Contains(t, e.Page, c.says)
			require.Error(t, checked(t, e))
		})
	}
}

// TestProgramOfItsOwn: a cell holds what it uses, not what all cells before it have named.
func TestProgramOfItsOwn(t *testing.T) {
	j, _ := jupyter(t)
	first, _, _ := strings.Cut(reading, "%%")
	const size = "%%\ninfo, err := os.Stat(os.Args[0])\nfmt.Println(err == nil && info.Size() < 4<<20)"
	e := execute(t, j.With("VITDECOMPOSE_CACHE="+t.TempDir()), first+"%%\nfmt.Println(model != nil)", size)
	require.Equal(t, "true\ntrue\n", e.Stdout, "a program without the project's packages is small")
	require.Empty(t, e.Stderr)
}

// TestError: what goes wrong in a cell is one line.
func TestError(t *testing.T) {
	j, _ := jupyter(t)
	e := execute(t, j.With(withPlugin(t)), strings.Replace(reading, "clip-mini", "clip-maxi", 1))
	require.Regexp(t, "^option Model: .*clip-maxi.*\nexit status 1\n$", e.Stderr)
}

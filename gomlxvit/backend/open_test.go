package backend

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/stretchr/testify/require"
)

func TestParseSpec(t *testing.T) {
	for in, want := range map[string]spec{
		"":                               {},
		"go":                             {backend: "go"},
		"go:parallelism=1":               {backend: "go", options: "parallelism=1"},
		"xla":                            {backend: "xla", device: "cpu"},
		"xla:cpu":                        {backend: "xla", device: "cpu"},
		"xla:tpu":                        {backend: "xla", device: "tpu"},
		"xla:cuda,memory_fraction=0.5":   {backend: "xla", device: "cuda", options: "memory_fraction=0.5"},
		"xla:/a/pjrt_c_api_cpu_p.so,x=1": {backend: "xla", device: "/a/pjrt_c_api_cpu_p.so", options: "x=1"},
	} {
		got, err := parseSpec(in, "test")
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for _, in := range []string{"xla:gpu", "onnx", "xla:../plugin.so", ":cpu", "XLA:cpu"} {
		_, err := parseSpec(in, "GOMLX_BACKEND")
		require.ErrorContains(t, err, "GOMLX_BACKEND: unknown backend", in)
		require.ErrorContains(t, err, "xla:cuda", in)
	}
}

func TestChooseOnAMachineWithoutPlugins(t *testing.T) {
	emptyMachine(t)
	c, err := choose("")
	require.NoError(t, err)
	require.True(t, c.fallback)
	require.Equal(t, "go:ops_sequential", c.config())

	for device, cure := range map[string]string{"cpu": "`vitdecompose setup`", "cuda": "--device cuda", "tpu": "--device tpu"} {
		t.Setenv("GOMLX_BACKEND", "xla:"+device)
		_, err = choose("")
		require.ErrorIs(t, err, ErrNoPlugin)
		require.ErrorContains(t, err, cure)
	}

	t.Setenv("GOMLX_BACKEND", "go")
	c, err = choose("")
	require.NoError(t, err)
	require.False(t, c.fallback, "asked for, so nothing to warn of")
}

func TestChooseFindsThePluginOfTheDevice(t *testing.T) {
	_, _, path := emptyMachine(t)
	library := tinyELF(t, here(t), 10)
	cpu := put(t, library, path, "pjrt_c_api_cpu_plugin.so")
	cuda := put(t, library, path, "pjrt_c_api_cuda_plugin.so")
	for in, want := range map[string]string{
		"":                           "xla:" + cpu,
		"xla:cpu":                    "xla:" + cpu,
		"xla:cuda":                   "xla:" + cuda + ",tf32=false",
		"xla:cuda,tf32=true":         "xla:" + cuda + ",tf32=true",
		"xla:cuda,preallocate=false": "xla:" + cuda + ",tf32=false,preallocate=false",
		"xla:" + cuda:                "xla:" + cuda + ",tf32=false",
	} {
		c, err := choose(in)
		require.NoError(t, err, in)
		require.Equal(t, want, c.config(), in)
	}
}

func TestOpenRefusesADamagedPlugin(t *testing.T) {
	_, _, path := emptyMachine(t)
	cut := put(t, tinyELF(t, here(t), 1000)[:600], path, "pjrt_c_api_cpu_plugin.so")
	for _, in := range []string{"", "xla:cpu", "xla:" + cut} {
		_, err := Open(in)
		var damaged *DamagedError
		require.True(t, errors.As(err, &damaged), "Open(%q): %v", in, err)
	}
	_, err := Open("xla:" + filepath.Join(path, "none.so"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestOpenReportsAPluginThatDoesNotLoad(t *testing.T) {
	_, _, path := emptyMachine(t)
	whole := put(t, tinyELF(t, here(t), 1000), path, "pjrt_c_api_cpu_plugin.so")
	_, err := Open("xla:cpu")
	require.ErrorContains(t, err, "cannot open the backend xla:"+whole)
}

func TestOpenSaysOnceThatItFallsBack(t *testing.T) {
	emptyMachine(t)
	var said bytes.Buffer
	old := warnings
	warnings, warnOnce = &said, sync.Once{}
	t.Cleanup(func() { warnings, warnOnce = old, sync.Once{} })
	for range 2 {
		b, err := Open("")
		require.NoError(t, err)
		require.Equal(t, "Go Backend", b.Name())
		b.Finalize()
	}
	require.Equal(t, FallbackLine+"\n", said.String())
}

func TestWanted(t *testing.T) {
	for in, want := range map[string]string{"": "cpu", "go": "", "xla:cuda": "cuda", "xla:/a.so": ""} {
		t.Setenv("GOMLX_BACKEND", in)
		got, err := Wanted()
		require.NoError(t, err)
		require.Equal(t, want, got, in)
	}
	t.Setenv("GOMLX_BACKEND", "abacus")
	_, err := Wanted()
	require.ErrorContains(t, err, "abacus")
}

// Both backends, as far as this machine has them, compute the same sum.
func TestBackendsCompute(t *testing.T) {
	for _, name := range []string{"go", "xla:cpu"} {
		t.Run(name, func(t *testing.T) {
			b, err := Open(name)
			if errors.Is(err, ErrNoPlugin) {
				t.Skip("no XLA CPU plugin here: `vitdecompose setup` fetches it")
			}
			require.NoError(t, err)
			defer b.Finalize()
			add, err := graph.NewExec(b, func(x, y *graph.Node) *graph.Node { return graph.Add(x, y) })
			require.NoError(t, err)
			sums, err := add.Call([]float32{1, 2}, []float32{10, 20})
			require.NoError(t, err)
			require.Equal(t, []float32{11, 22}, sums[0].Value())
		})
	}
}

func TestFactsWithoutPlugin(t *testing.T) {
	_, cache, _ := emptyMachine(t)
	put(t, make([]byte, 1500), cache, "things", "a", "b")
	r := Facts(Cache{Name: "things", Dir: filepath.Join(cache, "things")})
	require.NoError(t, r.Problem)
	r.Versions = map[string]string{"Go": "go1"}
	var out strings.Builder
	require.NoError(t, r.Print(&out))
	for _, want := range []string{"Go Portable", "cache: things", "1.5 kB in 1 files", "vitdecompose setup", "Go  ", "CPU cores"} {
		require.Contains(t, out.String(), want)
	}
}

func TestFactsWithADamagedPlugin(t *testing.T) {
	_, _, path := emptyMachine(t)
	put(t, []byte("text"), path, "pjrt_c_api_cpu_plugin.so")
	r := Facts()
	require.Error(t, r.Problem)
	var out strings.Builder
	require.NoError(t, r.Print(&out))
	require.Contains(t, out.String(), "does not open")
	require.Contains(t, out.String(), "is damaged")
	require.NotContains(t, out.String(), "all is there")
}

func TestParseMeminfo(t *testing.T) {
	total, available := parseMeminfo(strings.NewReader("MemTotal:  1024 kB\nMemFree: 12 kB\nMemAvailable:\t512 kB\nHugePages_Total: 0\n\nodd\n"))
	require.Equal(t, uint64(1<<20), total)
	require.Equal(t, uint64(1<<19), available)
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 999: "999 bytes", 1500: "1.5 kB", 273768800: "273.8 MB", 25e9: "25.0 GB"} {
		require.Equal(t, want, size(n))
	}
}

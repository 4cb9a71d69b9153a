package extraction_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gomlx/compute"
	"github.com/stretchr/testify/require"

	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/tiny"
	"vitdecompose/gomlxvit/backend"
)

// severalDevices opens XLA's CPU client, which go-xla's plugin splits into several devices.
var severalDevices = sync.OnceValues(func() (compute.Backend, error) { return backend.Open("xla:cpu") })

func openSeveralDevices(t *testing.T) compute.Backend {
	t.Helper()
	b, err := severalDevices()
	if err != nil {
		t.Skipf("no XLA here: %v", err)
	}
	if b.NumDevices() < 2 {
		t.Skipf("%s has one device", b.Description())
	}
	return b
}

// files are a store's files with their bytes.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	all := make(map[string]string)
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		require.NoError(t, err)
		all[entry.Name()] = string(content)
	}
	return all
}

// A store does not depend on how many devices wrote it, to the last byte; each device takes part.
func TestSeveralDevices(t *testing.T) {
	b := openSeveralDevices(t)
	one := extraction.Extraction{Backend: b, Model: tiny.Model(t), Data: tiny.Noise{N: 61}, Batch: 2, CacheDir: t.TempDir()}
	store, err := one.Extract(t.Context())
	require.NoError(t, err)
	defer store.Close()

	several := one
	several.Devices, several.CacheDir = b.NumDevices(), t.TempDir()
	pictures := make(map[int]int)
	several.Observe = func(s extraction.Step) {
		require.NotZero(t, s.Computed)
		pictures[s.Device] += s.Pictures
	}
	again, err := several.Extract(t.Context())
	require.NoError(t, err)
	defer again.Close()
	require.Equal(t, files(t, store.Dir()), files(t, again.Dir()))
	total := 0
	for device := range b.NumDevices() {
		require.NotZero(t, pictures[device], "device %d did nothing", device)
		total += pictures[device]
	}
	require.Equal(t, 61, total)

	// An accelerator has two batches on each of all its devices, and several files are written at once.
	defer extraction.SetAccelerated()()
	crowd := several
	crowd.Devices, crowd.CacheDir = 0, t.TempDir()
	total = 0
	crowd.Observe = func(s extraction.Step) { total += s.Pictures }
	written, err := crowd.Extract(t.Context())
	require.NoError(t, err)
	defer written.Close()
	require.Equal(t, files(t, store.Dir()), files(t, written.Dir()))
	require.Equal(t, 61, total)
}

// What goes wrong on one of several devices ends the extraction with its error; what was computed is kept.
func TestSeveralDevicesFault(t *testing.T) {
	b := openSeveralDevices(t)
	e := extraction.Extraction{
		Backend: b, Model: tiny.Model(t), Data: tiny.Noise{N: 40, Bad: map[int]bool{33: true}}, Batch: 2, Devices: 2, CacheDir: t.TempDir(),
	}
	_, err := e.Extract(t.Context())
	require.ErrorContains(t, err, "noise-33 is too noisy")
	kept, err := filepath.Glob(filepath.Join(e.CacheDir, "*", "chunk-*"))
	require.NoError(t, err)
	require.NotEmpty(t, kept)

	e.Devices = b.NumDevices() + 1
	e.Data = tiny.Noise{N: 40}
	_, err = e.Extract(t.Context())
	require.ErrorContains(t, err, "devices were asked for, but the backend has")
}

// In bfloat16 the contributions differ slightly from those in float32, and have their own store.
func TestExtractBFloat16(t *testing.T) {
	e := extraction.Extraction{Backend: tiny.Backend(t), Model: tiny.Model(t), Data: tiny.Noise{N: 6}, Batch: 4, CacheDir: t.TempDir()}
	store, err := e.Extract(t.Context())
	require.NoError(t, err)
	exact := byPicture(t, all(t, store))
	e.Model = e.Model.InBFloat16()
	narrow, err := e.Extract(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, store.Dir(), narrow.Dir())
	differ := false
	for i, r := range byPicture(t, all(t, narrow)) {
		require.InDeltaSlice(t, exact[i].representation, r.representation, 0.1)
		for j := range r.representation {
			differ = differ || r.representation[j] != exact[i].representation[j]
		}
	}
	require.True(t, differ, "bfloat16 changed nothing")
}

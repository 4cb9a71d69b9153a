//go:build linux

package extraction_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vitdecompose/data"
	"vitdecompose/data/picture"
	"vitdecompose/decompose"
	"vitdecompose/experiments/cache"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/tiny"
)

var faultSeeds = flag.Int("fault-seeds", 10, "how many extractions are killed at random")

// faultRun is an extraction that a separate process is to do.
type faultRun struct {
	Dir   string
	Keep  string
	Limit uint64 // bytes that a file may grow to, 0 for any
}

const faultEnv = "VITDECOMPOSE_TEST_FAULT"

// TestFaultProcess is not a test but what the processes of the other tests run.
func TestFaultProcess(t *testing.T) {
	text := os.Getenv(faultEnv)
	if text == "" {
		return
	}
	var run faultRun
	require.NoError(t, json.Unmarshal([]byte(text), &run))
	e := run.extraction(t) // which writes a file for the model
	if run.Limit > 0 {
		signal.Ignore(syscall.SIGXFSZ) // the write fails instead
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: run.Limit, Max: run.Limit}))
	}
	if _, err := e.Extract(t.Context()); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(3)
	}
}

func (r faultRun) extraction(t *testing.T) extraction.Extraction {
	t.Helper()
	return extraction.Extraction{
		Backend: tiny.Backend(t), Model: tiny.Model(t), Data: tiny.Noise{N: 40}, Batch: 2, CacheDir: r.Dir, Keep: r.Keep,
		Options: decompose.Options{Split: decompose.Heads},
	}
}

func (r faultRun) process(t *testing.T) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(r)
	require.NoError(t, err)
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFaultProcess$")
	c.Env = append(os.Environ(), faultEnv+"="+string(text))
	return c
}

// stored are the files of a cache that are not temporary.
func stored(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, ".tmp") {
			return err
		}
		content, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir)] = string(content)
		return err
	}))
	return files
}

// requireSound finds nothing half-written that is taken for whole.
func requireSound(t *testing.T, dir string) {
	t.Helper()
	entries, err := cache.List(dir)
	require.NoError(t, err)
	for _, e := range entries {
		require.Empty(t, e.Verify())
	}
}

// TestKill9AtRandomLeavesAnExtractionThatGoesOn kills extractions with SIGKILL at random moments until they are done.
func TestKill9AtRandomLeavesAnExtractionThatGoesOn(t *testing.T) {
	for _, keep := range []string{"float32", cache.BFloat16} {
		run := faultRun{Dir: t.TempDir(), Keep: keep}
		e := run.extraction(t)
		_, err := e.Extract(t.Context())
		require.NoError(t, err)
		want := stored(t, run.Dir)
		require.Len(t, want, 22, "20 chunks, the key and the manifest")
		for seed := range *faultSeeds / 2 {
			t.Run(fmt.Sprint(keep, seed), func(t *testing.T) {
				run := run
				run.Dir = t.TempDir()
				rng := rand.New(rand.NewPCG(uint64(seed), 2))
				// A kill every so many chunks: by the number of files, or some time after there is one more.
				for kills := 5; ; kills-- {
					p := run.process(t)
					require.NoError(t, p.Start())
					done := make(chan error, 1)
					go func() { done <- p.Wait() }()
					files, wait := len(stored(t, run.Dir))+rng.IntN(8), time.Duration(rng.IntN(3000))*time.Microsecond
					var err error
					for running := true; running; {
						select {
						case err = <-done:
							running = false
						case <-time.After(time.Millisecond):
							if found, _ := filepath.Glob(filepath.Join(run.Dir, "*", "*")); kills > 0 && len(found) >= files {
								time.Sleep(wait)
								p.Process.Kill() // may have ended already
								err = <-done
								running = false
							}
						}
					}
					requireSound(t, run.Dir)
					if err == nil {
						break
					}
					require.Equal(t, -1, p.ProcessState.ExitCode(), "not killed: %v", err)
				}
				require.Equal(t, want, stored(t, run.Dir))
			})
		}
	}
}

// TestFileSizeLimitEndsAnExtractionThatGoesOn has the writes of chunks fail.
func TestFileSizeLimitEndsAnExtractionThatGoesOn(t *testing.T) {
	run := faultRun{Dir: t.TempDir(), Limit: 2000}
	var stderr strings.Builder
	p := run.process(t)
	p.Stderr = &stderr
	require.Error(t, p.Run())
	require.Equal(t, 3, p.ProcessState.ExitCode(), stderr.String())
	require.Regexp(t, `^error: the cache cannot be written: .*: file too large; make room and run it again, .*\n$`, stderr.String())
	requireSound(t, run.Dir)
	e := run.extraction(t)
	_, err := e.Extract(t.Context())
	require.NoError(t, err)
	resumed := stored(t, run.Dir)
	e.CacheDir = t.TempDir()
	_, err = e.Extract(t.Context())
	require.NoError(t, err)
	require.Equal(t, stored(t, e.CacheDir), resumed)
}

// photos writes pictures into a folder of one class.
func photos(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "class"), 0o777))
	for i := range n {
		img := image.NewRGBA(image.Rect(0, 0, tiny.Side, tiny.Side))
		rng := rand.New(rand.NewPCG(5, uint64(i)))
		for y := range tiny.Side {
			for x := range tiny.Side {
				img.Set(x, y, color.RGBA{byte(rng.IntN(256)), byte(rng.IntN(256)), byte(rng.IntN(256)), 255})
			}
		}
		file, err := os.Create(photo(dir, i))
		require.NoError(t, err)
		require.NoError(t, png.Encode(file, img))
		require.NoError(t, file.Close())
	}
	return dir
}

func photo(dir string, i int) string { return filepath.Join(dir, "class", fmt.Sprintf("%02d.png", i)) }

// watchedData tells before its first picture is read.
type watchedData struct {
	data.Dataset
	first func()
}

func (d watchedData) Picture(i int) (*picture.Picture, error) {
	d.first()
	return d.Dataset.Picture(i)
}

// TestPictureVanishesMidRun removes a file while others are decomposed. The run ends with its name, or goes on without it
// where that is allowed; and when the file is back, nothing is lost.
func TestPictureVanishesMidRun(t *testing.T) {
	testMissingPicture(t, func(t *testing.T, file string) (back func()) {
		aside := file + ".aside"
		require.NoError(t, os.Rename(file, aside))
		return func() { require.NoError(t, os.Rename(aside, file)) }
	}, "no such file")
}

// TestPictureBecomesUnreadableMidRun takes away the right to read a file.
func TestPictureBecomesUnreadableMidRun(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	testMissingPicture(t, func(t *testing.T, file string) (back func()) {
		require.NoError(t, os.Chmod(file, 0))
		return func() { require.NoError(t, os.Chmod(file, 0o666)) }
	}, "permission denied")
}

// TestPictureIsADirectoryMidRun puts what cannot be read, by root either, in the place of a file.
func TestPictureIsADirectoryMidRun(t *testing.T) {
	testMissingPicture(t, func(t *testing.T, file string) (back func()) {
		aside := file + ".aside"
		require.NoError(t, os.Rename(file, aside))
		require.NoError(t, os.Mkdir(file, 0o777))
		return func() {
			require.NoError(t, os.Remove(file))
			require.NoError(t, os.Rename(aside, file))
		}
	}, "not a regular file")
}

func testMissingPicture(t *testing.T, take func(t *testing.T, file string) (back func()), says string) {
	model, b, dir := tiny.Model(t), tiny.Backend(t), photos(t, 60)
	extract := func(cacheDir string, maxBad int, first func()) (*cache.Store, []string, error) {
		ds, err := data.Open("folder:"+dir, data.Options{})
		require.NoError(t, err)
		var warnings []string
		e := extraction.Extraction{
			Backend: b, Model: model, Data: watchedData{ds, sync.OnceFunc(first)}, Batch: 2, MaxBad: maxBad, CacheDir: cacheDir,
			Warn: func(err error) { warnings = append(warnings, err.Error()) },
		}
		store, err := e.Extract(context.Background())
		return store, warnings, err
	}
	undisturbed := t.TempDir()
	_, _, err := extract(undisturbed, 0, func() {})
	require.NoError(t, err)
	want := stored(t, undisturbed)

	for _, maxBad := range []int{0, 1} {
		t.Run(fmt.Sprintf("%d may be left out", maxBad), func(t *testing.T) {
			cacheDir := t.TempDir()
			var back func()
			store, warnings, err := extract(cacheDir, maxBad, func() { back = take(t, photo(dir, 57)) })
			back()
			if maxBad == 0 {
				require.ErrorContains(t, err, photo(dir, 57))
				require.ErrorContains(t, err, says)
				require.NotContains(t, err.Error(), "\n")
			} else {
				require.NoError(t, err)
				require.Len(t, warnings, 1)
				require.Contains(t, warnings[0], photo(dir, 57))
				require.Equal(t, 1, store.LeftOut())
			}
			requireSound(t, cacheDir)
			_, _, err = extract(cacheDir, 0, func() {})
			require.NoError(t, err)
			require.Equal(t, want, stored(t, cacheDir))
		})
	}
}

//go:build linux

package cache

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var faultSeeds = flag.Int("fault-seeds", 10, "how many runs are killed at random, of each kind")

// faultRun is what a separate process is to do: put all chunks of a store.
type faultRun struct {
	Dir             string
	Pictures, Batch int
	Numbers         int    // of contributions of a picture
	Limit           uint64 // bytes that a file may grow to, 0 for any
	Wait            bool   // with the store open, once it is complete, until it is killed
}

const faultEnv = "VITDECOMPOSE_TEST_FAULT"

// TestFaultProcess is not a test but what the processes of the other tests run.
func TestFaultProcess(t *testing.T) {
	text := os.Getenv(faultEnv)
	if text == "" {
		return
	}
	var run faultRun
	if err := json.Unmarshal([]byte(text), &run); err != nil {
		t.Fatal(err)
	}
	if run.Limit > 0 {
		signal.Ignore(syscall.SIGXFSZ) // the write fails instead
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: run.Limit, Max: run.Limit}); err != nil {
			t.Fatal(err)
		}
	}
	if err := run.run(); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(3)
	}
}

func (r faultRun) key() Key {
	key := testKey()
	key.Pictures, key.Batch = r.Pictures, r.Batch
	return key
}

func (r faultRun) run() error {
	store, err := Open(r.Dir, r.key())
	if err != nil {
		return err
	}
	for _, first := range store.Missing() {
		if err := store.Put(r.chunk(first)); err != nil {
			return err
		}
	}
	err = store.Finish()
	for err == nil && r.Wait {
		time.Sleep(time.Hour)
	}
	return errors.Join(err, store.Close())
}

func (r faultRun) chunk(first int) Chunk {
	c := Chunk{First: first, Components: []string{"all"}}
	rng := rand.New(rand.NewPCG(uint64(first), 0))
	for i := first; i < min(first+r.Batch, r.Pictures); i++ {
		c.Index = append(c.Index, i)
		for range r.Numbers {
			c.Contributions = append(c.Contributions, rng.Float32())
		}
	}
	c.Representation = c.Contributions
	return c
}

// process runs it in a separate process.
func (r faultRun) process(t *testing.T) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFaultProcess$")
	c.Env = append(os.Environ(), faultEnv+"="+string(text))
	return c
}

// undisturbed runs it to its end, here, in another directory and returns the files.
func (r faultRun) undisturbed(t *testing.T) map[string]string {
	t.Helper()
	r.Dir, r.Limit = t.TempDir(), 0
	if err := r.run(); err != nil {
		t.Fatal(err)
	}
	return contents(t, r.Dir)
}

// contents are the files below a directory that are not temporary, by their paths in it.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || isTemporary(entry.Name()) {
			return err
		}
		content, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir)] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// wantContents compares files, byte for byte.
func wantContents(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	got := contents(t, dir)
	for name, content := range want {
		if got[name] != content {
			t.Errorf("%s has %d bytes, not the %d of an undisturbed run", name, len(got[name]), len(content))
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("%s is not there after an undisturbed run", name)
	}
}

// wantSound checks that nothing half-written is taken for whole.
func wantSound(t *testing.T, dir string) {
	t.Helper()
	entries, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if wrong := e.Verify(); len(wrong) > 0 {
			t.Fatal(errors.Join(wrong...))
		}
	}
}

// temporaries lists the temporary files of the stores in a directory.
func temporaries(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", temporaryPrefix+"*"+temporarySuffix))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// written is how many bytes the files below a directory have now.
func written(dir string) (bytes int64) {
	// What disappears meanwhile does not count.
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			if info, err := entry.Info(); err == nil {
				bytes += info.Size()
			}
		}
		return nil
	})
	return bytes
}

// killed runs it, and kills it with SIGKILL at random moments, until it is done: after some time, or when the files have
// grown by some number of bytes.
func (r faultRun) killed(t *testing.T, rng *rand.Rand, whole int64, kills int) {
	t.Helper()
	for ; ; kills-- {
		p := r.process(t)
		var stderr bytes.Buffer
		p.Stderr = &stderr
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- p.Wait() }()
		until := time.Now().Add(time.Duration(rng.Int64N(int64(60 * time.Millisecond))))
		size := written(r.Dir) + rng.Int64N(whole/3)
		byTime := rng.IntN(2) == 0
		var err error
		for running := true; running; {
			select {
			case err = <-done:
				running = false
			case <-time.After(100 * time.Microsecond):
				if kills > 0 && (byTime && time.Now().After(until) || !byTime && written(r.Dir) >= size) {
					p.Process.Kill() // may have ended already
					err = <-done
					running = false
				}
			}
		}
		wantSound(t, r.Dir)
		if err == nil {
			return
		}
		if p.ProcessState.ExitCode() != -1 { // not killed
			t.Fatalf("%v: %s", err, stderr.String())
		}
	}
}

func TestKill9AtRandomLeavesAStoreThatGoesOn(t *testing.T) {
	run := faultRun{Pictures: 24, Batch: 2, Numbers: 30_000}
	want := run.undisturbed(t)
	whole := int64(0)
	for _, content := range want {
		whole += int64(len(content))
	}
	for seed := range *faultSeeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			run := run
			run.Dir = t.TempDir()
			run.killed(t, rand.New(rand.NewPCG(uint64(seed), 1)), whole, 8)
			wantContents(t, run.Dir, want)
			t.Logf("%d half-written files", len(temporaries(t, run.Dir)))

			// What killed runs left behind goes when it is old, although the store is complete.
			long := time.Now().Add(-2 * abandoned)
			for _, file := range temporaries(t, run.Dir) {
				if err := os.Chtimes(file, long, long); err != nil {
					t.Fatal(err)
				}
			}
			if err := run.run(); err != nil {
				t.Fatal(err)
			}
			if left := temporaries(t, run.Dir); left != nil {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// wantDiskFull checks the one line that says so.
func wantDiskFull(t *testing.T, message, says string) {
	t.Helper()
	if strings.Count(message, "\n") > 0 || !strings.Contains(message, "the cache cannot be written") || !strings.Contains(message, says) ||
		!strings.Contains(message, "make room") || !strings.Contains(message, DirVariable) {
		t.Errorf("error %q, want one line that says %q and what to do", message, says)
	}
}

// A file may not grow beyond a limit: the writes of the key, of a chunk or of the manifest fail.
func TestFileSizeLimitEndsARunThatGoesOn(t *testing.T) {
	for name, c := range map[string]struct {
		run    faultRun
		chunks int // that are whole
	}{
		"at the key":      {faultRun{Pictures: 4, Batch: 2, Numbers: 10, Limit: 100}, 0},
		"in a chunk":      {faultRun{Pictures: 5, Batch: 4, Numbers: 4000, Limit: 50_000}, 0}, // 4 pictures take 128 KB, 1 takes 32
		"in the manifest": {faultRun{Pictures: 60, Batch: 1, Numbers: 10, Limit: 4096}, 60},
	} {
		t.Run(name, func(t *testing.T) {
			run := c.run
			run.Dir = t.TempDir()
			var stderr bytes.Buffer
			p := run.process(t)
			p.Stderr = &stderr
			if err := p.Run(); err == nil || p.ProcessState.ExitCode() != 3 {
				t.Fatalf("%v: %s", err, stderr.String())
			}
			wantDiskFull(t, strings.TrimSpace(stderr.String()), syscall.EFBIG.Error())
			wantSound(t, run.Dir)
			if left := temporaries(t, run.Dir); left != nil {
				t.Errorf("left behind: %v", left)
			}
			chunks := 0
			for file := range contents(t, run.Dir) {
				if strings.Contains(file, "chunk-") {
					chunks++
				}
				if filepath.Base(file) == manifestFile {
					t.Errorf("%s of a store that is not complete", file)
				}
			}
			if chunks != c.chunks {
				t.Errorf("%d chunks, want %d", chunks, c.chunks)
			}
			run.Limit = 0
			if err := run.run(); err != nil {
				t.Fatal(err)
			}
			wantContents(t, run.Dir, run.undisturbed(t))
		})
	}
}

// A file system of one megabyte is full after some chunks. When it has grown, the run goes on.
func TestDiskFullEndsARunThatGoesOn(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a file system of one's own cannot be mounted: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	run := faultRun{Dir: dir, Pictures: 24, Batch: 2, Numbers: 10_000}
	err := run.run()
	if err == nil {
		t.Fatal("no error")
	}
	wantDiskFull(t, err.Error(), syscall.ENOSPC.Error())
	wantSound(t, dir)
	if left := temporaries(t, dir); left != nil {
		t.Errorf("left behind: %v", left)
	}
	if written(dir) < 500_000 {
		t.Errorf("%d bytes are kept of a megabyte", written(dir))
	}
	err = run.run()
	if err == nil {
		t.Fatal("no error although the disk is still full")
	}
	wantDiskFull(t, err.Error(), syscall.ENOSPC.Error())
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	if err := run.run(); err != nil {
		t.Fatal(err)
	}
	wantContents(t, dir, run.undisturbed(t))
}

// When the clock jumps ahead, stores look as if they had not been used for long. Those that a process has open stay.
func TestClockJumpsAheadPruneLeavesWhatIsInUse(t *testing.T) {
	run := faultRun{Dir: t.TempDir(), Pictures: 4, Batch: 2, Numbers: 10, Wait: true}
	p := run.process(t)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	defer p.Process.Kill()
	var store Entry
	for deadline := time.Now().Add(time.Minute); !store.Complete; time.Sleep(time.Millisecond) {
		entries, err := List(run.Dir)
		if err != nil || time.Now().After(deadline) {
			t.Fatal("no store", err)
		}
		if len(entries) == 1 {
			store = entries[0]
		}
	}
	long := time.Now().Add(-1000 * time.Hour)
	for _, file := range list(t, store.Dir) {
		if err := os.Chtimes(filepath.Join(store.Dir, file), long, long); err != nil {
			t.Fatal(err)
		}
	}
	if removed, err := Prune(run.Dir, time.Hour); err != nil || removed != nil {
		t.Errorf("Prune = %v, %v while a process has the store open", removed, err)
	}
	p.Process.Kill()
	p.Wait() // killed
	if removed, err := Prune(run.Dir, time.Hour); err != nil || len(removed) != 1 {
		t.Errorf("Prune = %v, %v after the process has ended", removed, err)
	}
	// The next run begins anew.
	run.Wait = false
	if err := run.run(); err != nil {
		t.Fatal(err)
	}
	wantContents(t, run.Dir, run.undisturbed(t))
}

// When the clock was ahead and is set back, what was written meanwhile is from the future.
func TestClockSetBack(t *testing.T) {
	run := faultRun{Dir: t.TempDir(), Pictures: 4, Batch: 2, Numbers: 10}
	if err := run.run(); err != nil {
		t.Fatal(err)
	}
	want := contents(t, run.Dir)
	hash, err := run.key().Hash()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(run.Dir, hash)
	half := filepath.Join(dir, temporaryPrefix+"chunk-x"+temporarySuffix)
	if err := os.WriteFile(half, []byte("half"), 0o666); err != nil {
		t.Fatal(err)
	}
	future := time.Now().Add(20 * 365 * 24 * time.Hour)
	for _, file := range list(t, dir) {
		if err := os.Chtimes(filepath.Join(dir, file), future, future); err != nil {
			t.Fatal(err)
		}
	}
	if err := run.run(); err != nil {
		t.Fatal(err)
	}
	wantContents(t, run.Dir, want)
	if left := temporaries(t, run.Dir); left != nil {
		t.Errorf("left behind: %v", left)
	}
	if removed, err := Prune(run.Dir, time.Hour); err != nil || removed != nil {
		t.Errorf("Prune of a store used just now = %v, %v", removed, err)
	}
	if removed, err := Prune(run.Dir, 0); err != nil || len(removed) != 1 {
		t.Errorf("Prune of all = %v, %v", removed, err)
	}
}

// When the clock jumps ahead while a chunk is written, another process takes its temporary file for abandoned.
func TestClockJumpsAheadATemporaryFileIsRemovedWhileItIsWritten(t *testing.T) {
	run := faultRun{Dir: t.TempDir(), Pictures: 30, Batch: 1, Numbers: 100_000}
	want := run.undisturbed(t)
	store, err := Open(run.Dir, run.key())
	if err != nil {
		t.Fatal(err)
	}
	removed := 0
	for _, first := range store.Missing() {
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
				}
				for _, file := range temporaries(t, run.Dir) {
					if os.Remove(file) == nil {
						removed++
						return // a clock does not jump twice in a moment
					}
				}
			}
		}()
		err := store.Put(run.chunk(first))
		close(stop)
		<-stopped
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d chunks lost their temporary file", removed, run.Pictures)
	if err := store.Finish(); err != nil {
		t.Fatal(err)
	}
	wantContents(t, run.Dir, want)
}

// A prune of another process, between two openings, does not hurt who opens.
func TestPruneWhileStoresAreOpened(t *testing.T) {
	dir := t.TempDir()
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if _, err := Prune(dir, 0); err != nil {
				stopped <- err
				return
			}
		}
	}()
	run := faultRun{Dir: dir, Pictures: 4, Batch: 2, Numbers: 10}
	for range 100 {
		if err := run.run(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
}

// A picture that was left out because it was not there for a moment is taken when fewer may be left out.
func TestPictureThatWasLeftOutComesBack(t *testing.T) {
	dir := t.TempDir()
	whole(t, dir) // without picture 5
	store := open(t, dir)
	wantMissing(t, store)
	if got := store.LeftOut(); got != 1 {
		t.Errorf("%d pictures are left out, want 1", got)
	}
	store.RejectLeftOut()
	wantMissing(t, store, 4)
	put(t, store, 4) // it is still not there
	wantWhole(t, store)

	store.RejectLeftOut()
	repaired := Chunk{First: 4, Index: []int{4, 5, 6, 7}, Components: testChunk(4).Components, Contributions: make([]float32, 24), Representation: make([]float32, 12), Logits: make([]float32, 8)}
	if err := store.Put(repaired); err != nil {
		t.Fatal(err)
	}
	if err := store.Finish(); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir)
	if got := again.LeftOut(); got != 0 || len(again.Missing()) > 0 {
		t.Errorf("%d pictures are left out, %v missing", got, again.Missing())
	}
	chunk, err := again.Chunk(4)
	if diff := cmp.Diff(repaired, chunk); err != nil || diff != "" {
		t.Errorf("error %v, chunk (-want +got):\n%s", err, diff)
	}
	wantSound(t, dir)
	if files, err := filepath.Glob(filepath.Join(store.Dir(), "chunk-00000004-*")); err != nil || len(files) != 1 {
		t.Errorf("files of the chunk: %v, %v; want one", files, err)
	}
}

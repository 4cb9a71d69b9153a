package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vitdecompose/gomlxvit/safetensors"
)

// testKey is of 10 pictures in chunks of 4: 0, 4 and 8.
func testKey() Key {
	return Key{
		Checkpoint: "c0", Data: "d0", Pictures: 10, Batch: 4,
		Preprocess: struct{ Size [2]int }{[2]int{64, 64}},
		Blocks:     "0..5", Split: "heads", Bias: "const", DType: "F32", Backend: "xla:cpu",
		Code: "1", Libraries: map[string]string{"gomlx": "v0.28.0"},
	}
}

var testFirsts = []int{0, 4, 8}

// testChunk is 2 components of dimension 3, with 2 classes; picture 5 could not be read.
func testChunk(first int) Chunk {
	c := Chunk{First: first, Components: []string{"init", "layer:00, mlp"}}
	for i := first; i < min(first+4, 10); i++ {
		if i != 5 {
			c.Index = append(c.Index, i)
		}
	}
	fill := func(n, from int) []float32 {
		numbers := make([]float32, n)
		for i := range numbers {
			numbers[i] = float32(first*1000+from+i) / 7
		}
		return numbers
	}
	n := len(c.Index)
	c.Contributions, c.Representation, c.Logits = fill(2*n*3, 0), fill(n*3, 100), fill(n*2, 200)
	return c
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	store, err := Open(dir, testKey())
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func put(t *testing.T, store *Store, firsts ...int) {
	t.Helper()
	for _, first := range firsts {
		if err := store.Put(testChunk(first)); err != nil {
			t.Fatal(err)
		}
	}
}

// whole fills a new store and returns its directory and the names of its chunks.
func whole(t *testing.T, dir string) (storeDir string, chunks []string) {
	t.Helper()
	store := open(t, dir)
	put(t, store, testFirsts...)
	if err := errors.Join(store.Finish(), store.Close()); err != nil {
		t.Fatal(err)
	}
	for _, file := range list(t, store.Dir()) {
		if strings.HasPrefix(file, "chunk-") {
			chunks = append(chunks, file)
		}
	}
	return store.Dir(), chunks
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// wantWhole checks that the store holds every chunk as testChunk makes it.
func wantWhole(t *testing.T, store *Store) {
	t.Helper()
	if missing := store.Missing(); len(missing) > 0 {
		t.Errorf("missing %v", missing)
	}
	var got []Chunk
	for chunk, err := range store.Chunks() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, chunk)
	}
	if diff := cmp.Diff([]Chunk{testChunk(0), testChunk(4), testChunk(8)}, got); diff != "" {
		t.Errorf("chunks (-want +got):\n%s", diff)
	}
}

func wantMissing(t *testing.T, store *Store, want ...int) {
	t.Helper()
	if got := store.Missing(); !slices.Equal(got, want) {
		t.Fatalf("missing chunks %v, want %v", got, want)
	}
}

func TestStore(t *testing.T) {
	dir := t.TempDir()
	store := open(t, dir)
	wantMissing(t, store, 0, 4, 8)
	put(t, store, 4)
	wantMissing(t, store, 0, 8)
	if !store.Done(4) || store.Done(0) || store.Done(3) || store.Done(12) || store.Done(-4) {
		t.Error("Done is not true of 4 alone")
	}
	if err := store.Finish(); err == nil || !strings.Contains(err.Error(), "2 chunks are missing, the first is that of picture 0") {
		t.Errorf("Finish of an incomplete store: %v", err)
	}
	for _, err := range store.Chunks() {
		if err == nil || !strings.Contains(err.Error(), "the chunk of picture 0 is missing") {
			t.Errorf("Chunks of an incomplete store: %v", err)
		}
	}
	put(t, store, 8, 0, 0)
	wantWhole(t, store)
	if err := store.Finish(); err != nil {
		t.Fatal(err)
	}

	again := open(t, dir)
	wantWhole(t, again)
	if err := again.Finish(); err != nil {
		t.Error(err)
	}
	if why := again.Rejected(); why != nil {
		t.Errorf("rejected %v", why)
	}
	if files := list(t, store.Dir()); len(files) != 5 {
		t.Errorf("files %v, want three chunks, the key and the manifest", files)
	}
	entries, err := List(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("List = %v, %v", entries, err)
	}
	if e := entries[0]; !e.Complete || e.Chunks != 3 || e.Key.Checkpoint != "c0" || e.Bytes == 0 || e.Dir != store.Dir() {
		t.Errorf("entry %+v", e)
	}
	if wrong := entries[0].Verify(); wrong != nil {
		t.Errorf("Verify: %v", wrong)
	}

	// Reading stops where the reader wants to.
	for chunk := range again.Chunks() {
		if chunk.Dim() != 3 || chunk.Classes() != 2 {
			t.Errorf("dimension %d, %d classes, want 3, 2", chunk.Dim(), chunk.Classes())
		}
		break
	}
}

// What a killed run left is cleared away by the next one, unless others have the store in use.
func TestAlone(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	left := filepath.Join(first.Dir(), ".chunk-1.tmp")
	if err := os.WriteFile(left, []byte("half a chu"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := open(t, dir)
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary file of a run that has ended is still there: %v", err)
	}
	put(t, second, 0, 4, 8)
	wantWhole(t, second)
}

// A store whose key.json is damaged, or is another's, is not good: cache list shows what it says.
func TestVerifyKey(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, 0, 4, 8)
	path := filepath.Join(s.Dir(), keyFile)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ content, want string }{
		{string(good), ""},
		{"{", "unexpected end"},
		{"{}", "damaged"},
		{strings.Replace(string(good), "\"pictures\": ", "\"pictures\": 1", 1), "damaged"},
	} {
		if err := os.WriteFile(path, []byte(c.content), 0o666); err != nil {
			t.Fatal(err)
		}
		entries, err := List(dir)
		if err != nil {
			t.Fatal(err)
		}
		wrong := errors.Join(entries[0].Verify()...)
		if c.want == "" && wrong != nil || c.want != "" && (wrong == nil || !strings.Contains(wrong.Error(), c.want) || !strings.Contains(wrong.Error(), path)) {
			t.Errorf("key.json %q: %v, want %q", c.content, wrong, c.want)
		}
	}
	runtime.KeepAlive(s)
}

// A run that was interrupted leaves whole chunks and perhaps a temporary file; the next one goes on.
func TestResume(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	put(t, first, 0)
	fresh := filepath.Join(first.Dir(), ".chunk-1.tmp")
	stale := filepath.Join(first.Dir(), ".chunk-2.tmp")
	for _, file := range []string{fresh, stale} {
		if err := os.WriteFile(file, []byte("half a chu"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * abandoned)
	if err := os.Chtimes(stale, long, long); err != nil {
		t.Fatal(err)
	}

	second := open(t, dir)
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the stale temporary file is still there: %v", err)
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("a temporary file that another run may be writing is gone: %v", err)
	}
	runtime.KeepAlive(first)
	wantMissing(t, second, 4, 8)
	put(t, second, 4, 8)
	wantWhole(t, second)
	if why := second.Rejected(); why != nil {
		t.Errorf("rejected %v", why)
	}
}

func TestDamage(t *testing.T) {
	edit := func(change func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, change(content), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := map[string]struct {
		damage func(t *testing.T, path string)
		why    string // "" when there is nothing to tell
	}{
		"truncated":    {edit(func(b []byte) []byte { return b[:len(b)-1] }), "damaged"},
		"empty":        {edit(func([]byte) []byte { return nil }), "damaged"},
		"grown":        {edit(func(b []byte) []byte { return append(b, 0) }), "damaged"},
		"flipped bit":  {edit(func(b []byte) []byte { b[len(b)-2] ^= 1; return b }), "damaged"},
		"flipped head": {edit(func(b []byte) []byte { b[20] ^= 1; return b }), "damaged"},
		"removed": {func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, ""},
		"a directory": {func(t *testing.T, path string) {
			if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o777)); err != nil {
				t.Fatal(err)
			}
		}, "not a file"},
		"a link to nowhere": {func(t *testing.T, path string) {
			if err := errors.Join(os.Remove(path), os.Symlink("nowhere", path)); err != nil {
				t.Fatal(err)
			}
		}, "no such file"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			storeDir, chunks := whole(t, dir)
			test.damage(t, filepath.Join(storeDir, chunks[1]))

			entries, err := List(dir)
			if err != nil {
				t.Fatal(err)
			}
			if wrong := entries[0].Verify(); len(wrong) != 1 || !strings.Contains(wrong[0].Error(), chunks[1]) {
				t.Errorf("Verify: %v, want an error for %s", wrong, chunks[1])
			}
			store := open(t, dir)
			wantMissing(t, store, 4)
			switch why := store.Rejected(); {
			case test.why == "" && why != nil:
				t.Errorf("rejected %v", why)
			case test.why != "" && (len(why) != 1 || !strings.Contains(why[0].Error(), test.why) || !strings.Contains(why[0].Error(), chunks[1])):
				t.Errorf("rejected %v, want %q of %s", why, test.why, chunks[1])
			}
			if name == "a directory" {
				return // nothing of ours: whoever made it removes it
			}
			put(t, store, 4)
			wantWhole(t, store)
			if err := store.Finish(); err != nil {
				t.Error(err)
			}
			wantWhole(t, open(t, dir))
		})
	}
}

// A chunk that goes bad between Missing and reading is an error, not numbers.
func TestDamageWhileOpen(t *testing.T) {
	dir := t.TempDir()
	storeDir, chunks := whole(t, dir)
	store := open(t, dir)
	wantMissing(t, store)
	if err := os.Truncate(filepath.Join(storeDir, chunks[1]), 100); err != nil {
		t.Fatal(err)
	}
	var read []int
	var failure error
	for chunk, err := range store.Chunks() {
		if err != nil {
			failure = err
			continue
		}
		read = append(read, chunk.First)
	}
	if !slices.Equal(read, []int{0}) || failure == nil || !strings.Contains(failure.Error(), chunks[1]) {
		t.Fatalf("read %v and then %v, want chunk 0 and an error about %s", read, failure, chunks[1])
	}
	wantMissing(t, store, 4)
	put(t, store, 4)
	wantWhole(t, store)
}

func TestManifestDamage(t *testing.T) {
	for name, content := range map[string]string{
		"missing":     "",
		"not JSON":    `{"key": `,
		"another key": `{"key": "00", "pictures": 10, "chunks": []}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			storeDir, _ := whole(t, dir)
			file := filepath.Join(storeDir, manifestFile)
			good, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if content == "" {
				err = os.Remove(file)
			} else {
				err = os.WriteFile(file, []byte(content), 0o666)
			}
			if err != nil {
				t.Fatal(err)
			}

			entries, err := List(dir)
			if err != nil {
				t.Fatal(err)
			}
			if entries[0].Complete {
				t.Error("complete without a good manifest")
			}
			if wrong := entries[0].Verify(); (len(wrong) == 0) != (content == "") {
				t.Errorf("Verify: %v", wrong)
			}
			store := open(t, dir)
			wantWhole(t, store)
			if err := store.Finish(); err != nil {
				t.Fatal(err)
			}
			if again, err := os.ReadFile(file); err != nil || string(again) != string(good) {
				t.Errorf("the manifest is now %q (%v), want what it was", again, err)
			}
		})
	}
}

// seal gives a file the name that its bytes have as the chunk of picture first.
func seal(t *testing.T, dir, file string, first int) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	name := chunkName(first, hex.EncodeToString(sum[:]))
	if err := os.Rename(filepath.Join(dir, file), filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
	return name
}

// Chunks whose bytes are sound but which do not belong where they lie.
func TestForeignChunks(t *testing.T) {
	tests := map[string]struct {
		change func(c *Chunk, keyHash *string, first *int)
		why    string
	}{
		"of another key":       {func(_ *Chunk, keyHash *string, _ *int) { *keyHash = "00" }, "another key"},
		"of another place":     {func(_ *Chunk, _ *string, first *int) { *first = 8 }, `the chunk of picture "4", not of 8`},
		"out of range":         {func(c *Chunk, _ *string, _ *int) { c.Index = []int{4, 6, 8} }, "picture 8 in the chunk of 4 to 7"},
		"out of order":         {func(c *Chunk, _ *string, _ *int) { c.Index = []int{6, 4, 7} }, "picture 4"},
		"negative":             {func(c *Chunk, _ *string, _ *int) { c.Index = []int{-1, 4, 7} }, "picture -1"},
		"of another split":     {func(c *Chunk, _ *string, _ *int) { c.Components = []string{"init", "layer:00, attns"} }, "unlike"},
		"without a head":       {func(c *Chunk, _ *string, _ *int) { c.Logits = nil }, "unlike"},
		"not where chunks are": {func(c *Chunk, _ *string, first *int) { c.First, *first = 3, 3 }, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			store := open(t, dir)
			put(t, store, 0)
			chunk, first := testChunk(4), 4
			keyHash := store.hash
			test.change(&chunk, &keyHash, &first)
			file, err := chunk.write(store.Dir(), keyHash, "")
			if err != nil {
				t.Fatal(err)
			}
			if first != 4 {
				file = seal(t, store.Dir(), file, first)
			}

			store = open(t, dir)
			wantMissing(t, store, 4, 8)
			why := store.Rejected()
			if test.why == "" {
				if why != nil { // never asked for, so never looked into
					t.Errorf("rejected %v", why)
				}
			} else if len(why) != 1 || !strings.Contains(why[0].Error(), test.why) || !strings.Contains(why[0].Error(), file) {
				t.Errorf("rejected %v, want %q of %s", why, test.why, file)
			}
			put(t, store, 4, 8)
			wantWhole(t, store)
			if _, err := os.Stat(filepath.Join(store.Dir(), file)); test.why != "" && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the foreign chunk is still there: %v", err)
			}
		})
	}
}

// Files that are no chunks at all, under the name of one.
func TestMalformedChunks(t *testing.T) {
	f32 := func(name string, shape ...int) safetensors.Tensor {
		n := 1
		for _, d := range shape {
			n *= d
		}
		return safetensors.Tensor{Name: name, Shape: shape, Data: make([]float32, n)}
	}
	index := safetensors.Tensor{Name: "index", Shape: []int{1}, Data: []int64{0}}
	hash, err := testKey().Hash()
	if err != nil {
		t.Fatal(err)
	}
	metadata := map[string]string{"key": hash, "first": "0", "components": `["init"]`}
	tests := map[string]struct {
		metadata map[string]string
		tensors  []safetensors.Tensor
		why      string
	}{
		"good":                   {metadata, []safetensors.Tensor{f32("contributions", 1, 1, 3), f32("representation", 1, 3), index}, ""},
		"no metadata":            {nil, []safetensors.Tensor{index}, "another key"},
		"names are not a list":   {map[string]string{"key": hash, "first": "0", "components": `"init"`}, []safetensors.Tensor{index}, "component names"},
		"no contributions":       {metadata, []safetensors.Tensor{f32("representation", 1, 3), index}, "no tensor contributions"},
		"empty components":       {map[string]string{"key": hash, "first": "0", "components": "[]"}, []safetensors.Tensor{f32("contributions", 0, 1, 3), f32("representation", 1, 3), index}, "contributions of shape [0 1 3]"},
		"dimension 0":            {metadata, []safetensors.Tensor{f32("contributions", 1, 1, 0), f32("representation", 1, 0), index}, "contributions of shape [1 1 0]"},
		"flat contributions":     {metadata, []safetensors.Tensor{f32("contributions", 3), index}, "no tensor contributions"},
		"too many components":    {metadata, []safetensors.Tensor{f32("contributions", 2, 1, 3), f32("representation", 1, 3), index}, "contributions of shape [2 1 3]"},
		"no representation":      {metadata, []safetensors.Tensor{f32("contributions", 1, 1, 3), index}, "no tensor representation"},
		"another dimension":      {metadata, []safetensors.Tensor{f32("contributions", 1, 1, 3), f32("representation", 1, 4), index}, "representation of shape [1 4]"},
		"no index":               {metadata, []safetensors.Tensor{f32("contributions", 1, 1, 3), f32("representation", 1, 3)}, "no tensor index"},
		"index of floats":        {metadata, []safetensors.Tensor{f32("contributions", 1, 1, 3), f32("representation", 1, 3), f32("index", 1)}, "index"},
		"logits of two":          {metadata, []safetensors.Tensor{f32("contributions", 1, 1, 3), f32("representation", 1, 3), index, f32("logits", 2, 5)}, "logits of shape [2 5]"},
		"flat logits":            {metadata, []safetensors.Tensor{f32("contributions", 1, 1, 3), f32("representation", 1, 3), index, f32("logits", 5)}, "logits of shape [5]"},
		"more than there may be": {metadata, []safetensors.Tensor{f32("contributions", 1, 1, 3), f32("representation", 1, 3), index, f32("more", 1)}, "tensor more"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := safetensors.Write(filepath.Join(dir, "x"), test.metadata, test.tensors); err != nil {
				t.Fatal(err)
			}
			file, err := openChunk(dir, seal(t, dir, "x", 0), hash, "")
			if err == nil {
				err = file.Close()
			}
			if test.why == "" && err != nil || test.why != "" && (err == nil || !strings.Contains(err.Error(), test.why)) {
				t.Errorf("error %v, want %q", err, test.why)
			}
		})
	}
}

func TestPutRefuses(t *testing.T) {
	tests := map[string]struct {
		spoil func(*Chunk)
		want  string
	}{
		"not at a chunk":   {func(c *Chunk) { c.First = 2 }, "multiple of 4 below 10"},
		"beyond the end":   {func(c *Chunk) { c.First = 12 }, "multiple of 4 below 10"},
		"before the start": {func(c *Chunk) { c.First = -4 }, "multiple of 4 below 10"},
		"of the next":      {func(c *Chunk) { c.Index[2] = 8 }, "picture 8 in the chunk of 4 to 7"},
		"twice":            {func(c *Chunk) { c.Index[1] = c.Index[0] }, "after picture 4"},
		"nameless":         {func(c *Chunk) { c.Components = nil }, "no components"},
		"one name more":    {func(c *Chunk) { c.Components = append(c.Components, "const") }, "want 3 components x 3 pictures x 3"},
		"short":            {func(c *Chunk) { c.Contributions = c.Contributions[1:] }, "17 numbers of contributions"},
		"unrepresented":    {func(c *Chunk) { c.Representation = nil }, "no representation"},
		"ragged":           {func(c *Chunk) { c.Representation = append(c.Representation, 1) }, "10 numbers for 3 pictures"},
		"ragged logits":    {func(c *Chunk) { c.Logits = c.Logits[1:] }, "5 logits for 3 pictures"},
		"unlike the first": {func(c *Chunk) { c.Logits = nil }, "unlike"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			store := open(t, t.TempDir())
			put(t, store, 0)
			chunk := testChunk(4)
			test.spoil(&chunk)
			if err := store.Put(chunk); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			wantMissing(t, store, 4, 8)
			put(t, store, 4, 8)
			wantWhole(t, store)
		})
	}
}

// All pictures of a chunk may be unreadable.
func TestEmptyChunk(t *testing.T) {
	dir := t.TempDir()
	empty := Chunk{First: 0, Components: testChunk(0).Components}
	store := open(t, dir)
	if err := store.Put(empty); err != nil {
		t.Fatal(err)
	}
	put(t, store, 4, 8)
	if err := store.Finish(); err != nil {
		t.Fatal(err)
	}
	store = open(t, dir)
	wantMissing(t, store)
	var pictures []int
	for chunk, err := range store.Chunks() {
		if err != nil {
			t.Fatal(err)
		}
		pictures = append(pictures, chunk.Index...)
	}
	if want := []int{4, 6, 7, 8, 9}; !slices.Equal(pictures, want) {
		t.Errorf("pictures %v, want %v", pictures, want)
	}
}

// Many goroutines and two stores of one directory, as two processes have them.
func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	stores := []*Store{open(t, dir), open(t, dir)}
	var group sync.WaitGroup
	failures := make(chan error, 100)
	for _, store := range stores {
		for range 3 {
			group.Go(func() {
				for _, first := range store.Missing() {
					failures <- store.Put(testChunk(first))
				}
				failures <- store.Finish()
			})
		}
	}
	group.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			t.Error(err)
		}
	}
	for _, store := range append(stores, open(t, dir)) {
		wantWhole(t, store)
		if why := store.Rejected(); why != nil {
			t.Errorf("rejected %v", why)
		}
	}
	if files := list(t, stores[0].Dir()); len(files) != 5 {
		t.Errorf("files %v, want three chunks, the key and the manifest", files)
	}
}

// What another process has put in the meantime is found.
func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	ours, theirs := open(t, dir), open(t, dir)
	wantMissing(t, ours, 0, 4, 8)
	put(t, theirs, 0, 4)
	wantMissing(t, ours, 8)
	put(t, ours, 8)
	wantMissing(t, theirs)
	wantWhole(t, ours)
	wantWhole(t, theirs)
}

// A directory that takes long to scan is not scanned for every chunk that is asked for.
func TestSlowScan(t *testing.T) {
	dir := t.TempDir()
	ours, theirs := open(t, dir), open(t, dir)
	put(t, theirs, 4)
	ours.scanTook = time.Hour
	wantMissing(t, ours, 0, 4, 8)
	put(t, ours, 4) // what is there already is written again
	wantMissing(t, ours, 0, 8)
	put(t, theirs, 8)
	ours.scanTook = 0
	wantMissing(t, ours, 0)
}

// Backends that round differently from run to run make two files of one chunk; everybody takes the same.
func TestTwoVersionsOfAChunk(t *testing.T) {
	dir := t.TempDir()
	store := open(t, dir)
	other := testChunk(4)
	other.Logits[0]++
	for _, c := range []Chunk{testChunk(4), other} {
		if _, err := c.write(store.Dir(), store.hash, ""); err != nil {
			t.Fatal(err)
		}
	}
	put(t, store, 0, 8)
	read := func() []Chunk {
		var chunks []Chunk
		for chunk, err := range open(t, dir).Chunks() {
			if err != nil {
				t.Fatal(err)
			}
			chunks = append(chunks, chunk)
		}
		return chunks
	}
	first := read()
	if diff := cmp.Diff(first, read()); diff != "" {
		t.Errorf("another process reads other chunks (-first +second):\n%s", diff)
	}
	// When the one goes bad, the other is as good.
	name, _ := store.candidate(4)
	if name == "" {
		if !store.Done(4) {
			t.Fatal("no chunk of 4")
		}
		name, _ = store.candidate(4)
	}
	if err := os.Truncate(filepath.Join(store.Dir(), name), 10); err != nil {
		t.Fatal(err)
	}
	second := open(t, dir)
	wantMissing(t, second)
	if why := second.Rejected(); len(why) != 1 {
		t.Errorf("rejected %v, want the truncated one", why)
	}
}

func TestKey(t *testing.T) {
	hash := func(k Key) string {
		t.Helper()
		h, err := k.Hash()
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	seen := map[string]string{hash(testKey()): "the key itself"}
	if again := hash(testKey()); seen[again] == "" {
		t.Error("the same key has another hash")
	}
	for name, change := range map[string]func(*Key){
		"checkpoint":     func(k *Key) { k.Checkpoint = "c1" },
		"data":           func(k *Key) { k.Data = "d1" },
		"pictures":       func(k *Key) { k.Pictures = 11 },
		"batch":          func(k *Key) { k.Batch = 5 },
		"preprocess":     func(k *Key) { k.Preprocess = struct{ Size [2]int }{[2]int{64, 65}} },
		"blocks":         func(k *Key) { k.Blocks = "1..5" },
		"split":          func(k *Key) { k.Split = "attns" },
		"bias":           func(k *Key) { k.Bias = "shared" },
		"dtype":          func(k *Key) { k.DType = "F64" },
		"backend":        func(k *Key) { k.Backend = "go" },
		"code":           func(k *Key) { k.Code = "2" },
		"libraries":      func(k *Key) { k.Libraries = map[string]string{"gomlx": "v0.29.0"} },
		"one library on": func(k *Key) { k.Libraries["go-xla"] = "v0.3.0" },
	} {
		k := testKey()
		change(&k)
		h := hash(k)
		if other, ok := seen[h]; ok {
			t.Errorf("a change of %s gives the hash of %s", name, other)
		}
		seen[h] = name
	}
	// Every field counts: with any of them at its zero value there is no hash.
	var fields map[string]json.RawMessage
	text, err := json.Marshal(testKey())
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	for field := range fields {
		rest := make(map[string]json.RawMessage)
		for name, value := range fields {
			if name != field {
				rest[name] = value
			}
		}
		text, err := json.Marshal(rest)
		if err != nil {
			t.Fatal(err)
		}
		var k Key
		if err := json.Unmarshal(text, &k); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Hash(); err == nil || !strings.Contains(strings.ToLower(err.Error()), "without "+field) {
			t.Errorf("a key without %s: %v", field, err)
		}
		if _, err := Open(t.TempDir(), k); err == nil {
			t.Errorf("a store without %s was opened", field)
		}
	}
	k := testKey()
	k.Preprocess = func() {}
	if _, err := k.Hash(); err == nil {
		t.Error("a key that JSON cannot hold has a hash")
	}
}

func TestAnotherKeyIsAnotherStore(t *testing.T) {
	dir := t.TempDir()
	whole(t, dir)
	key := testKey()
	key.Checkpoint = "c1"
	store, err := Open(dir, key)
	if err != nil {
		t.Fatal(err)
	}
	wantMissing(t, store, 0, 4, 8)
	wantWhole(t, open(t, dir))
}

func TestNotWritable(t *testing.T) {
	t.Run("a file in the way", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := Open(file, testKey())
		if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), DirVariable) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line that names %s and %s", err, file, DirVariable)
		}
	})
	t.Run("permissions", func(t *testing.T) {
		if os.Getuid() == 0 {
			t.Skip("root may write everywhere")
		}
		dir := t.TempDir()
		storeDir, _ := whole(t, dir)
		for _, d := range []string{storeDir, dir} {
			if err := os.Chmod(d, 0o555); err != nil {
				t.Fatal(err)
			}
			defer os.Chmod(d, 0o777)
		}
		store := open(t, dir) // complete: there is nothing to write
		wantWhole(t, store)
		if err := store.Finish(); err != nil {
			t.Error(err)
		}
		key := testKey()
		key.Code = "2"
		if _, err := Open(dir, key); err == nil || !strings.Contains(err.Error(), DirVariable) {
			t.Errorf("error %v, want one that names %s", err, DirVariable)
		}
	})
	t.Run("gone while open", func(t *testing.T) {
		store := open(t, t.TempDir())
		if err := os.RemoveAll(store.Dir()); err != nil {
			t.Fatal(err)
		}
		if err := store.Put(testChunk(0)); err == nil || !strings.Contains(err.Error(), store.Dir()) {
			t.Errorf("error %v, want one that names %s", err, store.Dir())
		}
		wantMissing(t, store, 0, 4, 8)
	})
}

func TestDir(t *testing.T) {
	home := t.TempDir()
	t.Setenv(DirVariable, home)
	if got, err := Dir(); err != nil || got != filepath.Join(home, "contributions") {
		t.Errorf("Dir() = %q, %v", got, err)
	}
	t.Setenv(DirVariable, "relative")
	if got, err := Dir(); err != nil || !filepath.IsAbs(got) {
		t.Errorf("Dir() = %q, %v, want an absolute path", got, err)
	}
	t.Setenv(DirVariable, "")
	users, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	if got, err := Dir(); err != nil || got != filepath.Join(users, "vitdecompose", "contributions") {
		t.Errorf("Dir() = %q, %v", got, err)
	}
}

func TestListAndPrune(t *testing.T) {
	if entries, err := List(filepath.Join(t.TempDir(), "none")); err != nil || entries != nil {
		t.Errorf("List of nothing = %v, %v", entries, err)
	}
	dir := t.TempDir()
	old, _ := whole(t, dir)
	key := testKey()
	key.Checkpoint = "c1"
	store, err := Open(dir, key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, store, 0)
	bystander := filepath.Join(dir, "notes.txt") // not ours
	if err := os.WriteFile(bystander, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-48 * time.Hour)
	for _, file := range list(t, old) {
		if err := os.Chtimes(filepath.Join(old, file), long, long); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := List(dir)
	if err != nil || len(entries) != 2 {
		t.Fatalf("List = %v, %v, want two", entries, err)
	}
	for _, e := range entries {
		if want := e.Dir == old; e.Complete != want {
			t.Errorf("%s complete: %v, want %v", e.Hash, e.Complete, want)
		}
	}

	used := open(t, dir) // no longer old
	for _, state := range []string{"in use", "just used"} {
		if removed, err := Prune(dir, 24*time.Hour); err != nil || removed != nil {
			t.Errorf("Prune of stores %s = %v, %v", state, removed, err)
		}
		used.Close()
	}
	if err := os.Chtimes(filepath.Join(old, keyFile), long, long); err != nil {
		t.Fatal(err)
	}
	removed, err := Prune(dir, 24*time.Hour)
	if err != nil || len(removed) != 1 || removed[0].Dir != old {
		t.Errorf("Prune = %v, %v, want %s", removed, err, old)
	}
	if got, want := list(t, dir), []string{filepath.Base(store.Dir()), "notes.txt"}; !slices.Equal(got, want) {
		t.Errorf("left %v, want %v", got, want)
	}
}

// Whatever lies under the name of a chunk: numbers of the right shape or an error.
func FuzzChunk(f *testing.F) {
	dir := f.TempDir()
	hash, err := testKey().Hash()
	if err != nil {
		f.Fatal(err)
	}
	for _, first := range testFirsts {
		name, err := testChunk(first).write(dir, hash, "")
		if err != nil {
			f.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		tensors, err := safetensors.New(bytes.NewReader(content), int64(len(content)), "fuzz")
		if err != nil {
			return
		}
		file := &chunkFile{tensors: tensors, first: 4}
		if file.readShape(hash, "") != nil || checkIndex(file.first, file.index, testKey()) != nil {
			return
		}
		chunk, err := file.read()
		if err != nil {
			return
		}
		if err := chunk.check(testKey()); err != nil {
			t.Errorf("read a chunk that could not have been put: %v", err)
		}
	})
}

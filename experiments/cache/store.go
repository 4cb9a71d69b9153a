package cache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"vitdecompose/data/atomicfile"
	"vitdecompose/gomlxvit/safetensors"
)

// Store is the directory of one decomposition. Its methods may be called from several goroutines.
type Store struct {
	dir  string
	key  Key
	hash string

	mu     sync.Mutex
	found  map[int][]string // by first picture: names of files that are not known to be bad
	good   map[int]bool     // by first picture: found[first][0] was looked into and is good
	kept   map[int]int      // by first picture: how many pictures the good chunk has
	bad    map[string]error // by name: why a file is not used
	common *shape           // what the good chunks have in common; nil before the first

	scanned  time.Time // when the last scan ended
	scanTook time.Duration

	// inUse is the directory, open and locked: [Prune] leaves it alone. The garbage collector closes it with the store.
	inUse *os.File
}

const (
	keyFile      = "key.json"
	manifestFile = "manifest.json"
)

// manifest says which files make a whole store.
type manifest struct {
	Key      string   `json:"key"` // hash
	Pictures int      `json:"pictures"`
	Chunks   []string `json:"chunks"` // file names, in order
}

// abandoned is the age from which on no process can still be writing a temporary file, where others have the store in
// use or the file system has no locks. A clock that jumps may
// make one look abandoned that is not: its writer finds that it is gone and writes it again.
const abandoned = 24 * time.Hour

// Open opens the store for key in dir, making what is missing of both. What the store holds is looked into by
// [Store.Done], [Store.Missing] and [Store.Chunks].
//
// A directory that cannot be written is an error, unless the store is complete.
func Open(dir string, key Key) (*Store, error) {
	hash, err := key.Hash()
	if err != nil {
		return nil, err
	}
	s := newStore(filepath.Join(dir, hash), key, hash)
	if s.inUse, err = use(s.dir, s.clearAll); err != nil {
		return nil, unwritable(err)
	}
	if err := s.scan(); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	if _, err := readManifest(s.dir, hash); err == nil {
		// The time tells Prune that the store is in use. A complete store may be one that others share and cannot
		// write, so it is no error if the time stays.
		_ = os.Chtimes(filepath.Join(s.dir, keyFile), time.Time{}, time.Now())
		_ = s.clear() // what a killed run left before another completed the store
		return s, nil
	}
	if err := s.clear(); err != nil {
		return nil, unwritable(err)
	}
	// Written even if it is there: what cannot be written should be known before hours of computing.
	if err := writeJSON(filepath.Join(s.dir, keyFile), key); err != nil {
		return nil, unwritable(err)
	}
	return s, nil
}

func newStore(dir string, key Key, hash string) *Store {
	return &Store{dir: dir, key: key, hash: hash, good: make(map[int]bool), kept: make(map[int]int), bad: make(map[string]error)}
}

// use makes the directory, if it is not there, and opens it so that it counts as in use until the file is closed. alone is
// called first where certainly nobody else has it in use.
func use(path string, alone func() error) (*os.File, error) {
	for {
		if err := os.MkdirAll(path, 0o777); err != nil {
			return nil, err
		}
		dir, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // pruned in this moment
		}
		if err != nil {
			return nil, err
		}
		if exclusive(dir) {
			_ = alone() // what cannot be removed does not hinder anybody
		}
		markInUse(dir) // waits for a process that is pruning it
		is, err := dir.Stat()
		if err != nil {
			return nil, errors.Join(err, dir.Close())
		}
		if there, err := os.Stat(path); err == nil && os.SameFile(is, there) {
			return dir, nil
		}
		if err := dir.Close(); err != nil {
			return nil, err
		}
	}
}

// scan looks for the chunk files in the directory. Their names come sorted, so every process takes the same of two.
func (s *Store) scan() error {
	start := time.Now()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.scanned, s.scanTook = time.Now(), time.Since(start) }()
	found := make(map[int][]string)
	for _, entry := range entries {
		first, _, ok := parseChunkName(entry.Name())
		if ok && s.bad[entry.Name()] == nil && !s.good[first] {
			found[first] = append(found[first], entry.Name())
		}
	}
	for first := range s.good {
		found[first] = s.found[first]
	}
	s.found = found
	return nil
}

// rescan is scan for what others have put meanwhile. Where that takes long, it waits until twenty times as long has passed,
// or a large store would spend its time on it: what two processes both compute is the same.
func (s *Store) rescan() error {
	s.mu.Lock()
	early := s.scanTook > time.Millisecond && time.Since(s.scanned) < 20*s.scanTook
	s.mu.Unlock()
	if early {
		return nil
	}
	return s.scan()
}

// clear removes temporary files that are so old that nobody can still be writing them.
func (s *Store) clear() error { return s.clearOlder(abandoned) }

// clearAll removes all temporary files: those of runs that were killed, where no other has the store in use.
func (s *Store) clearAll() error { return s.clearOlder(-1) }

func (s *Store) clearOlder(age time.Duration) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !isTemporary(entry.Name()) {
			continue
		}
		info, err := entry.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // renamed or removed by its writer
		}
		// A time far ahead was given by a clock that was wrong.
		if err == nil && time.Since(info.ModTime()).Abs() > age {
			err = removeIfThere(filepath.Join(s.dir, entry.Name()))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func writeJSON(path string, value any) error {
	return retryOnce(filepath.Dir(path), func() error {
		return atomicfile.Write(path, func(w io.Writer) error {
			encoder := json.NewEncoder(w)
			encoder.SetIndent("", "  ")
			return encoder.Encode(value)
		})
	})
}

// retryOnce writes into a directory, and once more if the temporary file disappears: when the clock jumps, another process may
// take it for abandoned.
func retryOnce(dir string, write func() error) error {
	err := write()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, gone := os.Stat(dir); gone != nil {
		return err
	}
	return write()
}

// unwritable is the error of a cache directory that cannot be written. err names the path.
func unwritable(err error) error {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) {
			return fmt.Errorf("the cache cannot be written: %w; make room and run it again, which goes on from here, or set %s to another directory", err, DirVariable)
		}
	}
	return fmt.Errorf("the cache cannot be written: %w; set %s to a directory that can", err, DirVariable)
}

func readManifest(dir, hash string) (manifest, error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if err != nil {
		return manifest{}, err
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return manifest{}, fmt.Errorf("%s: %w", filepath.Join(dir, manifestFile), err)
	}
	if m.Key != hash {
		return manifest{}, fmt.Errorf("%s: the manifest of another key, %q", filepath.Join(dir, manifestFile), m.Key)
	}
	return m, nil
}

// Close says that the store is no longer in use; otherwise the garbage collector does.
func (s *Store) Close() error { return s.inUse.Close() }

// Dir returns the directory of the store.
func (s *Store) Dir() string { return s.dir }

// firsts lists the first picture of every chunk.
func (s *Store) firsts() iter.Seq[int] {
	return func(yield func(int) bool) {
		for first := 0; first < s.key.Pictures; first += s.key.Batch {
			if !yield(first) {
				return
			}
		}
	}
}

// Done reports whether the chunk that begins with picture first is there and good, put by this process or another. The
// first time it is asked about a chunk it reads and hashes the file; why a bad one is not used is reported by
// [Store.Rejected].
func (s *Store) Done(first int) bool {
	if _, good := s.candidate(first); good {
		return true
	}
	return s.find(first, func(*chunkFile) error { return nil })
}

// find looks into the files that may be the chunk until one is good and can be used as use does. Those that are not are
// rejected.
func (s *Store) find(first int, use func(*chunkFile) error) bool {
	for scanned := false; ; {
		name, _ := s.candidate(first)
		if name == "" {
			if scanned || s.rescan() != nil { // a directory that cannot be read has no good chunk
				return false
			}
			scanned = true
			continue
		}
		// Not under the lock: this may take seconds.
		file, err := s.open(name)
		if err == nil {
			err = errors.Join(use(file), file.Close())
		}
		if err == nil {
			s.accept(first, name, len(file.index))
			return true
		}
		s.reject(first, name, err)
	}
}

// candidate returns the file that may be, or is, the chunk; "" if there is none.
func (s *Store) candidate(first int) (name string, good bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.found[first]) == 0 {
		return "", false
	}
	return s.found[first][0], s.good[first]
}

// accept makes a file the chunk, unless another is already.
func (s *Store) accept(first int, name string, kept int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.good[first] {
		s.found[first] = []string{name}
		s.good[first] = true
		s.kept[first] = kept
	}
}

// reject notes that a file is not used. It stays until a good one is put: another process may be writing that now, by
// the same name.
func (s *Store) reject(first int, name string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bad[name] = err
	if names := s.found[first]; len(names) > 0 && names[0] == name {
		s.found[first] = names[1:]
		delete(s.good, first)
	}
}

// open opens a chunk file and checks that it belongs with the good ones.
func (s *Store) open(name string) (*chunkFile, error) {
	file, err := openChunk(s.dir, name, s.hash, s.key.Keep)
	if err != nil {
		return nil, err
	}
	err = checkIndex(file.first, file.index, s.key)
	if err == nil {
		err = s.join(file.shape)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", filepath.Join(s.dir, name), err), file.Close())
	}
	return file, nil
}

// join makes shape the common one, or returns an error if it differs from it.
func (s *Store) join(shape shape) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.common == nil || s.common.n == 0 && s.common.agree(shape):
		s.common = &shape
	case !s.common.agree(shape):
		return fmt.Errorf("%d components of dimension %d and %d classes, unlike the %d, %d and %d of the other chunks",
			len(shape.components), shape.dim, shape.classes, len(s.common.components), s.common.dim, s.common.classes)
	}
	return nil
}

// Missing returns the first picture of every chunk that is not there, or not good, in order.
func (s *Store) Missing() []int {
	var missing []int
	for first := range s.firsts() {
		if !s.Done(first) {
			missing = append(missing, first)
		}
	}
	return missing
}

// LeftOut counts the pictures that the good chunks cover and do not have, because they could not be read.
func (s *Store) LeftOut() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := 0
	for first := range s.good {
		left += s.lacks(first)
	}
	return left
}

// lacks is how many pictures a good chunk leaves out. The caller holds the lock.
func (s *Store) lacks(first int) int {
	return min(s.key.Batch, s.key.Pictures-first) - s.kept[first]
}

// RejectLeftOut makes the chunks missing that leave pictures out: what could not be read, or was not there for a moment, may
// be there again. [Store.Put] takes the new ones, which may be the same.
func (s *Store) RejectLeftOut() {
	s.mu.Lock()
	lacking := make(map[int]string)
	for first := range s.good {
		if s.lacks(first) > 0 {
			lacking[first] = s.found[first][0]
		}
	}
	s.mu.Unlock()
	for first, name := range lacking {
		s.reject(first, name, fmt.Errorf("%s: it leaves out pictures that could not be read", filepath.Join(s.dir, name)))
	}
}

// Rejected says why files were not used, in the order of their names.
func (s *Store) Rejected() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var why []error
	for _, name := range slices.Sorted(maps.Keys(s.bad)) {
		why = append(why, s.bad[name])
	}
	return why
}

// Put writes a chunk. The slices stay the caller's. A good chunk that is there already stays as it is.
func (s *Store) Put(c Chunk) error {
	if err := c.check(s.key); err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	if s.Done(c.First) {
		return nil
	}
	if err := s.join(c.shape()); err != nil {
		return fmt.Errorf("cache: chunk of picture %d: %w", c.First, err)
	}
	var name string
	err := retryOnce(s.dir, func() (err error) {
		name, err = c.write(s.dir, s.hash, s.key.Keep)
		return err
	})
	switch {
	case errors.Is(err, safetensors.ErrTooLarge):
		return fmt.Errorf("cache: chunk of picture %d: %w; store them as bfloat16, whose range is that of float32, or as float32", c.First, err)
	case err != nil:
		return unwritable(err)
	}
	s.accept(c.First, name, len(c.Index))
	return s.replaced(c.First, name)
}

// replaced removes the bad files that the good one named name takes the place of.
func (s *Store) replaced(first int, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for old := range s.bad {
		if of, _, _ := parseChunkName(old); of != first || old == name {
			continue
		}
		if err := removeIfThere(filepath.Join(s.dir, old)); err != nil {
			return unwritable(err)
		}
	}
	return nil
}

// Finish writes the manifest, which makes the store complete. It is an error when chunks are missing.
func (s *Store) Finish() error {
	if missing := s.Missing(); len(missing) > 0 {
		return fmt.Errorf("cache: %s is not complete: %d chunks are missing, the first is that of picture %d", s.dir, len(missing), missing[0])
	}
	m := manifest{Key: s.hash, Pictures: s.key.Pictures}
	for first := range s.firsts() {
		name, _ := s.candidate(first)
		m.Chunks = append(m.Chunks, name)
	}
	if old, err := readManifest(s.dir, s.hash); err == nil && slices.Equal(old.Chunks, m.Chunks) {
		return nil // nothing to write, perhaps nowhere to write it
	}
	if err := writeJSON(filepath.Join(s.dir, manifestFile), m); err != nil {
		return unwritable(err)
	}
	return nil
}

// Chunks reads the chunks in order, one at a time. It ends with an error at the first that is not there or not good;
// [Store.Missing] then lists that one.
func (s *Store) Chunks() iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		for first := range s.firsts() {
			chunk, err := s.Chunk(first)
			if !yield(chunk, err) || err != nil {
				return
			}
		}
	}
}

// Chunk reads the chunk that begins with picture first.
func (s *Store) Chunk(first int) (chunk Chunk, err error) {
	read := func(file *chunkFile) (err error) {
		chunk, err = file.read()
		return err
	}
	name, good := s.candidate(first)
	if !good { // looked into and read at once: hashing takes as long as reading
		if !s.find(first, read) {
			return Chunk{}, fmt.Errorf("cache: %s: the chunk of picture %d is missing", s.dir, first)
		}
		return chunk, nil
	}
	// It was good when it was looked into; that may be long ago.
	file, err := s.open(name)
	if err == nil {
		err = errors.Join(read(file), file.Close())
	}
	if err != nil {
		s.reject(first, name, err)
		return Chunk{}, fmt.Errorf("cache: %w", err)
	}
	return chunk, nil
}

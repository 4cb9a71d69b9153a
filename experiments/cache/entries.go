package cache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// Entry is a store on disk.
type Entry struct {
	Dir, Hash string
	// Key is what key.json holds, for people to read; the zero Key if that is damaged.
	Key Key
	// Complete reports whether the manifest is there and names this many files.
	Complete bool
	Chunks   int   // files
	Bytes    int64 // of all files, temporary ones too
	Used     time.Time
}

var hashPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// List returns the stores in dir in the order of their hashes; none if dir does not exist. It reads no chunks: see
// [Entry.Verify].
func List(dir string) ([]Entry, error) {
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	var entries []Entry
	for _, name := range names {
		if !name.IsDir() || !hashPattern.MatchString(name.Name()) {
			continue
		}
		entry, err := inspect(filepath.Join(dir, name.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // just pruned
		}
		if err != nil {
			return nil, fmt.Errorf("cache: %w", err)
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

func inspect(dir string) (Entry, error) {
	entry := Entry{Dir: dir, Hash: filepath.Base(dir)}
	files, err := os.ReadDir(dir)
	if err != nil {
		return Entry{}, err
	}
	var chunks []string
	for _, file := range files {
		info, err := file.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // a temporary file that has got its name
		}
		if err != nil {
			return Entry{}, err
		}
		if _, _, ok := parseChunkName(file.Name()); ok {
			chunks = append(chunks, file.Name())
		}
		entry.Bytes += info.Size()
		if info.ModTime().After(entry.Used) {
			entry.Used = info.ModTime()
		}
	}
	entry.Chunks = len(chunks)
	if text, err := os.ReadFile(filepath.Join(dir, keyFile)); err == nil {
		var key Key
		if err := json.Unmarshal(text, &key); err == nil {
			entry.Key = key
		}
	}
	if m, err := readManifest(dir, entry.Hash); err == nil {
		entry.Complete = true
		for _, name := range m.Chunks {
			entry.Complete = entry.Complete && slices.Contains(chunks, name)
		}
	}
	return entry, nil
}

// maxChunks is how many chunks a store may have that is opened by what key.json says: a damaged one may say any number.
const maxChunks = 1 << 24

// Open opens the store, to be read: what its key says of pictures is what key.json says.
func (e Entry) Open() (*Store, error) {
	if e.Key.Pictures < 1 || e.Key.Batch < 1 || e.Key.Pictures > math.MaxInt-e.Key.Batch || (e.Key.Pictures-1)/e.Key.Batch >= maxChunks {
		return nil, fmt.Errorf("cache: %s is missing or damaged", filepath.Join(e.Dir, keyFile))
	}
	s := newStore(e.Dir, e.Key, e.Hash)
	var err error
	if s.inUse, err = os.Open(e.Dir); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	markInUse(s.inUse)
	if err := s.scan(); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	return s, nil
}

// Verify reads all that the store holds and returns what is wrong with it, an error for each file. It changes nothing:
// bad chunks are computed again by the next run that needs them.
func (e Entry) Verify() []error {
	var wrong []error
	files, err := os.ReadDir(e.Dir)
	if err != nil {
		return []error{fmt.Errorf("cache: %w", err)}
	}
	if err := e.verifyKey(); err != nil {
		wrong = append(wrong, err)
	}
	present := make(map[string]bool)
	for _, entry := range files {
		if _, _, ok := parseChunkName(entry.Name()); !ok {
			continue
		}
		present[entry.Name()] = true
		file, err := openChunk(e.Dir, entry.Name(), e.Hash, e.Key.Keep)
		if err == nil {
			err = file.Close()
		}
		if err != nil {
			wrong = append(wrong, err)
		}
	}
	m, err := readManifest(e.Dir, e.Hash)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) { // a store without one is not complete, not wrong
			wrong = append(wrong, err)
		}
		return wrong
	}
	for _, name := range m.Chunks {
		if !present[name] {
			wrong = append(wrong, fmt.Errorf("%s: in the manifest, but not there", filepath.Join(e.Dir, name)))
		}
	}
	return wrong
}

// verifyKey compares the key on disk with the hash that names the store.
func (e Entry) verifyKey() error {
	path := filepath.Join(e.Dir, keyFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && e.Chunks == 0 {
		return nil // a run ended before it began
	}
	if err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	var onDisk struct {
		Key
		Preprocess json.RawMessage `json:"preprocess"` // as it was written: the hash counts the order of its fields
	}
	if err := json.Unmarshal(text, &onDisk); err != nil {
		return fmt.Errorf("cache: %s: %w", path, err)
	}
	key := onDisk.Key
	key.Preprocess = onDisk.Preprocess
	if onDisk.Preprocess == nil {
		key.Preprocess = nil
	}
	if hash, err := key.Hash(); err != nil || hash != e.Hash {
		return fmt.Errorf("cache: %s is damaged: it is not the key that the store is named by", path)
	}
	return nil
}

// Prune removes the stores in dir that no run has used for that long, and returns them. Those that are in use now stay,
// whatever the clock says.
func Prune(dir string, unused time.Duration) ([]Entry, error) {
	entries, err := List(dir)
	if err != nil {
		return nil, err
	}
	var removed []Entry
	for _, entry := range entries {
		// A time to come, from a clock that was ahead, counts as now.
		if max(0, time.Since(entry.Used)) < unused {
			continue
		}
		gone, err := removeUnused(entry.Dir)
		if err != nil {
			return removed, fmt.Errorf("cache: %w", err)
		}
		if gone {
			removed = append(removed, entry)
		}
	}
	return removed, nil
}

// removeUnused removes a store unless it is in use.
func removeUnused(path string) (gone bool, err error) {
	dir, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // another pruned it
	}
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if !isUnused(dir) {
		return false, nil
	}
	return true, os.RemoveAll(path)
}

package hub

import (
	"cmp"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vitdecompose/data/atomicfile"
	"vitdecompose/data/regularfile"
)

// Snapshot is one revision of a repository in the cache. A nil one knows nothing of its files.
type Snapshot struct {
	Dir   string   // where the files are
	Names []string // those that were asked for, with slashes
	files map[string]fileCheck
}

// Path is where a file is on the disk.
func (s *Snapshot) Path(name string) string { return filepath.Join(s.Dir, filepath.FromSlash(name)) }

// fileCheck is what is known of a file before it is read.
type fileCheck struct {
	size    int64  // in bytes; 0 when not known
	sha256  string // of the content, as Git LFS has it; "" when not known
	gitSHA1 string // of the content as a Git object; "" when not known
}

// start begins the hash that a file of that size is known by; nil when none is known.
func (c fileCheck) start(size int64) hash.Hash {
	switch {
	case c.sha256 != "":
		return sha256.New()
	case c.gitSHA1 != "" && size >= 0:
		h := sha1.New()
		fmt.Fprintf(h, "blob %d\x00", size)
		return h
	}
	return nil
}

// compare says in which way a file is not what is known of it. The hash is the one that start gave.
func (c fileCheck) compare(size int64, h hash.Hash) error {
	if c.size > 0 && size != c.size {
		return fmt.Errorf("%d bytes, the Hub has %d", size, c.size)
	}
	if h == nil {
		return nil
	}
	if got, want := hex.EncodeToString(h.Sum(nil)), cmp.Or(c.sha256, c.gitSHA1); got != want {
		return fmt.Errorf("its hash is %s, the Hub's is %s", got, want)
	}
	return nil
}

// linkCheck is what the name of the blob says that a file of the cache links to.
func linkCheck(path string) fileCheck {
	target, err := os.Readlink(path)
	if err != nil {
		return fileCheck{}
	}
	switch blob := filepath.Base(target); {
	case sha256Name.MatchString(blob):
		return fileCheck{sha256: blob}
	case commitName.MatchString(blob):
		return fileCheck{gitSHA1: blob}
	}
	return fileCheck{}
}

func newSnapshot(dir string, info *repoInfo) *Snapshot {
	s := &Snapshot{Dir: dir, files: map[string]fileCheck{}}
	for _, file := range info.Files {
		// Names come from outside and become paths.
		if !fs.ValidPath(file.Name) || file.Name == "." || strings.ContainsAny(file.Name, "\\:\x00") {
			continue
		}
		check := fileCheck{size: max(file.Size, 0)}
		switch lfs := file.LFS; {
		case lfs != nil:
			check.size = max(lfs.Size, 0)
			if sum := strings.ToLower(lfs.SHA256); sha256Name.MatchString(sum) {
				check.sha256 = sum
			}
		case commitName.MatchString(file.Blob):
			check.gitSHA1 = file.Blob
		}
		s.files[file.Name] = check
	}
	return s
}

// known lists all files that are known, sorted.
func (s *Snapshot) known() []string {
	names := make([]string, 0, len(s.files))
	for name := range s.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Start begins the hash that a file of that size is known by; nil when none is known.
func (s *Snapshot) Start(name string, size int64) hash.Hash {
	if s == nil {
		return nil
	}
	return s.files[name].start(size)
}

// Verify compares a file's size and hash, which is the one that Start gave, with what is known.
func (s *Snapshot) Verify(name string, size int64, h hash.Hash) error {
	if s == nil {
		return nil
	}
	if err := s.files[name].compare(size, h); err != nil {
		return fmt.Errorf("%s: the copy in the cache is damaged: %w; delete what it links to and try again", s.Path(name), err)
	}
	return nil
}

// VerifyBytes compares a file's content with what is known.
func (s *Snapshot) VerifyBytes(name string, content []byte) error {
	h := s.Start(name, int64(len(content)))
	if h != nil {
		h.Write(content)
	}
	return s.Verify(name, int64(len(content)), h)
}

// checkSize compares the size alone of a file in the cache.
func (s *Snapshot) checkSize(name string) error {
	info, err := os.Stat(s.Path(name))
	if err != nil {
		return err
	}
	return s.Verify(name, info.Size(), nil)
}

// remember notes which commit the revision stands for, as huggingface_hub does, and what the server says of its files,
// for the time without network.
func (r repository) remember(info *repoInfo) error {
	text, err := json.Marshal(info)
	if err != nil {
		return err
	}
	for path, content := range map[string][]byte{
		filepath.Join(r.dir, "refs", filepath.FromSlash(r.revision)): []byte(info.Commit),
		filepath.Join(r.dir, "info", info.Commit):                    text,
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return fmt.Errorf("%s: %w", r.ref, err)
		}
		err := atomicfile.Write(path, func(w io.Writer) error {
			_, err := w.Write(content)
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", r.ref, err)
		}
	}
	return nil
}

// cached finds the revision in the cache.
func (r repository) cached() (*Snapshot, error) {
	commit, err := r.cachedCommit()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(r.dir, "snapshots", commit)
	present, err := presentFiles(dir)
	if err != nil {
		return nil, fmt.Errorf("it is not in the cache (%s)", dir)
	}
	info := r.cachedInfo(commit)
	complete := info != nil && info.Commit == commit // all names are known, not only those of the files that are there
	if !complete {
		info = &repoInfo{}
	}
	s := newSnapshot(dir, info)
	if !complete {
		for name, check := range present {
			s.files[name] = check
		}
	}
	if s.Names, err = r.choose(s.known()); err != nil {
		return nil, fmt.Errorf("in the cache (%s) %w", dir, err)
	}
	for _, name := range s.Names {
		if _, ok := present[name]; !ok {
			return nil, fmt.Errorf("%s is not in the cache (%s)", name, dir)
		}
		if err := s.checkSize(name); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// presentFiles are the files below a directory of the cache, with what their links say of them.
func presentFiles(dir string) (map[string]fileCheck, error) {
	files := map[string]fileCheck{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if _, err := os.Stat(path); err != nil { // a link to nowhere, from a broken download
			return nil
		}
		name, err := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = linkCheck(path)
		return err
	})
	return files, err
}

// maxRef bounds the note of a commit, in bytes.
const maxRef = 1 << 10

// cachedCommit is the commit that the revision stood for when it was last seen.
func (r repository) cachedCommit() (string, error) {
	if commitName.MatchString(r.revision) {
		return r.revision, nil
	}
	path := filepath.Join(r.dir, "refs", filepath.FromSlash(r.revision))
	if text, err := regularfile.Read(path, maxRef); err == nil {
		if commit := strings.TrimSpace(string(text)); commitName.MatchString(commit) {
			return commit, nil
		}
		return "", fmt.Errorf("the cache is damaged: %s holds no commit", path)
	}
	if info := r.cachedInfo(r.revision); info != nil && commitName.MatchString(info.Commit) {
		return info.Commit, nil
	}
	return "", fmt.Errorf("it is not in the cache (%s)", path)
}

// cachedInfo is what the server said of a revision; nil when that is not known.
func (r repository) cachedInfo(revision string) *repoInfo {
	text, err := regularfile.Read(filepath.Join(r.dir, "info", filepath.FromSlash(revision)), maxInfo)
	if err != nil {
		return nil
	}
	info := &repoInfo{}
	if err := json.Unmarshal(text, info); err != nil {
		return nil
	}
	return info
}

package checkpoint

import (
	"cmp"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/gomlx/go-huggingface/hub"

	"vitdecompose/data/atomicfile"
)

// Hub is where checkpoints named hf:owner/repo come from: the Hugging Face Hub, or a server that speaks its protocol,
// and the cache on the disk, which is laid out as by huggingface_hub and shared with it.
type Hub struct {
	// Endpoint is the server, such as https://huggingface.co.
	Endpoint string
	// CacheDir is the cache; it holds directories such as models--timm--deit_base_patch16_224.fb_in1k.
	CacheDir string
	// Offline leaves the network alone: only the cache is used.
	Offline bool
	// Token is sent to the server when it is not empty; repositories that are not public need it.
	Token string
	// Notice is told, in one line, what takes long or goes another way than asked. It may be nil.
	Notice func(line string)
}

// EnvHub is the Hub as the environment variables of huggingface_hub set it: HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN, and
// for the cache HF_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub.
// Notices go to standard error.
func EnvHub() Hub {
	home, err := os.UserHomeDir()
	if err != nil { // no home: the cache is made where the program runs
		home = "."
	}
	path := func(name string) string { // "" when the variable is not set
		value := os.Getenv(name)
		if rest, ok := strings.CutPrefix(value, "~"); ok && (rest == "" || os.IsPathSeparator(rest[0])) {
			return filepath.Join(home, rest)
		}
		return value
	}
	cache := cmp.Or(path("HF_HUB_CACHE"), path("HUGGINGFACE_HUB_CACHE"))
	if cache == "" {
		base := cmp.Or(path("XDG_CACHE_HOME"), filepath.Join(home, ".cache"))
		cache = filepath.Join(cmp.Or(path("HF_HOME"), filepath.Join(base, "huggingface")), "hub")
	}
	return Hub{
		Endpoint: strings.TrimSuffix(cmp.Or(os.Getenv("HF_ENDPOINT"), "https://huggingface.co"), "/"),
		CacheDir: cache,
		Offline:  slices.Contains([]string{"1", "ON", "YES", "TRUE"}, strings.ToUpper(os.Getenv("HF_HUB_OFFLINE"))),
		Token:    os.Getenv("HF_TOKEN"),
		Notice:   func(line string) { fmt.Fprintln(os.Stderr, line) },
	}
}

var (
	repoName     = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*$`)
	revisionName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$`)
	commitName   = regexp.MustCompile(`^[0-9a-f]{40}$`)
	sha256Name   = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// Open opens the checkpoint "owner/repo", or "owner/repo@revision" with a branch, tag or commit (default: main). What is
// missing in the cache is downloaded. Sizes and hashes that the Hub gives are compared before anything is used. When
// the server cannot be reached, what the cache has of that revision is used, with a notice.
func (h Hub) Open(ctx context.Context, name string) (*Checkpoint, error) {
	id, revision, ok := strings.Cut(name, "@")
	if !ok {
		revision = "main"
	}
	ref := "hf:" + name
	if !repoName.MatchString(id) || !revisionName.MatchString(revision) || strings.Contains(name, "..") {
		return nil, fmt.Errorf("%s: is not of the form hf:owner/repo or hf:owner/repo@revision", ref)
	}
	r := repository{hub: h, ref: ref, id: id, revision: revision,
		dir: filepath.Join(h.CacheDir, "models--"+strings.ReplaceAll(id, "/", "--"))}
	dir, checks, err := r.fetch(ctx)
	if err != nil {
		return nil, err
	}
	c, err := open(os.DirFS(dir), dir, checks)
	if err != nil {
		return nil, err
	}
	c.Ref, c.Dir = ref, dir
	return c, nil
}

// repository is one revision of a repository.
type repository struct {
	hub               Hub
	ref, id, revision string
	dir               string // in the cache
}

func (r repository) snapshot(commit string) string { return filepath.Join(r.dir, "snapshots", commit) }

func (r repository) notice(format string, args ...any) {
	if r.hub.Notice != nil {
		r.hub.Notice(r.ref + ": " + fmt.Sprintf(format, args...))
	}
}

// fetch makes sure that the checkpoint's files are in the cache. It gives their directory and what is known of them.
func (r repository) fetch(ctx context.Context) (dir string, known *checks, err error) {
	if r.hub.Offline {
		dir, known, err = r.cached()
		if err != nil {
			return "", nil, fmt.Errorf("%s: HF_HUB_OFFLINE is set and %w; unset it, or download the checkpoint first", r.ref, err)
		}
		return dir, known, nil
	}
	if commitName.MatchString(r.revision) { // a commit never changes
		if dir, known, err = r.cached(); err == nil {
			return dir, known, nil
		}
	}
	repo := hub.New(r.id).WithEndpoint(r.hub.Endpoint).WithCacheDir(r.hub.CacheDir).WithRevision(r.revision).WithAuth(r.hub.Token)
	repo.Verbosity = 0
	// FileURL asks for the repository's information once; later calls on repo know it.
	if _, err := repo.FileURL(timmConfig); err != nil {
		refused := strings.Contains(err.Error(), badStatus+" 4")
		if !refused && ctx.Err() == nil {
			if dir, known, cacheErr := r.cached(); cacheErr == nil {
				r.notice("%s cannot be reached; the copy in the cache is used", r.hub.Endpoint)
				return dir, known, nil
			}
			return "", nil, fmt.Errorf("%s: %s cannot be reached; check the network, or give a directory: %w", r.ref, r.hub.Endpoint, brief(err))
		}
		return "", nil, fmt.Errorf("%s: %s refuses it; check the name, and HF_TOKEN if it is not public: %w", r.ref, r.hub.Endpoint, brief(err))
	}
	info := repo.Info()
	if !commitName.MatchString(info.CommitHash) {
		return "", nil, fmt.Errorf("%s: %s gives %q as the commit of %s, which is none", r.ref, r.hub.Endpoint, info.CommitHash, r.revision)
	}
	dir = r.snapshot(info.CommitHash)
	known = newChecks(dir, info)
	files, err := choose(known.names())
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", r.ref, err)
	}
	for _, name := range files.names() {
		if err := r.download(ctx, repo, name, known); err != nil {
			return "", nil, err
		}
	}
	return dir, known, r.remember(info)
}

// badStatus is what the library's errors say when the server answers and refuses.
const badStatus = "bad status code"

// brief leaves out of a download's error the addresses and paths that the library puts around it more than once.
func brief(err error) error {
	if request := (*url.Error)(nil); errors.As(err, &request) {
		return request.Err
	}
	if i := strings.LastIndex(err.Error(), badStatus); i >= 0 {
		return errors.New(err.Error()[i:])
	}
	return err
}

// download brings one file into the cache, unless it is there.
func (r repository) download(ctx context.Context, repo *hub.Repo, name string, known *checks) error {
	path := filepath.Join(known.dir, name)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if size := known.files[name].size; size > 1<<20 {
		r.notice("downloading %s (%d MB)", name, size>>20)
	}
	known.fresh[name] = true
	if _, err := repo.DownloadFileCtx(ctx, name); err != nil {
		return fmt.Errorf("%s: %s cannot be downloaded: %w", r.ref, name, brief(err))
	}
	// The library takes a connection that breaks off for the end of the file and leaves a link to nowhere.
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("%s: the download of %s broke off; try again", r.ref, name), os.Remove(path))
	}
	return nil
}

// remember notes which commit the revision stands for, as huggingface_hub does, and what the server says of its files,
// for the time without network.
func (r repository) remember(info *hub.RepoInfo) error {
	text, err := json.Marshal(info)
	if err != nil {
		return err
	}
	for path, content := range map[string][]byte{
		filepath.Join(r.dir, "refs", filepath.FromSlash(r.revision)): []byte(info.CommitHash),
		filepath.Join(r.dir, "info", info.CommitHash):                text,
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
func (r repository) cached() (dir string, known *checks, err error) {
	commit, err := r.cachedCommit()
	if err != nil {
		return "", nil, err
	}
	dir = r.snapshot(commit)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", nil, fmt.Errorf("it is not in the cache (%s)", dir)
	}
	info := r.cachedInfo(commit)
	if info == nil || info.CommitHash != commit {
		info = &hub.RepoInfo{}
	}
	known = newChecks(dir, info)
	var names []string
	for _, entry := range entries {
		name := entry.Name()
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil { // a link to nowhere, from a broken download
			continue
		}
		names = append(names, name)
		if _, ok := known.files[name]; !ok {
			known.files[name] = linkCheck(path)
		}
	}
	if _, err := choose(names); err != nil {
		return "", nil, fmt.Errorf("in the cache (%s) %w", dir, err)
	}
	return dir, known, nil
}

// cachedCommit is the commit that the revision stood for when it was last seen.
func (r repository) cachedCommit() (string, error) {
	if commitName.MatchString(r.revision) {
		return r.revision, nil
	}
	path := filepath.Join(r.dir, "refs", filepath.FromSlash(r.revision))
	if text, err := os.ReadFile(path); err == nil {
		if commit := strings.TrimSpace(string(text)); commitName.MatchString(commit) {
			return commit, nil
		}
		return "", fmt.Errorf("the cache is damaged: %s holds no commit", path)
	}
	if info := r.cachedInfo(r.revision); info != nil && commitName.MatchString(info.CommitHash) {
		return info.CommitHash, nil
	}
	return "", fmt.Errorf("it is not in the cache (%s)", path)
}

// cachedInfo is what the server said of a revision; nil when that is not known.
func (r repository) cachedInfo(revision string) *hub.RepoInfo {
	text, err := os.ReadFile(filepath.Join(r.dir, "info", filepath.FromSlash(revision)))
	if err != nil {
		return nil
	}
	info := &hub.RepoInfo{}
	if err := json.Unmarshal(text, info); err != nil {
		return nil
	}
	return info
}

// fileCheck is what is known of a file before it is read.
type fileCheck struct {
	size    int64  // in bytes; 0 when not known
	sha256  string // of the content, as Git LFS has it; "" when not known
	gitSHA1 string // of the content as a Git object; "" when not known
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

// checks are what is known of the files of a checkpoint. A nil one knows nothing.
type checks struct {
	dir   string // where the files are
	files map[string]fileCheck
	fresh map[string]bool // what was downloaded just now
}

func newChecks(dir string, info *hub.RepoInfo) *checks {
	c := &checks{dir: dir, files: map[string]fileCheck{}, fresh: map[string]bool{}}
	for _, file := range info.Siblings {
		if file == nil {
			continue
		}
		check := fileCheck{size: file.Size}
		switch {
		case file.LFS != nil:
			check.size, check.sha256 = file.LFS.Size, strings.ToLower(file.LFS.SHA256)
		case commitName.MatchString(file.BlobID):
			check.gitSHA1 = file.BlobID
		}
		c.files[file.Name] = check
	}
	return c
}

func (c *checks) names() []string {
	names := make([]string, 0, len(c.files))
	for name := range c.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// start begins the hash that the file is known by; nil when none is known.
func (c *checks) start(name string, size int64) hash.Hash {
	if c == nil {
		return nil
	}
	switch check := c.files[name]; {
	case check.sha256 != "":
		return sha256.New()
	case check.gitSHA1 != "":
		h := sha1.New()
		fmt.Fprintf(h, "blob %d\x00", size)
		return h
	}
	return nil
}

// verify compares the file's size and hash, which is the one that start gave, with what is known.
func (c *checks) verify(name string, size int64, h hash.Hash) error {
	if c == nil {
		return nil
	}
	check := c.files[name]
	var wrong error
	if check.size > 0 && size != check.size {
		wrong = fmt.Errorf("%d bytes, the Hub has %d", size, check.size)
	} else if h != nil {
		want := cmp.Or(check.sha256, check.gitSHA1)
		if got := hex.EncodeToString(h.Sum(nil)); got != want {
			wrong = fmt.Errorf("its hash is %s, the Hub's is %s", got, want)
		}
	}
	if wrong == nil {
		return nil
	}
	path := filepath.Join(c.dir, name)
	if !c.fresh[name] {
		return fmt.Errorf("%s: the copy in the cache is damaged: %w; delete what it links to and try again", path, wrong)
	}
	return errors.Join(fmt.Errorf("%s: the download is damaged: %w; it was removed, try again", path, wrong), discard(path))
}

func (c *checks) verifyBytes(name string, content []byte) error {
	h := c.start(name, int64(len(content)))
	if h != nil {
		h.Write(content)
	}
	return c.verify(name, int64(len(content)), h)
}

// discard removes a link of the cache and what it points to.
func discard(path string) error {
	blob, err := filepath.EvalSymlinks(path)
	if err == nil && blob != path {
		err = os.Remove(blob)
	}
	return errors.Join(err, os.Remove(path))
}

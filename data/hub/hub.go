// Package hub fetches files from the Hugging Face Hub, or a server that speaks its protocol, into the cache on the disk,
// which is laid out as by huggingface_hub and shared with it.
//
//	snapshot, err := hub.Env().Fetch(ctx, hub.Models, "timm/deit_base_patch16_224.fb_in1k", func(names []string) ([]string, error) {
//		return []string{"config.json", "model.safetensors"}, nil // of all names, those that are needed
//	})
//	if err != nil {
//		return err
//	}
//	content, err := os.ReadFile(snapshot.Path("config.json"))
//
// What is in the cache is not fetched again. Sizes and hashes that the Hub gives are compared while a file is fetched, and
// a file gets its name in the cache when all of it is there. A connection that breaks off is taken up again where it was.
package hub

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is what a repository of the Hub holds.
type Kind string

// The kinds of repositories, as the Hub and its cache call them.
const (
	Models   Kind = "models"
	Datasets Kind = "datasets"
)

// Hub is where repositories come from and where they are kept.
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

// Env is the Hub as the environment variables of huggingface_hub set it: HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN, and for
// the cache HF_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub. Notices go
// to standard error.
func Env() Hub {
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

// Fetch makes sure that some files of the repository "owner/repo", or "owner/repo@revision" with a branch, tag or commit
// (default: main), are in the cache. Choose is given the names of its files, sorted, and gives those that are needed.
// Offline they are the names that are known: all of the repository's if this package has fetched of that revision before,
// else those that another program has fetched. When the server cannot be reached, what the cache has of the revision is
// used, with a notice.
func (h Hub) Fetch(ctx context.Context, kind Kind, name string, choose func(names []string) ([]string, error)) (*Snapshot, error) {
	id, revision, ok := strings.Cut(name, "@")
	if !ok {
		revision = "main"
	}
	ref := "hf:" + name
	if !repoName.MatchString(id) || !revisionName.MatchString(revision) || strings.Contains(name, "..") {
		return nil, fmt.Errorf("%s: is not of the form hf:owner/repo or hf:owner/repo@revision", ref)
	}
	r := repository{hub: h, kind: kind, ref: ref, id: id, revision: revision, choose: choose,
		dir: filepath.Join(h.CacheDir, string(kind)+"--"+strings.ReplaceAll(id, "/", "--"))}
	return r.fetch(ctx)
}

// repository is one revision of a repository, and what is wanted of it.
type repository struct {
	hub               Hub
	kind              Kind
	ref, id, revision string
	choose            func(names []string) ([]string, error)
	dir               string // in the cache
}

func (r repository) notice(format string, args ...any) {
	if r.hub.Notice != nil {
		r.hub.Notice(r.ref + ": " + fmt.Sprintf(format, args...))
	}
}

func (r repository) fetch(ctx context.Context) (*Snapshot, error) {
	if r.hub.Offline {
		s, err := r.cached()
		if err != nil {
			return nil, fmt.Errorf("%s: HF_HUB_OFFLINE is set and %w; unset it, or download it first", r.ref, err)
		}
		return s, nil
	}
	if commitName.MatchString(r.revision) { // a commit never changes
		if s, err := r.cached(); err == nil {
			return s, nil
		}
	}
	info, err := r.info(ctx)
	if err != nil {
		if refused := (*statusError)(nil); errors.As(err, &refused) && refused.code/100 == 4 {
			return nil, fmt.Errorf("%s: %s refuses it; check the name, and HF_TOKEN if it is not public: %w", r.ref, r.hub.Endpoint, err)
		}
		if ctx.Err() == nil {
			if s, cacheErr := r.cached(); cacheErr == nil {
				r.notice("%s cannot be reached; the copy in the cache is used", r.hub.Endpoint)
				return s, nil
			}
		}
		return nil, fmt.Errorf("%s: %s cannot be reached; check the network, or give a directory: %w", r.ref, r.hub.Endpoint, brief(err))
	}
	if !commitName.MatchString(info.Commit) {
		return nil, fmt.Errorf("%s: %s gives %q as the commit of %s, which is none", r.ref, r.hub.Endpoint, info.Commit, r.revision)
	}
	s := newSnapshot(filepath.Join(r.dir, "snapshots", info.Commit), info)
	if s.Names, err = r.choose(s.known()); err != nil {
		return nil, fmt.Errorf("%s: %w", r.ref, err)
	}
	for _, name := range s.Names {
		if err := r.download(ctx, s, name); err != nil {
			return nil, err
		}
	}
	return s, r.remember(info)
}

// repoInfo is what the server says of a revision.
type repoInfo struct {
	Commit string     `json:"sha"`
	Files  []fileInfo `json:"siblings"`
}

type fileInfo struct {
	Name string `json:"rfilename"`
	Size int64  `json:"size"`
	Blob string `json:"blobId,omitempty"`
	LFS  *struct {
		SHA256 string `json:"sha256"`
		Size   int64  `json:"size"`
	} `json:"lfs,omitempty"`
}

const maxInfo = 256 << 20 // bytes of what the server says of a repository: a few hundred for each of its files

// info asks the server for the revision.
func (r repository) info(ctx context.Context) (*repoInfo, error) {
	response, err := r.get(ctx, fmt.Sprintf("/api/%s/%s/revision/%s?blobs=true", r.kind, r.id, url.PathEscape(r.revision)), 0)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	info := &repoInfo{}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxInfo)).Decode(info); err != nil {
		return nil, fmt.Errorf("the answer is no description of a repository: %w", err)
	}
	return info, nil
}

// A statusError is the answer of a server that does not do what it was asked for.
type statusError struct {
	code   int
	reason string
}

func (e *statusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("status %d %s", e.code, e.reason))
}

// client gives up a server that accepts a connection and never answers.
var client = func() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = time.Minute
	return &http.Client{Transport: transport}
}()

// get asks for a path of the server, or its bytes from an offset on. The answer's status is 200, or 206 where from > 0 and
// the server can do that. The token goes to the server alone, not to where it may redirect: net/http sees to that.
func (r repository) get(ctx context.Context, path string, from int64) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.hub.Endpoint+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "vitdecompose")
	// A compressed answer would not have the size that the Hub announces.
	request.Header.Set("Accept-Encoding", "identity")
	if r.hub.Token != "" {
		request.Header.Set("Authorization", "Bearer "+r.hub.Token)
	}
	if from > 0 {
		request.Header.Set("Range", "bytes="+strconv.FormatInt(from, 10)+"-")
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusOK || from > 0 && response.StatusCode == http.StatusPartialContent {
		return response, nil
	}
	text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<12)) // a reason that cannot be read is none
	_ = response.Body.Close()
	var reason struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(text, &reason) != nil {
		reason.Error = http.StatusText(response.StatusCode)
	}
	return nil, &statusError{response.StatusCode, strings.Join(strings.Fields(reason.Error), " ")}
}

// brief leaves out of an error of net/http the address, which is in the message already.
func brief(err error) error {
	if request := (*url.Error)(nil); errors.As(err, &request) {
		return request.Err
	}
	return err
}

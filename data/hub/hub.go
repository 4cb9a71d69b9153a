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

	"vitdecompose/data/printable"
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
	// Notice is called with one line about anything that takes long or is done differently than requested. It may be nil.
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
	s, err := r.fetch(ctx)
	return s, printable.Error(err)
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
		r.hub.Notice(printable.Text(r.ref+": "+fmt.Sprintf(format, args...), printable.Most))
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
			return nil, fmt.Errorf("%s: %s %w", r.ref, r.hub.Endpoint, refused)
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s: %w", r.ref, context.Cause(ctx))
		}
		if s, cacheErr := r.cached(); cacheErr == nil {
			r.notice("%s cannot be reached; the copy in the cache is used", r.hub.Endpoint)
			return s, nil
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
func (r repository) info(ctx context.Context) (info *repoInfo, err error) {
	path := fmt.Sprintf("/api/%s/%s/revision/%s?blobs=true", r.kind, r.id, url.PathEscape(r.revision))
	connected := false
	err = retry(ctx, func() error {
		response, err := r.get(ctx, path, 0)
		if err != nil {
			return err
		}
		connected = true
		defer response.Body.Close()
		info = &repoInfo{}
		return json.NewDecoder(io.LimitReader(response.Body, maxInfo)).Decode(info)
	}, func(err error) bool { // without a network there is no use in waiting
		return errors.Is(err, errStalled) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, new(*statusError))
	})
	if err != nil && connected {
		return nil, fmt.Errorf("the answer does not describe a repository: %w", err)
	}
	return info, err
}

// attempts is how often something is tried before it is given up.
const attempts = 4

// pause is the time before the second attempt; it doubles with each. Tests do not wait.
var pause = time.Second

// retry tries again what fails in a way that may pass.
func retry(ctx context.Context, try func() error, passes func(err error) bool) error {
	wait := pause
	for attempt := 1; ; attempt++ {
		err := try()
		refused := (*statusError)(nil)
		if err == nil || ctx.Err() != nil || attempt == attempts || !passes(err) || errors.As(err, &refused) && refused.final() {
			return err
		}
		delay := wait
		if refused != nil {
			delay = max(delay, refused.after)
		}
		select {
		case <-time.After(delay):
			wait *= 2
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// A statusError is the answer of a server that does not do what it was asked for.
type statusError struct {
	code   int
	reason string
	after  time.Duration // when the server wants to be asked again
}

// Error says what to do.
func (e *statusError) Error() string {
	status := strings.TrimSpace(fmt.Sprintf("status %d %s", e.code, e.reason))
	switch {
	case e.code == http.StatusTooManyRequests:
		return "was asked too often: try again in some minutes, with HF_TOKEN set where it is not: " + status
	case e.code == http.StatusUnauthorized || e.code == http.StatusForbidden || e.code == http.StatusNotFound:
		return "refuses it; check the name, and HF_TOKEN if it is not public: " + status
	case e.code/100 == 4:
		return "refuses it: " + status
	}
	return "fails: " + status
}

// final reports whether the answer will be the same the next time.
func (e *statusError) final() bool {
	return e.code/100 == 4 && e.code != http.StatusTooManyRequests && e.code != http.StatusRequestTimeout
}

// client follows redirects, and sends the token only to the server that it is for.
var client = &http.Client{
	Transport: http.DefaultTransport.(*http.Transport).Clone(),
	CheckRedirect: func(request *http.Request, via []*http.Request) error {
		if len(via) >= 10 {
			return errors.New("more than 10 redirects")
		}
		for _, before := range via {
			if origin(before.URL) != origin(request.URL) {
				// net/http leaves it out for other hosts only, and neither for other ports nor without TLS.
				request.Header.Del("Authorization")
			}
		}
		return nil
	},
}

// origin is who answers at an address: scheme, host and port.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// patience is how long a server may send nothing. Tests have less.
var patience = time.Minute

var errStalled = errors.New("the server has stopped sending")

// watched is the body of an answer, whose request ends when nothing comes of it for long.
type watched struct {
	io.ReadCloser
	timer *time.Timer
	ctx   context.Context
	end   context.CancelCauseFunc
}

// Read implements io.Reader. The time that the reader takes between two reads does not count.
func (w *watched) Read(p []byte) (int, error) {
	w.timer.Reset(patience)
	n, err := w.ReadCloser.Read(p)
	w.timer.Stop()
	if err != nil && err != io.EOF && w.ctx.Err() != nil {
		err = context.Cause(w.ctx)
	}
	return n, err
}

// Close implements io.Closer.
func (w *watched) Close() error {
	w.timer.Stop()
	w.end(nil)
	return w.ReadCloser.Close()
}

// get requests a path from the server, or its bytes from an offset on. The answer's status is 200, or 206 where from > 0 and
// the server can do that. The token goes to the server alone, not to where it may redirect.
func (r repository) get(parent context.Context, path string, from int64) (*http.Response, error) {
	ctx, end := context.WithCancelCause(parent)
	timer := time.AfterFunc(patience, func() { end(errStalled) })
	response, err := r.ask(ctx, path, from)
	timer.Stop()
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		end(nil)
		return nil, err
	}
	response.Body = &watched{response.Body, timer, ctx, end}
	if response.StatusCode == http.StatusOK || from > 0 && response.StatusCode == http.StatusPartialContent {
		return response, nil
	}
	text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<12)) // without it there is no reason to give
	_ = response.Body.Close()
	var reason struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(text, &reason) != nil {
		reason.Error = http.StatusText(response.StatusCode)
	}
	refused := &statusError{code: response.StatusCode, reason: printable.Text(strings.Join(strings.Fields(reason.Error), " "), 300)}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		refused.after = time.Duration(min(seconds, 60)) * time.Second
	}
	return nil, refused
}

func (r repository) ask(ctx context.Context, path string, from int64) (*http.Response, error) {
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
	return client.Do(request)
}

// brief leaves out of an error of net/http the address, which is in the message already.
func brief(err error) error {
	if request := (*url.Error)(nil); errors.As(err, &request) {
		return request.Err
	}
	return err
}

// Package hubtest has a server that speaks as much of the Hugging Face Hub's protocol as a download takes, for tests.
package hubtest

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"vitdecompose/data/hub"
)

// Commit is what the branch main of a [Server] is at.
const Commit = "0123456789abcdef0123456789abcdef01234567"

// Server has one repository: its description, and files, those of Git LFS behind a redirect. Its fields may be changed
// between requests.
type Server struct {
	Kind    hub.Kind
	ID      string            // "owner/repo"
	Commit  string            // of the branch main
	Files   map[string][]byte // as the description says
	Served  map[string][]byte // what is sent instead, if anything
	Cut     map[string]int    // how often the connection breaks off within a file
	Ranges  bool              // can send a part of a file
	Private bool              // answers 401 without the token "secret"

	mu       sync.Mutex
	requests []string
}

// New is a server with a repository that has the files.
func New(kind hub.Kind, id string, files map[string][]byte) *Server {
	return &Server{Kind: kind, ID: id, Commit: Commit, Files: files, Cut: map[string]int{}}
}

// Start starts the server and gives the Hub that has it as its endpoint, and an empty cache.
func (s *Server) Start(t testing.TB) hub.Hub {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return hub.Hub{Endpoint: server.URL, CacheDir: t.TempDir()}
}

// Requests are the methods and paths of all requests so far.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// GitSHA1 is the hash of a file's content as a Git object.
func GitSHA1(content []byte) string {
	return fmt.Sprintf("%x", sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(content), content)))
}

// IsLFS reports whether the server has a file in Git LFS.
func IsLFS(name string) bool {
	return slices.Contains([]string{".safetensors", ".parquet"}, path.Ext(name))
}

// info describes the repository as the Hub does; the parts that are not read here are there because they are a stumbling block
// for some readers: the license of a data set is a list.
func (s *Server) info() any {
	type lfs struct {
		SHA256 string `json:"sha256"`
		Size   int    `json:"size"`
	}
	type sibling struct {
		Name string `json:"rfilename"`
		Size int    `json:"size"`
		Blob string `json:"blobId"`
		LFS  *lfs   `json:"lfs,omitempty"`
	}
	var siblings []sibling
	for name, content := range s.Files {
		f := sibling{Name: name, Size: len(content), Blob: GitSHA1(content)}
		if IsLFS(name) {
			f.LFS = &lfs{fmt.Sprintf("%x", sha256.Sum256(content)), len(content)}
		}
		siblings = append(siblings, f)
	}
	card := map[string]any{"license": []string{"mit"}}
	return map[string]any{"id": s.ID, "modelId": s.ID, "sha": s.Commit, "cardData": card, "siblings": siblings}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	if _, cdn := strings.CutPrefix(r.URL.Path, "/cdn/"); s.Private && !cdn && r.Header.Get("Authorization") != "Bearer secret" {
		http.Error(w, `{"error":"Invalid username or password."}`, http.StatusUnauthorized)
		return
	}
	if revision, ok := strings.CutPrefix(r.URL.Path, fmt.Sprintf("/api/%s/%s/revision/", s.Kind, s.ID)); ok && (revision == "main" || revision == s.Commit) {
		if err := json.NewEncoder(w).Encode(s.info()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
		return
	}
	prefix := "/" + s.ID + "/resolve/" + s.Commit + "/"
	if s.Kind != hub.Models {
		prefix = "/" + string(s.Kind) + prefix
	}
	name, ok := strings.CutPrefix(r.URL.Path, prefix)
	if ok && IsLFS(name) {
		w.Header().Set("X-Linked-Etag", fmt.Sprintf(`"%x"`, sha256.Sum256(s.Files[name])))
		w.Header().Set("X-Linked-Size", strconv.Itoa(len(s.Files[name])))
		http.Redirect(w, r, "/cdn/"+name, http.StatusFound)
		return
	}
	if !ok {
		name = strings.TrimPrefix(r.URL.Path, "/cdn/")
	}
	content, ok := s.Files[name]
	if !ok {
		http.Error(w, "Entry not found", http.StatusNotFound)
		return
	}
	if other, ok := s.Served[name]; ok {
		content = other
	}
	w.Header().Set("ETag", `"`+GitSHA1(s.Files[name])+`"`)
	switch {
	case s.Cut[name] > 0: // the server notices that less came than was announced, and closes the connection
		s.Cut[name]--
		s.cut(w, r, content)
	case s.Ranges:
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(content)))
	default:
		s.send(w, content, content)
	}
}

// cut sends the first half of what was requested.
func (s *Server) cut(w http.ResponseWriter, r *http.Request, content []byte) {
	from := 0
	if n, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); s.Ranges && n == 1 && err == nil && from < len(content) {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
		w.Header().Set("Content-Length", strconv.Itoa(len(content)-from))
		w.WriteHeader(http.StatusPartialContent)
		content = content[from:]
	}
	s.send(w, content, content[:len(content)/2])
}

// send announces the one and sends the other.
func (s *Server) send(w http.ResponseWriter, announced, sent []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(announced)))
	if _, err := w.Write(sent); err != nil {
		panic(http.ErrAbortHandler)
	}
}

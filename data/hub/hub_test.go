package hub_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vitdecompose/data/hub"
	"vitdecompose/data/hub/hubtest"
)

const repoID = "owner/birds"

var files = map[string][]byte{
	"README.md":         []byte("# birds"),
	"data/test.parquet": []byte(strings.Repeat("not really parquet, ", 500)),
	"data/a b#c.csv":    []byte("a name that must be escaped"),
}

// only takes those of some names that are there.
func only(wanted ...string) func(names []string) ([]string, error) {
	return func(names []string) ([]string, error) {
		for _, name := range wanted {
			if !slices.Contains(names, name) {
				return nil, fmt.Errorf("there is no %s among %q", name, names)
			}
		}
		return wanted, nil
	}
}

func fetch(h hub.Hub, name string, choose func(names []string) ([]string, error)) (*hub.Snapshot, error) {
	return h.Fetch(context.Background(), hub.Datasets, name, choose)
}

// mustFetch fetches the repository's large file and one more.
func mustFetch(t *testing.T, h hub.Hub, name string) *hub.Snapshot {
	t.Helper()
	wanted := []string{"data/test.parquet", "data/a b#c.csv"}
	s, err := fetch(h, name, only(wanted...))
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(h.CacheDir, "datasets--owner--birds", "snapshots", hubtest.Commit); s.Dir != want || !slices.Equal(s.Names, wanted) {
		t.Errorf("snapshot %+v, want it in %s", s, want)
	}
	for _, name := range wanted {
		content, err := os.ReadFile(s.Path(name))
		if err != nil || string(content) != string(files[name]) {
			t.Errorf("%s has %d bytes (%v), want %d", name, len(content), err, len(files[name]))
		}
		if err := s.VerifyBytes(name, content); err != nil {
			t.Error(err)
		}
	}
	return s
}

func check(t *testing.T, what string, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", what)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s: error %q does not say %q", what, err, part)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: error of several lines: %q", what, err)
	}
}

func TestFetchThenOffline(t *testing.T) {
	server := hubtest.New(hub.Datasets, repoID, files)
	h := server.Start(t)
	mustFetch(t, h, repoID)
	if blob, err := os.Readlink(filepath.Join(h.CacheDir, "datasets--owner--birds", "snapshots", hubtest.Commit, "data", "a b#c.csv")); err != nil || blob != filepath.Join("..", "..", "..", "blobs", hubtest.GitSHA1(files["data/a b#c.csv"])) {
		t.Errorf("a link to %q (%v)", blob, err)
	}
	before := len(server.Requests())
	mustFetch(t, h, repoID+"@"+hubtest.Commit)
	offline := h
	offline.Offline = true
	mustFetch(t, offline, repoID)
	if got := server.Requests()[before:]; len(got) > 0 {
		t.Errorf("the cache was enough, and yet %q was asked for", got)
	}

	// All names are known, so that a file that was not fetched is not taken for one that does not exist.
	_, err := fetch(offline, repoID, only("README.md"))
	check(t, "a file that was not fetched", err, "hf:owner/birds", "HF_HUB_OFFLINE", "README.md is not in the cache")

	var notices []string
	unreachable := h
	unreachable.Endpoint = "http://127.0.0.1:1"
	unreachable.Notice = func(line string) { notices = append(notices, line) }
	mustFetch(t, unreachable, repoID)
	if len(notices) != 1 || !strings.Contains(notices[0], "the copy in the cache is used") {
		t.Errorf("notices %q, want one about the cache", notices)
	}

	// A file that was cut short in the cache has the wrong size.
	path := filepath.Join(h.CacheDir, "datasets--owner--birds", "snapshots", hubtest.Commit, "data", "test.parquet")
	if err := os.Truncate(path, 10); err != nil {
		t.Fatal(err)
	}
	for _, h := range []hub.Hub{h, offline} {
		_, err = fetch(h, repoID, only("data/test.parquet"))
		check(t, "a damaged copy", err, path, "damaged", "10 bytes, the Hub has 10000", "delete")
	}
}

// TestBrokenConnections: a download goes on where it was, or from the start where the server cannot send a part.
func TestBrokenConnections(t *testing.T) {
	for _, ranges := range []bool{false, true} {
		server := hubtest.New(hub.Datasets, repoID, files)
		server.Ranges = ranges
		server.Cut["data/test.parquet"] = 3
		mustFetch(t, server.Start(t), repoID)

		server.Cut["data/test.parquet"] = 4
		h := server.Start(t)
		_, err := fetch(h, repoID, only("data/test.parquet"))
		check(t, "a connection that breaks off for ever", err, "hf:owner/birds", "the download of data/test.parquet broke off after", "try again")
		leftovers, err := filepath.Glob(filepath.Join(h.CacheDir, "datasets--owner--birds", "blobs", "*"))
		hidden, hiddenErr := filepath.Glob(filepath.Join(h.CacheDir, "datasets--owner--birds", "blobs", ".*"))
		if err != nil || hiddenErr != nil || len(leftovers)+len(hidden) > 0 {
			t.Errorf("left over: %q %q (%v, %v)", leftovers, hidden, err, hiddenErr)
		}
		mustFetch(t, h, repoID) // trying again helps
	}
}

func TestDamagedDownloads(t *testing.T) {
	for _, name := range []string{"data/test.parquet", "data/a b#c.csv"} {
		changed := slices.Clone(files[name])
		changed[len(changed)-2] ^= 1
		for what, served := range map[string][]byte{
			"another content": changed, "a shorter file": changed[:len(changed)-3], "a longer file": append(changed, 'x'), "an empty file": {},
		} {
			server := hubtest.New(hub.Datasets, repoID, files)
			server.Served = map[string][]byte{name: served}
			h := server.Start(t)
			_, err := fetch(h, repoID, only(name))
			check(t, what, err, "hf:owner/birds", "the download of "+name+" is damaged", "try again")
			server.Served = nil
			mustFetch(t, h, repoID)
		}
	}
}

func TestRefused(t *testing.T) {
	server := hubtest.New(hub.Datasets, repoID, files)
	h := server.Start(t)
	_, err := fetch(h, "owner/absent", only())
	check(t, "no such repository", err, "hf:owner/absent", h.Endpoint+" refuses it", "check the name", "status 404")
	_, err = h.Fetch(context.Background(), hub.Models, repoID, only())
	check(t, "another kind", err, "refuses it")
	_, err = fetch(h, repoID, func([]string) ([]string, error) { return []string{"absent"}, nil })
	check(t, "no such file", err, "hf:owner/birds: there is no absent")
	for _, name := range []string{"birds", "../../etc", "owner/birds@", "owner/birds@../x", "owner/birds/data"} {
		_, err := fetch(h, name, only())
		check(t, name, err, "hf:"+name, "hf:owner/repo")
	}

	server.Private = true
	_, err = fetch(h, repoID, only())
	check(t, "no token", err, "HF_TOKEN", "Invalid username or password.")
	h.Token = "secret"
	mustFetch(t, h, repoID)

	// Names from the server that lead elsewhere are not there.
	server.Files = map[string][]byte{"../../evil": nil, "/etc/evil": nil, `a\..\evil`: nil, "good": []byte("x")}
	_, err = fetch(h, repoID, func(names []string) ([]string, error) {
		if !slices.Equal(names, []string{"good"}) {
			t.Errorf("names %q", names)
		}
		return []string{"../../evil"}, nil
	})
	check(t, "an evil name", err, "there is no ../../evil")

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = h.Fetch(ctx, hub.Datasets, repoID, only())
	check(t, "cancelled", err, context.Canceled.Error())
}

// faulty answers in the place of a server, where answer does.
func faulty(t *testing.T, server *hubtest.Server, answer func(w http.ResponseWriter, r *http.Request) bool) hub.Hub {
	t.Helper()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !answer(w, r) {
			server.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(h.Close)
	return hub.Hub{Endpoint: h.URL, CacheDir: t.TempDir()}
}

// TestToken: a redirect to another port, host or scheme does not get the token; one to another path does.
func TestToken(t *testing.T) {
	server := hubtest.New(hub.Datasets, repoID, files)
	var seen sync.Map
	note := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			seen.Store(name, r.Header.Get("Authorization"))
			server.ServeHTTP(w, r)
		}
	}
	plain, secure := httptest.NewServer(note("port")), httptest.NewTLSServer(note("scheme"))
	defer plain.Close()
	defer secure.Close()
	hub.TrustForTest(t, secure)
	for name, to := range map[string]string{"port": plain.URL, "scheme": secure.URL, "same": ""} {
		h := faulty(t, server, func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Has("moved") {
				note(name)(w, r)
				return true
			}
			http.Redirect(w, r, to+r.URL.Path+"?moved=1", http.StatusFound)
			return true
		})
		h.Token = "secret"
		if _, err := fetch(h, repoID, only("README.md")); err != nil {
			t.Fatal(err)
		}
		if got, _ := seen.Load(name); got != map[string]string{"same": "Bearer secret"}[name] {
			t.Errorf("%s: the token is %q", name, got)
		}
	}
}

// TestStalled: a server that stops sending is asked again, for the rest.
func TestStalled(t *testing.T) {
	server := hubtest.New(hub.Datasets, repoID, files)
	server.Ranges = true
	var stalls atomic.Int32
	stall := func(w http.ResponseWriter, r *http.Request) bool {
		if stalls.Add(-1) < 0 || strings.Contains(r.URL.Path, "/resolve/") {
			return false
		}
		if strings.Contains(r.URL.Path, "/cdn/") {
			w.Header().Set("Content-Length", "10000")
			_, _ = w.Write(files["data/test.parquet"][:100])
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return true
	}
	stalls.Store(1) // the description
	mustFetch(t, faulty(t, server, stall), repoID)
	h := faulty(t, server, func(w http.ResponseWriter, r *http.Request) bool {
		return strings.Contains(r.URL.Path, "/cdn/") && stall(w, r)
	})
	stalls.Store(2) // the file
	mustFetch(t, h, repoID)
	stalls.Store(1 << 20)
	_, err := fetch(faulty(t, server, stall), repoID, only("README.md"))
	check(t, "a server that never answers", err, "cannot be reached", "the server has stopped sending")

	// Nobody waits for a server when the program is interrupted.
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	before := time.Now()
	_, err = faulty(t, server, stall).Fetch(ctx, hub.Datasets, repoID, only("README.md"))
	check(t, "interrupted", err, "context canceled")
	if waited := time.Since(before); waited > 250*time.Millisecond {
		t.Errorf("interrupted after %v", waited)
	}
}

// TestAnswers: what is said of servers that answer something else.
func TestAnswers(t *testing.T) {
	server := hubtest.New(hub.Datasets, repoID, files)
	for _, test := range []struct {
		name, path, content string
		status              int
		times               int32
		says, not           string
	}{
		{"too many requests", "/api/", `{"error": "slow down"}`, 429, 1 << 20, "was asked too often: try again in some minutes", "check the name"},
		{"too many requests at first", "/api/", "", 429, 2, "", ""},
		{"too many requests for a file", "/resolve/", "", 429, 1 << 20, "data/a b#c.csv cannot be downloaded", "check the name"},
		{"out of order for a while", "/resolve/", "", 503, 3, "", ""},
		{"bad request", "/api/", "", 400, 1 << 20, "refuses it: status 400", "check the name"},
		{"control characters", "/api/", `{"error": "a\u001b[2Jb"}`, 404, 1 << 20, `a\x1b[2Jb`, "\x1b"},
		{"a long reason", "/api/", `{"error": "` + strings.Repeat("x", 4000) + `"}`, 404, 1 << 20, " bytes … ", strings.Repeat("x", 400)},
		{"a page in place of the description", "/api/", "<html></html>", 200, 1 << 20, "the answer does not describe a repository", ""},
		{"a page in place of a file", "/resolve/", " <!DOCTYPE HTML><html></html>", 200, 1 << 20, "sends a web page in place of the file", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var asked atomic.Int32
			h := faulty(t, server, func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, test.path) || asked.Add(1) > test.times {
					return false
				}
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.content)
				return true
			})
			_, err := fetch(h, repoID, only("data/a b#c.csv"))
			if test.says == "" {
				if err != nil {
					t.Errorf("error %v", err)
				}
				return
			}
			check(t, test.name, err, "hf:owner/birds", test.says)
			if test.not != "" && err != nil && strings.Contains(err.Error(), test.not) {
				t.Errorf("error %q", err)
			}
			if left, _ := filepath.Glob(filepath.Join(h.CacheDir, "*", "snapshots", "*", "data", "*")); len(left) > 0 {
				t.Errorf("left over: %q", left)
			}
		})
	}
}

// TestUnknownHash: a web page does not stay where neither size nor hash of a file are known.
func TestUnknownHash(t *testing.T) {
	page := []byte("<html>log in</html>")
	h := faulty(t, hubtest.New(hub.Models, repoID, nil), func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/api/") {
			fmt.Fprintf(w, `{"sha": %q, "siblings": [{"rfilename": "model.safetensors"}, {"rfilename": "index.html"}]}`, hubtest.Commit)
		} else {
			_, _ = w.Write(page)
		}
		return true
	})
	one := func(name string) (*hub.Snapshot, error) {
		return h.Fetch(context.Background(), hub.Models, repoID, func([]string) ([]string, error) { return []string{name}, nil })
	}
	for range 2 {
		_, err := one("model.safetensors")
		check(t, "a page", err, "model.safetensors cannot be downloaded", "sends a web page in place of the file")
	}
	if s, err := one("index.html"); err != nil || s.Path("index.html") == "" {
		t.Errorf("a page that is one: %v", err)
	}
}

// A nil snapshot is what is known of a directory that is not from the Hub.
func TestNilSnapshot(t *testing.T) {
	var s *hub.Snapshot
	if s.Start("x", 1) != nil || s.Verify("x", 1, nil) != nil || s.VerifyBytes("x", []byte("x")) != nil {
		t.Error("a nil snapshot knows something")
	}
}

func TestEnv(t *testing.T) {
	for _, test := range []struct {
		env  map[string]string
		want hub.Hub
	}{
		{nil, hub.Hub{Endpoint: "https://huggingface.co", CacheDir: "/home/someone/.cache/huggingface/hub"}},
		{map[string]string{"XDG_CACHE_HOME": "/x", "HF_HUB_OFFLINE": "0"}, hub.Hub{Endpoint: "https://huggingface.co", CacheDir: "/x/huggingface/hub"}},
		{map[string]string{"XDG_CACHE_HOME": "/x", "HF_HOME": "~/hf", "HF_HUB_OFFLINE": "true"},
			hub.Hub{Endpoint: "https://huggingface.co", CacheDir: "/home/someone/hf/hub", Offline: true}},
		{map[string]string{"HF_HOME": "/hf", "HF_HUB_CACHE": "/c", "HF_ENDPOINT": "http://mirror/", "HF_HUB_OFFLINE": "1", "HF_TOKEN": "t"},
			hub.Hub{Endpoint: "http://mirror", CacheDir: "/c", Offline: true, Token: "t"}},
	} {
		for _, name := range []string{"HF_ENDPOINT", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HF_HUB_OFFLINE", "HF_TOKEN"} {
			t.Setenv(name, "")
		}
		t.Setenv("HOME", "/home/someone")
		for name, value := range test.env {
			t.Setenv(name, value)
		}
		got := hub.Env()
		got.Notice = nil
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%v: %s", test.env, diff)
		}
	}
}

func ExampleHub_Fetch() {
	snapshot, err := hub.Env().Fetch(context.Background(), hub.Models, "timm/deit_base_patch16_224.fb_in1k", func(names []string) ([]string, error) {
		return []string{"config.json"}, nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(snapshot.Path("config.json"))
}

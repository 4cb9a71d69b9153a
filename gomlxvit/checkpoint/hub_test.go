package checkpoint

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	commit     = "0123456789abcdef0123456789abcdef01234567"
	repoID     = "owner/tiny_vit.test-1"
	repoFolder = "models--owner--tiny_vit.test-1"
)

// fakeHub speaks as much of the Hub's protocol as a download takes: the repository's information, and files, the
// weights behind a redirect as Git LFS has it.
type fakeHub struct {
	commit   string
	files    map[string][]byte // as the information says
	served   map[string][]byte // what is sent instead, if anything
	cut      string            // the file whose connection breaks off halfway
	private  bool              // answers 401 without a token
	mu       sync.Mutex
	requests []string
}

func (f *fakeHub) start(t *testing.T) Hub {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return Hub{Endpoint: server.URL, CacheDir: t.TempDir()}
}

func gitSHA1(content []byte) string {
	return fmt.Sprintf("%x", sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(content), content)))
}

func isLFS(name string) bool { return strings.HasSuffix(name, ".safetensors") }

func (f *fakeHub) info() any {
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
	for name, content := range f.files {
		s := sibling{Name: name, Size: len(content), Blob: gitSHA1(content)}
		if isLFS(name) {
			s.LFS = &lfs{fmt.Sprintf("%x", sha256.Sum256(content)), len(content)}
		}
		siblings = append(siblings, s)
	}
	return map[string]any{"id": repoID, "modelId": repoID, "sha": f.commit, "siblings": siblings}
}

func (f *fakeHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, r.Method+" "+r.URL.Path)
	f.mu.Unlock()
	if f.private && r.Header.Get("Authorization") != "Bearer secret" {
		http.Error(w, `{"error":"Invalid username or password."}`, http.StatusUnauthorized)
		return
	}
	if r.URL.Path == "/api/models/"+repoID+"/revision/main" || r.URL.Path == "/api/models/"+repoID+"/revision/"+f.commit {
		if err := json.NewEncoder(w).Encode(f.info()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
		return
	}
	if name, ok := strings.CutPrefix(r.URL.Path, "/"+repoID+"/resolve/"+f.commit+"/"); ok && isLFS(name) {
		w.Header().Set("X-Linked-Etag", fmt.Sprintf(`"%x"`, sha256.Sum256(f.files[name])))
		w.Header().Set("X-Linked-Size", strconv.Itoa(len(f.files[name])))
		http.Redirect(w, r, "/cdn/"+name, http.StatusFound)
		return
	}
	name := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	content, ok := f.files[name]
	if !ok {
		http.Error(w, "Entry not found", http.StatusNotFound)
		return
	}
	if other, ok := f.served[name]; ok {
		content = other
	}
	w.Header().Set("ETag", `"`+gitSHA1(f.files[name])+`"`)
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	if r.Method == http.MethodHead {
		return
	}
	if name == f.cut { // the server notices that less came than was announced, and closes the connection
		content = content[:len(content)/2]
	}
	if _, err := w.Write(content); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func tinyHub(t *testing.T) *fakeHub {
	return &fakeHub{commit: commit, files: map[string][]byte{timmConfig: []byte(tinyTimm), safeWeights: weights(t), "README.md": []byte("# tiny")}}
}

func openHub(h Hub, name string) (*Checkpoint, error) { return h.Open(context.Background(), name) }

// mustOpen opens the repository, checks that it came whole, and closes it.
func mustOpen(t *testing.T, h Hub, name string) {
	t.Helper()
	c, err := openHub(h, name)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wantDir := filepath.Join(h.CacheDir, repoFolder, "snapshots", commit)
	if c.Ref != "hf:"+name || c.Dir != wantDir || c.Architecture != "vit_tiny_patch16_224" {
		t.Errorf("opened %+v", c)
	}
	if data, err := c.Weights.Float32("head.bias"); err != nil || !cmp.Equal(data, []float32{1, 2}) {
		t.Errorf("weights %v (%v)", data, err)
	}
}

func TestHubDownloadThenOffline(t *testing.T) {
	fake := tinyHub(t)
	h := fake.start(t)
	var notices []string
	h.Notice = func(line string) { notices = append(notices, line) }
	mustOpen(t, h, repoID)
	if slices.ContainsFunc(fake.requests, func(r string) bool { return strings.Contains(r, "README") }) {
		t.Errorf("more was downloaded than is needed: %q", fake.requests)
	}
	if ref, err := os.ReadFile(filepath.Join(h.CacheDir, repoFolder, "refs", "main")); err != nil || string(ref) != commit {
		t.Errorf("refs/main holds %q (%v), want the commit", ref, err)
	}

	before := len(fake.requests)
	mustOpen(t, h, repoID)
	for _, request := range fake.requests[before:] {
		if !strings.HasPrefix(request, "GET /api/") {
			t.Errorf("the second time %s was asked for again", request)
		}
	}

	before = len(fake.requests)
	mustOpen(t, h, repoID+"@"+commit)
	offline := h
	offline.Offline = true
	mustOpen(t, offline, repoID)
	mustOpen(t, offline, repoID+"@"+commit)
	if len(fake.requests) > before {
		t.Errorf("the cache was enough, and yet %q was asked for", fake.requests[before:])
	}
	if len(notices) > 0 {
		t.Errorf("notices %q of small downloads that went well", notices)
	}

	unreachable := h
	unreachable.Endpoint = "http://127.0.0.1:1"
	mustOpen(t, unreachable, repoID)
	if len(notices) != 1 || !strings.Contains(notices[0], "the copy in the cache is used") {
		t.Errorf("notices %q, want one about the cache", notices)
	}
	mustOpen(t, offline, repoID) // the failure has not cost the cache anything
}

// The cache as huggingface_hub leaves it: links to blobs named by hash, refs, and no record of what the server said.
func TestHubOfflineFromOtherProgram(t *testing.T) {
	dir := t.TempDir()
	repo := filepath.Join(dir, repoFolder)
	snapshot := filepath.Join(repo, "snapshots", commit)
	write := func(path string, content []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(repo, "refs", "main"), []byte(commit))
	write(filepath.Join(snapshot, "x"), nil)
	blobs := map[string]string{}
	for name, content := range tinyHub(t).files {
		blob := gitSHA1(content)
		if isLFS(name) {
			blob = fmt.Sprintf("%x", sha256.Sum256(content))
		}
		blobs[name] = filepath.Join(repo, "blobs", blob)
		write(blobs[name], content)
		if err := os.Symlink(filepath.Join("..", "..", "blobs", blob), filepath.Join(snapshot, name)); err != nil {
			t.Skipf("symbolic links are not to be had here: %v", err)
		}
	}
	h := Hub{CacheDir: dir, Offline: true}
	mustOpen(t, h, repoID)

	for name, content := range map[string][]byte{safeWeights: weights(t), timmConfig: []byte(tinyTimm)} {
		damaged := slices.Clone(content)
		damaged[len(damaged)-1] ^= 1
		write(blobs[name], damaged)
		_, err := openHub(h, repoID)
		checkMessage(t, "a damaged "+name, err, filepath.Join(snapshot, name), "damaged", "delete")
		write(blobs[name], content)
	}
	mustOpen(t, h, repoID)

	if err := os.Remove(blobs[safeWeights]); err != nil {
		t.Fatal(err)
	}
	_, err := openHub(h, repoID)
	checkMessage(t, "a missing blob", err, "HF_HUB_OFFLINE", "model.safetensors are missing", snapshot)
}

func TestHubOfflineMiss(t *testing.T) {
	h := Hub{CacheDir: t.TempDir(), Offline: true, Endpoint: "http://127.0.0.1:1"}
	for _, name := range []string{repoID, repoID + "@v1.0", repoID + "@" + commit} {
		_, err := openHub(h, name)
		checkMessage(t, name, err, "hf:"+name, "HF_HUB_OFFLINE", "not in the cache", filepath.Join(h.CacheDir, repoFolder), "unset it")
	}
}

func TestHubRefusesDamagedDownloads(t *testing.T) {
	for name, content := range map[string][]byte{safeWeights: weights(t), timmConfig: []byte(tinyTimm)} {
		changed := slices.Clone(content)
		changed[len(changed)-2] ^= 1
		for what, broken := range map[string]func(f *fakeHub){
			"another content":         func(f *fakeHub) { f.served = map[string][]byte{name: changed} },
			"a shorter file":          func(f *fakeHub) { f.served = map[string][]byte{name: content[:len(content)-3]} },
			"a broken-off connection": func(f *fakeHub) { f.cut = name },
		} {
			t.Run(name+": "+what, func(t *testing.T) {
				fake := tinyHub(t)
				broken(fake)
				h := fake.start(t)
				_, err := openHub(h, repoID)
				checkMessage(t, what, err, name, "try again")
				offline := h
				offline.Offline = true
				if _, err := openHub(offline, repoID); err == nil {
					t.Error("what was refused is used from the cache")
				}
				fake.served, fake.cut = nil, ""
				mustOpen(t, h, repoID) // trying again helps
			})
		}
	}
}

func TestHubRefuses(t *testing.T) {
	h := tinyHub(t).start(t)
	for name, part := range map[string]string{
		"owner/absent":        "check the name",
		"tiny":                "hf:owner/repo",
		"../../etc":           "hf:owner/repo",
		"owner/..":            "hf:owner/repo",
		"owner/repo@../x":     "hf:owner/repo",
		"owner/repo@":         "hf:owner/repo",
		"owner/repo/more":     "hf:owner/repo",
		repoID + "@no-branch": "check the name",
	} {
		_, err := openHub(h, name)
		checkMessage(t, name, err, "hf:"+name, part)
	}
	if _, err := os.Stat(filepath.Join(h.CacheDir, "..", "etc")); err == nil {
		t.Error("something was written beside the cache")
	}

	unreachable := Hub{CacheDir: t.TempDir(), Endpoint: "http://127.0.0.1:1"}
	_, err := openHub(unreachable, repoID)
	checkMessage(t, "no server", err, "hf:"+repoID, "http://127.0.0.1:1 cannot be reached", "check the network")
	if strings.Contains(err.Error(), "api/models") {
		t.Errorf("error %q repeats what the library was doing", err)
	}

	fake := tinyHub(t)
	fake.commit = "../../../outside"
	_, err = openHub(fake.start(t), repoID)
	checkMessage(t, "a hostile commit", err, "which is none")

	fake = tinyHub(t)
	delete(fake.files, safeWeights)
	fake.files["pytorch_model.bin"] = []byte("PK")
	_, err = openHub(fake.start(t), repoID)
	checkMessage(t, "no safetensors", err, "hf:"+repoID, "convert it")
}

func TestHubToken(t *testing.T) {
	fake := tinyHub(t)
	fake.private = true
	h := fake.start(t)
	_, err := openHub(h, repoID)
	checkMessage(t, "no token", err, "HF_TOKEN")
	h.Token = "secret"
	mustOpen(t, h, repoID)
}

// Open reads the environment as huggingface_hub does.
func TestEnvHub(t *testing.T) {
	fake := tinyHub(t)
	h := fake.start(t)
	clear := func() {
		for _, name := range []string{"HF_ENDPOINT", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HF_HUB_OFFLINE", "HF_TOKEN"} {
			t.Setenv(name, "")
		}
		t.Setenv("HOME", "/home/someone")
	}
	for _, test := range []struct {
		env  map[string]string
		want Hub
	}{
		{nil, Hub{Endpoint: "https://huggingface.co", CacheDir: "/home/someone/.cache/huggingface/hub"}},
		{map[string]string{"XDG_CACHE_HOME": "/x", "HF_HUB_OFFLINE": "0"}, Hub{Endpoint: "https://huggingface.co", CacheDir: "/x/huggingface/hub"}},
		{map[string]string{"XDG_CACHE_HOME": "/x", "HF_HOME": "~/hf", "HF_HUB_OFFLINE": "true"},
			Hub{Endpoint: "https://huggingface.co", CacheDir: "/home/someone/hf/hub", Offline: true}},
		{map[string]string{"HF_HOME": "/hf", "HF_HUB_CACHE": "/c", "HF_ENDPOINT": "http://mirror/", "HF_HUB_OFFLINE": "1", "HF_TOKEN": "t"},
			Hub{Endpoint: "http://mirror", CacheDir: "/c", Offline: true, Token: "t"}},
	} {
		clear()
		for name, value := range test.env {
			t.Setenv(name, value)
		}
		got := EnvHub()
		got.Notice = nil
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%v: %s", test.env, diff)
		}
	}

	clear()
	t.Setenv("HF_ENDPOINT", h.Endpoint)
	t.Setenv("HF_HUB_CACHE", h.CacheDir)
	c, err := Open("hf:" + repoID)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Ref != "hf:"+repoID || len(c.Hash) != 64 {
		t.Errorf("opened %+v", c)
	}
}

package checkpoint

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vitdecompose/data/hub"
	"vitdecompose/data/hub/hubtest"
)

const (
	commit     = hubtest.Commit
	repoID     = "owner/tiny_vit.test-1"
	repoFolder = "models--owner--tiny_vit.test-1"
)

func tinyHub(t *testing.T) *hubtest.Server {
	return hubtest.New(hub.Models, repoID, map[string][]byte{timmConfig: []byte(tinyTimm), safeWeights: weights(t), "README.md": []byte("# tiny")})
}

func start(t *testing.T, server *hubtest.Server) Hub { return Hub(server.Start(t)) }

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
	h := start(t, fake)
	var notices []string
	h.Notice = func(line string) { notices = append(notices, line) }
	mustOpen(t, h, repoID)
	if slices.ContainsFunc(fake.Requests(), func(r string) bool { return strings.Contains(r, "README") }) {
		t.Errorf("more was downloaded than is needed: %q", fake.Requests())
	}
	if ref, err := os.ReadFile(filepath.Join(h.CacheDir, repoFolder, "refs", "main")); err != nil || string(ref) != commit {
		t.Errorf("refs/main holds %q (%v), want the commit", ref, err)
	}

	before := len(fake.Requests())
	mustOpen(t, h, repoID)
	for _, request := range fake.Requests()[before:] {
		if !strings.HasPrefix(request, "GET /api/") {
			t.Errorf("the second time %s was asked for again", request)
		}
	}

	before = len(fake.Requests())
	mustOpen(t, h, repoID+"@"+commit)
	offline := h
	offline.Offline = true
	mustOpen(t, offline, repoID)
	mustOpen(t, offline, repoID+"@"+commit)
	if len(fake.Requests()) > before {
		t.Errorf("the cache was enough, and yet %q was asked for", fake.Requests()[before:])
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
	for name, content := range tinyHub(t).Files {
		blob := hubtest.GitSHA1(content)
		if hubtest.IsLFS(name) {
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
		for what, broken := range map[string]func(f *hubtest.Server){
			"another content": func(f *hubtest.Server) { f.Served = map[string][]byte{name: changed} },
			"a shorter file":  func(f *hubtest.Server) { f.Served = map[string][]byte{name: content[:len(content)-3]} },
		} {
			t.Run(name+": "+what, func(t *testing.T) {
				fake := tinyHub(t)
				broken(fake)
				h := start(t, fake)
				_, err := openHub(h, repoID)
				checkMessage(t, what, err, name, "try again")
				offline := h
				offline.Offline = true
				if _, err := openHub(offline, repoID); err == nil {
					t.Error("what was refused is used from the cache")
				}
				fake.Served = nil
				mustOpen(t, h, repoID) // trying again helps
			})
		}
	}
}

func TestHubRefuses(t *testing.T) {
	h := start(t, tinyHub(t))
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
	fake.Commit = "../../../outside"
	_, err = openHub(start(t, fake), repoID)
	checkMessage(t, "a hostile commit", err, "which is none")

	fake = tinyHub(t)
	delete(fake.Files, safeWeights)
	fake.Files["pytorch_model.bin"] = []byte("PK")
	_, err = openHub(start(t, fake), repoID)
	checkMessage(t, "a broken pickle", err, "pytorch_model.bin", "neither what torch.save writes")
	delete(fake.Files, timmConfig)
	_, err = openHub(start(t, fake), repoID)
	checkMessage(t, "no configuration", err, "hf:"+repoID, "option Arch")
}

func TestHubToken(t *testing.T) {
	fake := tinyHub(t)
	fake.Private = true
	h := start(t, fake)
	_, err := openHub(h, repoID)
	checkMessage(t, "no token", err, "HF_TOKEN")
	h.Token = "secret"
	mustOpen(t, h, repoID)
}

// Open reads the environment as huggingface_hub does.
func TestOpenFromHub(t *testing.T) {
	h := start(t, tinyHub(t))
	t.Setenv("HF_ENDPOINT", h.Endpoint)
	t.Setenv("HF_HUB_CACHE", h.CacheDir)
	t.Setenv("HF_HUB_OFFLINE", "")
	t.Setenv("HF_TOKEN", "")
	c, err := Open("hf:" + repoID)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Ref != "hf:"+repoID || len(c.Hash) != 64 {
		t.Errorf("opened %+v", c)
	}
}

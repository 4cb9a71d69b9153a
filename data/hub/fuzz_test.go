package hub

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a cache has of a revision, in the notes of this package or of huggingface_hub, is a commit and files below it, or an
// error.
func FuzzCached(f *testing.F) {
	commit := strings.Repeat("0a", 20)
	f.Add([]byte(commit+"\n"), []byte(`{"sha": "`+commit+`", "siblings": [{"rfilename": "config.json", "size": 2}]}`))
	f.Add([]byte("../../x"), []byte(`{"sha": "main"}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, ref, info []byte) {
		r := repository{dir: dir, revision: "main", choose: func(names []string) ([]string, error) { return names, nil }}
		snapshot := filepath.Join(dir, "snapshots", commit)
		for path, content := range map[string][]byte{
			filepath.Join(dir, "refs", "main"): ref, filepath.Join(dir, "info", commit): info, filepath.Join(snapshot, "config.json"): []byte("{}"),
		} {
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, content, 0o666)); err != nil {
				t.Fatal(err)
			}
		}
		s, err := r.cached()
		if err != nil {
			return
		}
		if s.Dir != snapshot {
			t.Errorf("the snapshot is %s", s.Dir)
		}
		for _, name := range s.Names {
			if name != "config.json" {
				t.Errorf("there is no %q", name)
			}
		}
	})
}

// Whatever the server says about a repository: its names stay below the snapshot's directory, and what is noted of it for the
// time without network says the same.
func FuzzInfo(f *testing.F) {
	commit, sum := strings.Repeat("0a", 20), strings.Repeat("0b", 32)
	f.Add([]byte(`{"sha": "` + commit + `", "siblings": [{"rfilename": "config.json", "size": 5, "blobId": "` + commit + `"},
		{"rfilename": "model.safetensors", "size": 7, "lfs": {"sha256": "` + sum + `", "size": 7}}]}`))
	f.Add([]byte(`{"siblings": [{"rfilename": "../x"}, {"rfilename": "/x"}, {"rfilename": "a/b", "size": -1}, {"rfilename": "c:\\x"}]}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		info := &repoInfo{}
		if json.Unmarshal(answer, info) != nil {
			return
		}
		s := newSnapshot("dir", info)
		for name, check := range s.files {
			if !filepath.IsLocal(filepath.FromSlash(name)) || s.Path(name) == s.Dir || check.size < 0 {
				t.Errorf("accepted %q of %d bytes", name, check.size)
			}
			if check.sha256 != "" && !sha256Name.MatchString(check.sha256) || check.gitSHA1 != "" && !commitName.MatchString(check.gitSHA1) {
				t.Errorf("%q has the hashes %q and %q", name, check.sha256, check.gitSHA1)
			}
		}
		text, err := json.Marshal(info)
		if err != nil {
			t.Fatal(err)
		}
		noted := &repoInfo{}
		if err := json.Unmarshal(text, noted); err != nil {
			t.Fatal(err)
		}
		if again := newSnapshot("dir", noted); noted.Commit != info.Commit || !maps.Equal(again.files, s.files) {
			t.Errorf("noted %s: %v, want %v", text, again.files, s.files)
		}
	})
}

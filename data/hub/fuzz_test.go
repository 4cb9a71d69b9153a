package hub

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever the server says of a repository: its names stay below the snapshot's directory, and what is noted of it for the
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

package backend

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gomlx/go-xla/installer"
)

// releaseVersion is the plugin that go-xla 0.3.0 installs by itself.
const releaseVersion = "v0.104.0"

// releaseServer answers what a release holds; tests put their own here.
var releaseServer = "https://api.github.com"

// asset is one file of a release.
type asset struct {
	Name   string `json:"name"`
	URL    string `json:"browser_download_url"`
	Size   int64  `json:"size"`
	Digest string `json:"digest"` // "sha256:" and 64 hexadecimal digits
}

// parseRelease finds a file and its SHA-256 in a release's description.
func parseRelease(b []byte, name string) (a asset, sum string, err error) {
	var release struct {
		Assets []asset `json:"assets"`
	}
	if err := json.Unmarshal(b, &release); err != nil {
		return asset{}, "", fmt.Errorf("the release's description: %w", err)
	}
	for _, a := range release.Assets {
		if a.Name != name {
			continue
		}
		sum, found := strings.CutPrefix(a.Digest, "sha256:")
		if raw, err := hex.DecodeString(sum); !found || err != nil || len(raw) != 32 {
			return asset{}, "", fmt.Errorf("the release gives no SHA-256 of %s", name)
		}
		return a, strings.ToLower(sum), nil
	}
	return asset{}, "", fmt.Errorf("the release has no %s", name)
}

// openRelease fetches the plugin that go-xla would install by itself. go-xla's
// own installer compares no hash and waits long for a host that does not
// answer, so the file is fetched here.
func openRelease(ctx context.Context, say func(string, ...any)) (io.ReadCloser, manifest, error) {
	client := newClient()
	name := fmt.Sprintf("pjrt_cpu_%s_%s.tar.gz", runtime.GOOS, runtime.GOARCH)
	url := fmt.Sprintf("%s/repos/%s/releases/tags/%s", releaseServer, installer.BinaryCPUReleasesRepo, releaseVersion)
	asking, cancel := context.WithTimeout(ctx, 12*time.Second)
	defer cancel()
	b, err := get(asking, client, url, 4<<20)
	if err != nil {
		return nil, manifest{}, err
	}
	a, sum, err := parseRelease(b, name)
	if err != nil {
		return nil, manifest{}, err
	}

	dir, err := os.MkdirTemp("", "vitdecompose-plugin-")
	if err != nil {
		return nil, manifest{}, err
	}
	r := &archived{dir: dir}
	say("fetching %s %s (%d MB)", name, releaseVersion, a.Size/1e6)
	archive := filepath.Join(dir, name)
	if err := download(ctx, client, a.URL, sum, archive); err != nil {
		return nil, manifest{}, errors.Join(err, r.Close())
	}
	f, err := os.Open(archive)
	if err != nil {
		return nil, manifest{}, errors.Join(err, r.Close())
	}
	r.closers = append(r.closers, f)
	r.Reader, err = pluginInTar(f)
	if err != nil {
		return nil, manifest{}, errors.Join(fmt.Errorf("%s: %w", name, err), r.Close())
	}
	return r, manifest{Source: installer.BinaryCPUReleasesRepo, Version: releaseVersion}, nil
}

// pluginInTar returns a reader of the first plugin in a gzipped tar archive.
func pluginInTar(r io.Reader) (io.Reader, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	t := tar.NewReader(z)
	for {
		header, err := t.Next()
		if err == io.EOF {
			return nil, errors.New("no plugin inside")
		}
		if err != nil {
			return nil, err
		}
		name := path.Base(header.Name)
		if header.Typeflag == tar.TypeReg && strings.HasPrefix(name, "pjrt_c_api_cpu_") &&
			strings.Contains(name, "_plugin.") {
			return t, nil
		}
	}
}

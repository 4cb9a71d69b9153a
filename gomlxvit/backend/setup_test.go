package backend

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// giving is a source of a plugin with the given bytes and record.
func giving(b []byte, m manifest) source {
	return source{"a giving source", func(context.Context, func(string, ...any)) (io.ReadCloser, manifest, error) {
		return io.NopCloser(bytes.NewReader(b)), m, nil
	}}
}

var unreachable = source{"an unreachable source", func(context.Context, func(string, ...any)) (io.ReadCloser, manifest, error) {
	return nil, manifest{}, errors.New("no such host")
}}

func TestSetupTakesTheFirstSourceThatAnswers(t *testing.T) {
	_, cache, _ := emptyMachine(t)
	content := tinyELF(t, here(t), 300)
	var out bytes.Buffer
	p, err := setup(t.Context(), &out, []source{unreachable, giving(content, manifest{Source: "s", SHA256: hexSum(content)})})
	require.NoError(t, err)
	require.Equal(t, filepath.Join(cache, "vitdecompose", "plugin", "pjrt_c_api_cpu_plugin.so"), p.Path)
	require.NoError(t, p.Check())
	require.Contains(t, out.String(), "not from an unreachable source: no such host")

	out.Reset()
	again, err := setup(t.Context(), &out, nil)
	require.NoError(t, err, "what is installed needs no source")
	require.Equal(t, p.Path, again.Path)
}

func TestSetupKeepsNothingWrong(t *testing.T) {
	content := tinyELF(t, here(t), 300)
	for _, c := range []struct {
		name   string
		source source
		reason string
	}{
		{"another hash", giving(content, manifest{SHA256: hexSum([]byte("x"))}), "SHA-256"},
		{"another size", giving(content, manifest{Size: 5}), "bytes, not 5"},
		{"no library", giving([]byte("text"), manifest{SHA256: hexSum([]byte("text"))}), "ELF"},
		{"unreachable", unreachable, "no such host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, cache, _ := emptyMachine(t)
			_, err := setup(t.Context(), io.Discard, []source{c.source})
			require.ErrorIs(t, err, ErrNoPlugin)
			require.ErrorContains(t, err, c.reason)
			left, err := os.ReadDir(filepath.Join(cache, "vitdecompose", "plugin"))
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

func TestSetupReplacesADamagedPluginOfItsOwn(t *testing.T) {
	_, cache, path := emptyMachine(t)
	content := tinyELF(t, here(t), 300)
	put(t, content[:200], cache, "vitdecompose", "plugin", "pjrt_c_api_cpu_plugin.so")
	var out bytes.Buffer
	p, err := setup(t.Context(), &out, []source{giving(content, manifest{SHA256: hexSum(content)})})
	require.NoError(t, err)
	require.NoError(t, p.Check())
	require.Contains(t, out.String(), "damaged")

	put(t, content[:200], path, "pjrt_c_api_cpu_plugin.so")
	_, err = setup(t.Context(), io.Discard, []source{giving(content, manifest{})})
	var damaged *DamagedError
	require.ErrorAs(t, err, &damaged, "another one's plugin is not ours to replace")
}

func TestSetupStopsWhenAsked(t *testing.T) {
	emptyMachine(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := setup(ctx, io.Discard, []source{unreachable, unreachable})
	require.ErrorIs(t, err, context.Canceled)
}

// releaseWith serves a release whose archive holds a plugin, and the digest that
// the release's description gives for it.
func releaseWith(t *testing.T, plugin []byte, digest func(archive []byte) string) {
	t.Helper()
	var archive bytes.Buffer
	z := gzip.NewWriter(&archive)
	w := tar.NewWriter(z)
	for _, f := range []struct {
		name string
		b    []byte
	}{{"README.md", []byte("read")}, {"./pjrt_c_api_cpu_v0.104.0_plugin.so", plugin}} {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: f.name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(f.b))}))
		_, err := w.Write(f.b)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())

	name := fmt.Sprintf("pjrt_cpu_%s_%s.tar.gz", runtime.GOOS, runtime.GOARCH)
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	mux.HandleFunc("/repos/gomlx/pjrt-cpu-binaries/releases/tags/"+releaseVersion, func(w http.ResponseWriter, _ *http.Request) {
		err := json.NewEncoder(w).Encode(map[string]any{"assets": []map[string]any{
			{"name": name, "size": archive.Len(), "digest": digest(archive.Bytes()), "browser_download_url": server.URL + "/file"},
		}})
		if err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("/file", func(w http.ResponseWriter, _ *http.Request) {
		if _, err := w.Write(archive.Bytes()); err != nil {
			t.Error(err)
		}
	})
	old := releaseServer
	releaseServer = server.URL
	t.Cleanup(func() { releaseServer = old })
}

func TestSetupFromARelease(t *testing.T) {
	emptyMachine(t)
	content := tinyELF(t, here(t), 300)
	releaseWith(t, content, func(b []byte) string { return "sha256:" + hexSum(b) })
	p, err := setup(t.Context(), io.Discard, []source{{"the release", openRelease}})
	require.NoError(t, err)
	sum, compared, err := p.Verify()
	require.NoError(t, err)
	require.True(t, compared)
	require.Equal(t, hexSum(content), sum)
}

func TestReleaseWithoutTheRightHashIsRefused(t *testing.T) {
	hurry(t)
	for name, digest := range map[string]string{"none": "", "wrong": "sha256:" + strings.Repeat("0", 64)} {
		t.Run(name, func(t *testing.T) {
			emptyMachine(t)
			releaseWith(t, tinyELF(t, here(t), 300), func([]byte) string { return digest })
			_, err := setup(t.Context(), io.Discard, []source{{"the release", openRelease}})
			require.ErrorContains(t, err, "SHA-256")
		})
	}
}

func FuzzRelease(f *testing.F) {
	f.Add([]byte(`{"assets":[{"name":"a.tar.gz","digest":"sha256:` + strings.Repeat("0a", 32) + `","browser_download_url":"https://a/b"}]}`))
	f.Add([]byte(`{"assets":[{"name":"a.tar.gz"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, sum, err := parseRelease(b, "a.tar.gz")
		if err == nil && len(sum) != 64 {
			t.Errorf("accepted the hash %q", sum)
		}
	})
}

func FuzzPluginInTar(f *testing.F) {
	f.Add([]byte{0x1f, 0x8b})
	f.Add([]byte("text"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := pluginInTar(bytes.NewReader(b)); err == nil && r == nil {
			t.Error("neither a plugin nor an error")
		}
	})
}

// Whatever the wheel holds, there is a plugin in it, which can be read to an end, or an error.
func FuzzPluginInWheel(f *testing.F) {
	var good bytes.Buffer
	z := zip.NewWriter(&good)
	w, err := z.Create(wheelMember)
	require.NoError(f, err)
	_, err = w.Write([]byte("a library"))
	require.NoError(f, errors.Join(err, z.Close()))
	f.Add(good.Bytes())
	f.Add(good.Bytes()[:good.Len()-4])
	f.Add([]byte("PK"))
	wheel := filepath.Join(f.TempDir(), "plugin.whl")
	f.Fuzz(func(t *testing.T, b []byte) {
		require.NoError(t, os.WriteFile(wheel, b, 0o666))
		plugin, archive, err := pluginInWheel(wheel)
		if err != nil {
			return
		}
		content, err := io.ReadAll(io.LimitReader(plugin, 1<<20))
		require.NoError(t, errors.Join(plugin.Close(), archive.Close()))
		if bytes.Equal(b, good.Bytes()) {
			require.NoError(t, err)
			require.Equal(t, "a library", string(content))
		}
	})
}

// hurry makes tries follow each other at once.
func hurry(t *testing.T) {
	t.Helper()
	old := retryPause
	retryPause = time.Millisecond
	t.Cleanup(func() { retryPause = old })
}

func TestDownloadTriesAgain(t *testing.T) {
	hurry(t)
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, "content")
	}))
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, download(t.Context(), newClient(), server.URL, hexSum([]byte("content")), path))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "content", string(b))

	err = download(t.Context(), newClient(), server.URL, hexSum([]byte("other")), path+"2")
	require.ErrorContains(t, err, "SHA-256")
	require.NoFileExists(t, path+"2")
}

// fakePython puts a python3 on PATH that runs a shell script.
func fakePython(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	put(t, []byte("#!/bin/sh\n"+script+"\n"), dir, "python3")
	require.NoError(t, os.Chmod(filepath.Join(dir, "python3"), 0o755))
	t.Setenv("PATH", dir+":/usr/bin:/bin")
}

func TestPipThatFails(t *testing.T) {
	fakePython(t, `echo "looking" >&2; echo "ERROR: no such package" >&2; exit 3`)
	_, err := pipDownload(t.Context(), t.TempDir())
	require.ErrorContains(t, err, "ERROR: no such package")
	require.NotContains(t, err.Error(), "looking")

	fakePython(t, `echo "python3: No module named pip" >&2; exit 1`)
	_, err = pipDownload(t.Context(), t.TempDir())
	require.ErrorIs(t, err, errNoPip)
}

func TestAgain(t *testing.T) {
	hurry(t)
	for _, c := range []struct{ failures, tries int }{{0, 1}, {1, 2}, {2, 3}, {9, 3}} {
		tries := 0
		err := again(t.Context(), func() error {
			if tries++; tries <= c.failures {
				return errors.New("busy")
			}
			return nil
		})
		require.Equal(t, c.tries, tries)
		require.Equal(t, c.failures >= 3, err != nil)
	}
}

func TestWheelWithAnotherHashIsRefused(t *testing.T) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("the wheel is for linux/amd64")
	}
	emptyMachine(t)
	fakePython(t, `while [ "$1" != --dest ]; do shift; done; echo something else > "$2/a.whl"`)
	_, err := setup(t.Context(), io.Discard, []source{{"the wheel", openWheel}})
	require.ErrorContains(t, err, "the wheel's SHA-256 is")
}
